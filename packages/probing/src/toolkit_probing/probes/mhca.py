"""Multi-head cross-attention (MHCA): the plain attentive probe with one learned query.

Source: Vaswani et al., "Attention Is All You Need" (2017), as EP's paper compares against. The form
is that of `nn.MultiheadAttention`, which has a bias in each map, with a learned query that is
projected like the tokens: `y = W_o MHA(W_q c + b_q, W_k X + b_k, W_v X + b_v) + b_o`. No residual,
norm or MLP. We pool raw tokens and project after (see `attention`).

Shapes: b batch, n tokens, d token width, q heads, o output width (= d).
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from typing_extensions import override

from toolkit_probing.probes.attention import check_heads, fold_keys, project_out
from toolkit_probing.probes.base import Count
from toolkit_probing.probes.learned_query import LearnedQuery

QUERY_STD = 0.02


class MultiHeadCrossAttention(LearnedQuery):
    """Pool tokens with one learned query and full projections.

    Args:
        dim: Token width d.
        num_heads: Heads, one attention map each.

    Raises:
        InputError: If `dim` is not a multiple of `num_heads`.
    """

    title: ClassVar[str] = "Multi-head cross-attention"
    source: ClassVar[str] = "Vaswani et al., 2017"
    shifts: ClassVar[Mapping[str, int]] = {"to_key_value.bias": 1, "out.bias": 1}

    def __init__(self, dim: int, *, num_heads: Count = 8) -> None:
        super().__init__()
        self.out_dim = dim
        self.num_heads = check_heads(dim, num_heads)
        self.query = nn.Parameter(torch.randn(1, dim) * QUERY_STD)
        self.to_query = nn.Linear(dim, dim)
        self.to_key_value = nn.Linear(dim, 2 * dim)
        self.out = nn.Linear(dim, dim)

    @override
    def folded_queries(self) -> Tensor:
        return fold_keys(self.to_query(self.query[0]), self.to_key_value, self.num_heads)

    @override
    def gather(self, pooled: Tensor) -> Tensor:
        return project_out(pooled, self.to_key_value, self.out)
