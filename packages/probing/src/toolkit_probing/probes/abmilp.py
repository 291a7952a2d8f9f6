"""ABMILP: attention-based multiple-instance pooling, on a self-attention of the tokens.

Source: Ilse et al., "Attention-based Deep Multiple Instance Learning" (ICML 2018), arXiv
1802.04712; as a probe, Przewiezlikowski et al., "Beyond [cls]" (2024), arXiv 2412.03215; equations
in docs/poolings.md. Scores come from a small MLP on each token, weights from their softmax. `mode`
chooses what it works on: `both` scores and pools the self-attended tokens, `map` scores those and
pools the raw ones, `none` has no self-attention. The score's last bias is dropped by the softmax.
The reference's position table and its dropping of the class token are left out: `--tokens` chooses
what is read.

The self-attention is n x n and stays so. But it has one head, so that queries and keys need one map
of the tokens between them, `W_q^T W_k`, and the value and output maps go into the score's first map
and behind the pooling: two maps of all tokens instead of five.

Shapes: b batch, n tokens, d token width, q = 1, o output width (= d).
"""

from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from toolkit_common.errors import InputError
from toolkit_common.registry import lookup
from toolkit_probing.probes import gemm
from toolkit_probing.probes.attention import dropped
from toolkit_probing.probes.base import AttentivePool, Count

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

    title: ClassVar[str] = "ABMILP"
    source: ClassVar[str] = "Ilse et al., 2018"

    def __init__(
        self,
        dim: int,
        *,
        mode: Literal["both", "map", "none"] = "both",
        depth: Count = 2,
        activation: Literal["tanh", "relu"] = "tanh",
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
        return self._weights(self._mix(tokens))

    @override
    def forward(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b o"]:
        mixed = self._mix(tokens)
        weights = self._weights(mixed)
        if self.mode != "both" or self.qkv is None or self.out is None:
            return gemm.pool(weights, tokens)[:, 0]
        # The value map goes behind the pooling: one vector an image instead of all tokens.
        return self.out((weights @ mixed)[:, 0] @ self.qkv.weight.chunk(3)[2].T)

    def _mix(self, tokens: Tensor) -> Tensor:
        """Return for each token the sum of all by its self-attention: values yet to be mapped."""
        if self.qkv is None:
            return tokens
        query_weight, key_weight, _ = self.qkv.weight.chunk(3)
        # q . k = x W_q^T W_k x: one map of the tokens; scaled where it is `(d, d)`.
        product = key_weight.T @ query_weight * tokens.shape[-1] ** -0.5  # (d, d)
        scores = gemm.scores(gemm.linear(tokens, product), tokens)  # (b, n, n)
        return gemm.pool(scores.softmax(-1), tokens)

    def _weights(self, mixed: Tensor) -> Tensor:
        """Return the weights `(b, 1, n)`; the score's first map takes in those before it."""
        # Taken apart, as the first map is folded with those before it.
        first, *rest = self.score.children()
        assert isinstance(first, nn.Linear)
        weight: Tensor = first.weight
        bias: Tensor = first.bias
        if self.qkv is not None and self.out is not None:
            # Maps in a row without anything between are one map.
            weight = first.weight @ self.out.weight @ self.qkv.weight.chunk(3)[2]
            bias = first.weight @ self.out.bias + first.bias
        if not rest:
            return self._shares(gemm.linear(mixed, weight), bias)
        scores = gemm.linear(mixed, weight, bias)
        *hidden, last = rest
        for layer in hidden:
            scores = layer(scores)
        assert isinstance(last, nn.Linear)
        return self._shares(F.linear(scores, last.weight), last.bias)

    @staticmethod
    def _shares(scores: Tensor, bias: Tensor) -> Tensor:
        # What is added to all scores alike, the softmax drops.
        return (scores + dropped(bias)).transpose(1, 2).softmax(-1)
