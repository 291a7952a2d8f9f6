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

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from typing_extensions import override

from toolkit_probing.probes.attention import (
    absorb_keys,
    check_heads,
    dropped,
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
    shifts: ClassVar[Mapping[str, int]] = {"value_norm.bias": 1, "out.bias": 1}

    def __init__(self, dim: int, *, num_heads: Count = 8) -> None:
        super().__init__()
        self.out_dim = dim
        self.num_heads = check_heads(dim, num_heads)
        self.query = nn.Parameter(torch.zeros(1, dim))
        self.query_norm = nn.LayerNorm(dim, eps=EPS)
        self.key_norm = nn.LayerNorm(dim, eps=EPS)
        self.value_norm = nn.LayerNorm(dim, eps=EPS)
        self.to_query = nn.Linear(dim, dim, bias=False)
        self.to_key = nn.Linear(dim, dim, bias=False)
        self.to_value = nn.Linear(dim, dim, bias=False)
        self.out = nn.Linear(dim, dim)

    @override
    def folded_queries(self) -> Tensor:
        query = self.to_query(self.query_norm(self.query[0]))
        absorbed = absorb_keys(query, self.to_key.weight, self.num_heads)
        # The norm's bias adds the same to every score.
        return absorbed * self.key_norm.weight + dropped(self.key_norm.bias)

    @override
    def gather(self, pooled: Tensor) -> Tensor:
        # Weights sum to 1: gain and bias of the norm may follow the pooling.
        pooled = pooled * self.value_norm.weight + self.value_norm.bias
        return self.out(project_values(pooled, self.to_value.weight))
