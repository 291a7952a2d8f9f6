"""AIM's attentive probe: batch-normalised tokens, one learned query.

Source: El-Nouby et al., "Scalable Pre-training of Large Autoregressive Image Models" (2024), arXiv
2401.08541; equations in docs/poolings.md: batch norm over images and tokens per channel, keys and
values without biases, no output projection; 16 heads (the paper's has 12). The norm is affine per
channel, so that it folds into queries and pooled values; neither normalised tokens, keys nor values
are built (see `attention`).

Shapes: b batch, n tokens, d token width, q heads, o output width (= d).
"""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import override

from toolkit_common.training.distributed import BatchNorm, sum_over_ranks
from toolkit_probing.probes import gemm
from toolkit_probing.probes.attention import (
    absorb_keys,
    check_heads,
    project_values,
)
from toolkit_probing.probes.base import AttentivePool, Count

EPS = 1e-6
QUERY_STD = 0.02


class Aim(AttentivePool):
    """Pool batch-normalised tokens with a learned query.

    Args:
        dim: Token width d.
        num_heads: Heads, one attention map each.

    Raises:
        InputError: If `dim` is not a multiple of `num_heads`.
    """

    title: ClassVar[str] = "AIM attentive probe"
    source: ClassVar[str] = "El-Nouby et al., 2024"

    def __init__(self, dim: int, *, num_heads: Count = 16) -> None:
        super().__init__()
        self.out_dim = dim
        self.num_heads = check_heads(dim, num_heads)
        self.norm = FoldedBatchNorm(dim, eps=EPS, affine=False)
        self.query = nn.Parameter(torch.randn(1, dim) * QUERY_STD)
        self.to_key = nn.Linear(dim, dim, bias=False)
        self.to_value = nn.Linear(dim, dim, bias=False)

    def _attend(self, tokens: Tensor, scale: Tensor) -> Tensor:
        queries = absorb_keys(self.query[0], self.to_key.weight, self.num_heads)
        # The mean adds a constant over tokens to the scores, which the softmax drops.
        return gemm.scores(queries * scale, tokens).softmax(-1)

    @override
    def attention(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b q n"]:
        # A map that is looked at must not move the running statistics.
        return self._attend(tokens, self.norm.statistics(tokens)[1])

    @override
    def forward(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b o"]:
        mean, scale = self.norm.statistics(tokens, track=True)
        # Weights sum to 1: the mean is subtracted once, from what is pooled.
        pooled = (gemm.pool(self._attend(tokens, scale), tokens) - mean) * scale
        return project_values(pooled, self.to_value.weight)


class FoldedBatchNorm(BatchNorm):
    """Batch norm of tokens `(b, n, d)` that gives its statistics instead of normalised tokens."""

    def statistics(self, tokens: Tensor, *, track: bool = False) -> tuple[Tensor, Tensor]:
        """Return mean and scale `(d,)`, so that the norm is `(tokens - mean) * scale`.

        In evaluation they are the running ones; in training those of the batch (of all ranks),
        which the running ones follow if `track`.
        """
        assert self.running_mean is not None
        assert self.running_var is not None
        if not self.training:
            return self.running_mean, (self.running_var + self.eps).rsqrt()
        # In the norm's own precision: sums over all images of half-precision tokens would drift.
        rows = tokens.flatten(0, 1).to(self.running_mean.dtype)
        # Ranks may bring unequal rows: how many, and how many ranks, travel with the sums.
        counts = rows.new_ones(2)
        counts[0].fill_(len(rows))
        shared = sum_over_ranks(torch.cat([counts, rows[0].detach(), rows.sum(0)]))
        (count, ranks), (first, total) = shared[:2].detach(), shared[2:].chunk(2)
        mean = total / count
        # Sums of squares are taken about the first row, near the mean: nothing cancels.
        first = first.detach() / ranks
        # Any constant gives the same variance, hence no gradient through it.
        squares = sum_over_ranks((rows - first).square().sum(0)) / count
        variance = squares - (mean - first).square()
        if track:
            unbiased = variance.detach() * count / (count - 1).clamp_min(1)
            self._update_running_(mean.detach(), unbiased)
        return mean, (variance + self.eps).rsqrt()
