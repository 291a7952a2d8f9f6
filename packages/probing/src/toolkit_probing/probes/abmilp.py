"""ABMILP: attention-based multiple-instance pooling, on a self-attention of the tokens.

Source: Ilse et al., "Attention-based Deep Multiple Instance Learning" (ICML 2018), arXiv
1802.04712; as a probe, Przewiezlikowski et al., "Beyond [cls]" (2024), arXiv 2412.03215; equations
in specs/ep.md 1.2. Scores come from a small MLP on each token, weights from their softmax. `mode`
says what it works on: `both` scores and pools the self-attended tokens, `map` scores those and
pools the raw ones, `none` has no self-attention. The score's last bias is dropped by the softmax.
The reference's position table and its dropping of the class token are left out: what is read is
said by `--tokens`.

Shapes: b batch, n tokens, d token width, q = 1, o output width (= d).
"""

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from toolkit_common.errors import InputError
from toolkit_common.registry import lookup
from toolkit_probing.probes.base import AttentivePool

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU}
MODES = {"both": True, "map": True, "none": False}  # whether there is self-attention


class AbMilp(AttentivePool):
    """Pool tokens by a learned score of each.

    Args:
        dim: Token width d.
        mode: What is scored and pooled: `both`, `map` or `none` (see the module's docstring).
        depth: Layers of the score's MLP.
        activation: Of its hidden layers, `tanh` or `relu`.

    Raises:
        InputError: If an option is none of these.
    """

    title: ClassVar[str] = "ABMILP (Ilse et al., 2018)"
    dead_parameters: ClassVar[frozenset[str]] = frozenset({"score.last.bias"})

    def __init__(
        self,
        dim: int,
        *,
        mode: str = "both",
        depth: int = 2,
        activation: str = "tanh",
    ) -> None:
        super().__init__()
        has_attention = lookup(MODES, mode, kind="abmilp mode")
        act = lookup(ACTIVATIONS, activation, kind="abmilp activation")
        if depth < 1:
            raise InputError(f"abmilp depth must be at least 1, got {depth=}")
        self.out_dim = dim
        self.mode = mode
        self.qkv = nn.Linear(dim, 3 * dim, bias=False) if has_attention else None
        self.out = nn.Linear(dim, dim) if has_attention else None
        self.score = nn.Sequential()
        for layer in range(depth - 1):
            self.score.add_module(f"hidden{layer}", nn.Linear(dim, dim))
            self.score.add_module(f"activation{layer}", act())
        self.score.add_module("last", nn.Linear(dim, 1))

    @override
    def attention(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b q n"]:
        return self._weights(self._attend(tokens))

    @override
    def forward(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b o"]:
        scored = self._attend(tokens)
        values = scored if self.mode == "both" else tokens
        return (self._weights(scored) @ values)[:, 0]

    def _weights(self, scored: Tensor) -> Tensor:
        return self.score(scored).transpose(1, 2).softmax(-1)

    def _attend(self, tokens: Tensor) -> Tensor:
        if self.qkv is None or self.out is None:
            return tokens
        queries, keys, values = self.qkv(tokens).chunk(3, dim=-1)
        return self.out(F.scaled_dot_product_attention(queries, keys, values))
