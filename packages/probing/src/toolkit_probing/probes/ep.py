"""Efficient Probing (EP): learned queries read frozen patch tokens, with no key projection.

Source: Psomas et al., "Attention, Please! Revisiting Attentive Probing Through the Lens of
Efficiency" (ICLR 2026), arXiv 2506.10178; equations in docs/poolings.md. Each query pools its own
block of one value projection, `y_j = a_j (X W_j)`. That is linear, so we pool first and project
after, `y_j = (a_j X) W_j`: the same function, and the values (b, n, o) are never built (see
`ep_kernel`, which also has its own backward pass).

Shapes: b batch, n tokens, d token width, q queries, o output width.
"""

from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import override

from toolkit_common.errors import InputError
from toolkit_probing.probes.base import AttentivePool, Count
from toolkit_probing.probes.ep_kernel import attend, ep_pool

QUERY_STD = 0.02


class EfficientProbing(AttentivePool):
    """Pool patch tokens with learned queries that attend to the raw tokens.

    Args:
        dim: Token width d.
        num_queries: Learned queries q, one attention map each.
        width_divisor: Output width is `dim // width_divisor` (the paper's d_o).
        value_init: Of the value map: `identity`, so that EP starts as the mean of the tokens, or
            `uniform`, torch's for a linear map, as published. Narrower ones are always uniform.

    Shape:
        tokens `(b, n, d)` -> pooled `(b, o)`.

    Raises:
        InputError: If `dim` is not a multiple of `width_divisor`, or the output width not one of
            `num_queries`.
    """

    title: ClassVar[str] = "Efficient Probing"
    source: ClassVar[str] = "Psomas et al., 2026"
    named_options: ClassVar[tuple[str, ...]] = ("num_queries",)

    def __init__(
        self,
        dim: int,
        *,
        num_queries: Count = 32,
        width_divisor: Count = 1,
        value_init: Literal["identity", "uniform"] = "identity",
    ) -> None:
        super().__init__()
        if num_queries < 1 or width_divisor < 1 or dim % width_divisor:
            raise InputError(
                f"dim must be a multiple of width_divisor, both and num_queries at least 1, got "
                f"{dim=}, {width_divisor=}, {num_queries=}"
            )
        self.out_dim = dim // width_divisor
        if self.out_dim % num_queries:
            valid = [str(count) for count in range(1, 257) if self.out_dim % count == 0]
            raise InputError(
                f"output width must be a multiple of num_queries, got {dim=}, {width_divisor=}, "
                f"{num_queries=}; choose num_queries from: {', '.join(valid)}"
            )
        self.scale = dim**-0.5  # of raw keys, which are d wide whatever q is
        # So small that maps start almost uniform: EP starts as the mean behind its value map.
        self.queries = nn.Parameter(torch.randn(num_queries, dim) * QUERY_STD)
        self.value = nn.Linear(dim, self.out_dim, bias=False)
        if value_init == "identity" and width_divisor == 1:
            # Each query then pools its own channels, and no direction of them is mixed or lost.
            nn.init.eye_(self.value.weight)

    @override
    def attention(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b q n"]:
        return attend(tokens, self.queries * self.scale)

    @override
    def forward(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b o"]:
        return ep_pool(tokens, self.queries * self.scale, self.value.weight)
