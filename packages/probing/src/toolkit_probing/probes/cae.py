"""CAE's attentive probe.

Source: Chen et al., "Context Autoencoder for Self-Supervised Representation Learning" (2022), arXiv
2202.03026; equations in docs/poolings.md: a learned query, a norm each for query, keys and values,
no qkv bias, no residual, no MLP. The authors build a fourth norm that nothing reads (2 d parameters
in published counts); ours leaves it out, since parameters without a gradient stop distributed
training. Neither keys, values nor normalised tokens are built (see `attention`).

The query starts at zero, so that attention starts uniform and, besides value and output maps, only
the query and its norm's bias learn at first.

Shapes: b batch, n tokens, d token width, q heads, o output width (= d).
"""

from typing import ClassVar

import torch
from torch import Tensor, nn
from typing_extensions import override

from toolkit_probing.probes.attention import (
    ReadTokens,
    absorb_keys,
    check_heads,
    project_values,
)
from toolkit_probing.probes.base import Count
from toolkit_probing.probes.learned_query import LearnedQuery

EPS = 1e-5


class Cae(LearnedQuery):
    """Pool tokens with a learned query and three norms.

    Args:
        dim: Token width d.
        num_heads: Heads, one attention map each.

    Raises:
        InputError: If `dim` is not a multiple of `num_heads`.
    """

    title: ClassVar[str] = "CAE attentive probe"
    source: ClassVar[str] = "Chen et al., 2022"
    eps: ClassVar[float | None] = EPS

    def __init__(self, dim: int, *, num_heads: Count = 8) -> None:
        super().__init__()
        self.out_dim = dim
        self.num_heads = check_heads(dim, num_heads)
        self.query = nn.Parameter(torch.zeros(dim))  # see docs/traps.md 22
        self.query_norm = nn.LayerNorm(dim, eps=EPS)
        self.key_norm = nn.LayerNorm(dim, eps=EPS)
        self.value_norm = nn.LayerNorm(dim, eps=EPS)
        self.to_query = nn.Linear(dim, dim, bias=False)
        self.to_key = nn.Linear(dim, dim, bias=False)
        self.to_value = nn.Linear(dim, dim, bias=False)
        self.out = nn.Linear(dim, dim)

    @override
    def folded_queries(self) -> Tensor:
        return self._absorbed() * self.key_norm.weight

    @override
    def scores(self, read: ReadTokens) -> Tensor:
        # The norm's bias adds a constant over tokens, which the softmax drops; it stays in the
        # graph, so that its gradient is the zero it is and not missing.
        absorbed = self._absorbed()
        constant = absorbed @ self.key_norm.bias
        return read.scores(absorbed * self.key_norm.weight) + constant.unsqueeze(-1)

    @override
    def gather(self, pooled: Tensor) -> Tensor:
        # Weights sum to 1: gain and bias of the norm may follow the pooling.
        pooled = pooled * self.value_norm.weight + self.value_norm.bias
        return self.out(project_values(pooled, self.to_value.weight))

    def _absorbed(self) -> Tensor:
        """Return the queries of tokens that the keys' norm has scaled and shifted."""
        query = self.to_query(self.query_norm(self.query))
        return absorb_keys(query, self.to_key.weight, self.num_heads)
