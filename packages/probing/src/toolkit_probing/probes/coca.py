"""CoCa's attentional pooler as a probe.

Source: Yu et al., "CoCa: Contrastive Captioners are Image-Text Foundation Models" (2022), arXiv
2205.01917; equations in docs/poolings.md: 8 heads of 64, whatever the token width, that share one
key and one value map; of 196 learned queries only the first is read. The other 195 are kept so that
parameters count as published; their gradient is zero. We pool raw tokens and project after.

Shapes: b batch, n tokens, d token width, q heads, o output width (= d).
"""

from typing import ClassVar

import torch
from torch import Tensor, nn
from typing_extensions import override

from toolkit_common.errors import InputError
from toolkit_probing.probes.base import Count
from toolkit_probing.probes.learned_query import LearnedQuery

HEAD_DIM = 64
NUM_QUERIES = 196


class CoCa(LearnedQuery):
    """Pool tokens with multi-query attention of a learned query.

    Args:
        dim: Token width d.
        num_heads: Heads of 64, one attention map each.

    Raises:
        InputError: If `num_heads` is below 1.
    """

    title: ClassVar[str] = "CoCa attentional pooler"
    source: ClassVar[str] = "Yu et al., 2022"

    def __init__(self, dim: int, *, num_heads: Count = 8) -> None:
        super().__init__()
        if num_heads < 1:
            raise InputError(f"coca needs one head or more, got {num_heads=}")
        self.out_dim = dim
        self.num_heads = num_heads
        self.queries = nn.Parameter(torch.randn(NUM_QUERIES, dim))
        self.norm = nn.LayerNorm(dim, bias=False)
        self.to_query = nn.Linear(dim, num_heads * HEAD_DIM, bias=False)
        self.to_key_value = nn.Linear(dim, 2 * HEAD_DIM, bias=False)
        self.out = nn.Linear(num_heads * HEAD_DIM, dim, bias=False)

    @override
    def folded_queries(self) -> Tensor:
        key_weight, _ = self.to_key_value.weight.chunk(2)
        # The others are there for the published count of parameters alone.
        query = self.to_query(self.norm(self.queries[0]))
        # All heads share one key map, so that it folds into their queries at once.
        return query.unflatten(0, (self.num_heads, HEAD_DIM)) * HEAD_DIM**-0.5 @ key_weight

    @override
    def gather(self, pooled: Tensor) -> Tensor:
        _, value_weight = self.to_key_value.weight.chunk(2)
        return self.out((pooled @ value_weight.T).flatten(1))  # (b, q, 64) -> (b, o)
