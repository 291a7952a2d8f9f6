"""The contract of a pooling: patch tokens in, one vector out.

Shapes: b batch, n tokens, d token width, q queries, o output width.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, ClassVar

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

GRID = "grid"  # the argument that is no option: the encoder gives it
Count = Annotated[int, Field(ge=1)]


class Pool(nn.Module, ABC):
    """Pools tokens `(b, n, d)` to `(b, out_dim)`.

    A subclass's keyword-only constructor arguments are its options. One that needs the patch grid
    takes `grid=(gh, gw)` and sets `needs_grid`; without it, token order does not matter.

    Attributes:
        title: Name for tables.
        source: Who published it, `AUTHORS, YEAR`.
        named_options: Options that stand in names of heads whatever their value; others do where
            they differ from their default.
        needs_grid: Whether the constructor wants `grid`; it then reads patches alone.
        shifts: Parameters that add the same to every image's output, each with the number of equal
            parts of which the last does so (1: all of it). See `Head`.
        out_dim: Output width o.
    """

    title: ClassVar[str]
    source: ClassVar[str]
    named_options: ClassVar[tuple[str, ...]] = ()
    needs_grid: ClassVar[bool] = False
    shifts: ClassVar[Mapping[str, int]] = {}
    out_dim: int

    @abstractmethod
    def forward(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b o"]:
        """Pool the tokens."""

    def converted(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return a state dict of an earlier version in the names and shapes of today."""
        wanted = {name: value.shape for name, value in self.state_dict().items()}
        # Learned queries were vectors where there is one (docs/traps.md 22).
        return {
            name: value.unsqueeze(0) if wanted.get(name) == (1, *value.shape) else value
            for name, value in state.items()
        }


class AttentivePool(Pool):
    """A pooling whose weights over tokens can be shown."""

    @abstractmethod
    def attention(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b q n"]:
        """Return the weight that each query (or head) gives each token; rows sum to 1."""
