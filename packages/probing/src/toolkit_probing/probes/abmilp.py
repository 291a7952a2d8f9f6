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
and behind the pooling: two maps of all tokens instead of five. What that saves, `b n d^2`, is paid
in products of maps, `d^3`: of few tokens the maps stay apart. The form with fewer multiply-adds is
taken (`_joins_keys`, `_joins_values`); both are the same function.

Shapes: b batch, n tokens, d token width, q = 1, o output width (= d).
"""

from typing import ClassVar, Literal

import torch
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
        query_weight = query_weight * tokens.shape[-1] ** -0.5  # where it is `(d, d)`
        if _joins_keys(tokens):
            # q . k = x W_q^T W_k x: one map of the tokens.
            product = _product(key_weight.T, query_weight)  # (d, d)
            scores = gemm.scores(gemm.linear(tokens, product), tokens)  # (b, n, n)
        else:
            keys = gemm.linear(tokens, key_weight)
            scores = gemm.linear(tokens, query_weight) @ keys.transpose(1, 2)
        return gemm.pool(scores.softmax(-1), tokens)

    def _weights(self, mixed: Tensor) -> Tensor:
        """Return the weights `(b, 1, n)`."""
        # Taken apart, as the first map is joined with those before it.
        first, *rest = self.score.children()
        assert isinstance(first, nn.Linear)
        scores, bias = self._first_scores(mixed, first)
        if not rest:
            return self._shares(scores, bias)
        scores = scores + bias
        *hidden, last = rest
        for layer in hidden:
            scores = layer(scores)
        assert isinstance(last, nn.Linear)
        return self._shares(F.linear(scores, last.weight), last.bias)

    def _first_scores(self, mixed: Tensor, first: nn.Linear) -> tuple[Tensor, Tensor]:
        """Map mixed tokens by values, output and `first`; returns that, and its bias apart."""
        if self.qkv is None or self.out is None:
            return gemm.linear(mixed, first.weight), first.bias
        value_weight = self.qkv.weight.chunk(3)[2]
        if _joins_values(mixed, first.weight):
            # Maps in a row without anything between are one map.
            joint = _product(_product(first.weight, self.out.weight), value_weight)
            return gemm.linear(mixed, joint), first.weight @ self.out.bias + first.bias
        mapped = gemm.linear(gemm.linear(mixed, value_weight), self.out.weight, self.out.bias)
        return gemm.linear(mapped, first.weight), first.bias

    @staticmethod
    def _shares(scores: Tensor, bias: Tensor) -> Tensor:
        # What is added to all scores alike, the softmax drops.
        return (scores + dropped(bias)).transpose(1, 2).softmax(-1)


def _joins_keys(tokens: Tensor) -> bool:
    """Whether one map for queries and keys takes fewer multiply-adds than two, gradients too."""
    num_tokens, dim = tokens.shape[1:]
    # Forward and backward: 3 d^3 for the product of maps, against 2 b n d^2 for a second map of
    # frozen tokens and b n^2 d for the gradient of keys.
    return bool(3 * dim**2 < _num_rows(tokens) * (2 * dim + num_tokens))


def _joins_values(mixed: Tensor, weight: Tensor) -> bool:
    """Whether one map for values, output and first score takes fewer multiply-adds than three."""
    # Forward and backward: 6 c d^2 for the products of maps, against 6 b n d^2 for two more maps.
    return bool(len(weight) <= _num_rows(mixed))


def _num_rows(tokens: Tensor) -> int:
    """Return how many tokens there are in the batch."""
    # A graph that is traced serves batches of any size: what it holds suits a single image.
    images = 1 if torch.compiler.is_compiling() else len(tokens)
    return images * tokens.shape[1]


def _product(left: Tensor, right: Tensor) -> Tensor:
    """Return `left @ right` of two maps."""
    return gemm.linear(left.contiguous().unsqueeze(0), right.T)[0]
