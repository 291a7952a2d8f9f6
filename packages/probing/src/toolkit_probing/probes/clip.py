"""CLIP's attention pooling as a probe.

Source: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision"
(2021), arXiv 2103.00020; equations in docs/poolings.md: normalised tokens, their mean in front, a
learned position each; 4 heads; only the mean's row of the self-attention is read, so only that row
is computed. The table has a row for each patch of the grid it was built for.

Neither keys, values nor normalised tokens are built: with the mean's own weight `a_0`, its part of
the sum is `a_0 / n` of each token (see `attention`).

Shapes: b batch, n tokens, d token width, q heads, o output width (= d).
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import override

from toolkit_common.errors import InputError
from toolkit_probing.probes.attention import (
    NormedTokens,
    check_heads,
    fold_keys,
    norm_tokens,
    project_out,
)
from toolkit_probing.probes.base import AttentivePool, Count

EPS = 1e-6


class Clip(AttentivePool):
    """Pool tokens with their mean as the query and learned positions.

    Args:
        dim: Token width d.
        grid: Patch grid (gh, gw) with n = gh * gw.
        num_heads: Heads, one attention map each.

    Raises:
        InputError: If `dim` is not a multiple of `num_heads`, or (when called) the tokens are not
            those of the grid.
    """

    title: ClassVar[str] = "CLIP attention pooling"
    source: ClassVar[str] = "Radford et al., 2021"
    needs_grid: ClassVar[bool] = True
    shifts: ClassVar[Mapping[str, int]] = {"out.bias": 1, "qkv.bias": 3}

    def __init__(self, dim: int, *, grid: tuple[int, int], num_heads: Count = 4) -> None:
        super().__init__()
        self.out_dim = dim
        self.grid = grid
        self.num_heads = check_heads(dim, num_heads)
        self.norm = nn.LayerNorm(dim, eps=EPS)
        self.positions = nn.Parameter(torch.empty(grid[0] * grid[1] + 1, dim))
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        for matrix in (self.positions, self.qkv.weight):
            nn.init.trunc_normal_(matrix, std=dim**-0.5)
        nn.init.zeros_(self.qkv.bias)

    @override
    def attention(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b q n"]:
        """The weight of the mean is shared out over the tokens that it is the mean of."""
        weights = self._attend(self._norm(tokens))
        return weights[..., 1:] + weights[..., :1] / tokens.shape[1]

    @override
    def forward(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b o"]:
        normed = self._norm(tokens)
        weights = self._attend(normed)  # (b, q, 1 + n)
        pooled = normed.sum(weights[..., 1:] + weights[..., :1] / tokens.shape[1])
        # The positions are pooled by the same weights as the tokens that they were added to.
        pooled = pooled * self.norm.weight + self.norm.bias + weights @ self.positions
        return project_out(pooled, self.qkv, self.out)

    def _norm(self, tokens: Tensor) -> NormedTokens:
        if tokens.shape[1] != len(self.positions) - 1:
            raise InputError(
                f"method clip has a position for each patch of its {self.grid[0]} x "
                f"{self.grid[1]} grid, got {tokens.shape[1]} tokens: give it the patches alone, of "
                "that grid"
            )
        return norm_tokens(tokens, EPS)

    def _attend(self, normed: NormedTokens) -> Tensor:
        weight, bias = self.qkv.weight.chunk(3)[0], self.qkv.bias.chunk(3)[0]
        count = normed.tokens.shape[1]
        # The mean of normalised tokens, by the sum that never writes them out.
        even = torch.full_like(normed.rstd, 1.0 / count)
        mean = normed.sum(even)[:, 0] * self.norm.weight + self.norm.bias + self.positions[0]
        query = nn.functional.linear(mean, weight, bias)
        queries = fold_keys(query, self.qkv, self.num_heads)  # (b, q, d)
        scores = normed.scores(queries * self.norm.weight)
        # The first token, without its position, is the mean of the others: so is its score.
        scores = torch.cat([scores.mean(-1, keepdim=True), scores], dim=-1)
        return (scores + queries @ self.positions.T).softmax(-1)
