"""V-JEPA's attentive pooler as a probe.

Source: Bardes et al., "Revisiting Feature Prediction for Learning Visual Representations from
Video" (V-JEPA, 2024), arXiv 2404.08471; equations in docs/poolings.md: a learned query
cross-attends to normalised tokens, residual, then an MLP with its norm, residual. 16 heads
(upstream 12).
Neither keys, values nor normalised tokens are built (see `attention`).

Shapes: b batch, n tokens, d token width, q heads, o output width (= d).
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from typing_extensions import override

from toolkit_probing.probes.attention import Mlp, check_heads, fold_keys, project_out
from toolkit_probing.probes.base import Count
from toolkit_probing.probes.learned_query import LearnedQuery

EPS = 1e-5
INIT_STD = 0.02


class Jepa(LearnedQuery):
    """Pool tokens with a learned query in a cross-attention block.

    Args:
        dim: Token width d.
        num_heads: Heads, one attention map each.

    Raises:
        InputError: If `dim` is not a multiple of `num_heads`.
    """

    title: ClassVar[str] = "V-JEPA attentive pooler"
    source: ClassVar[str] = "Bardes et al., 2024"
    eps: ClassVar[float | None] = EPS
    shifts: ClassVar[Mapping[str, int]] = {"mlp.second.bias": 1}

    def __init__(self, dim: int, *, num_heads: Count = 16) -> None:
        super().__init__()
        self.out_dim = dim
        self.num_heads = check_heads(dim, num_heads)
        self.query = nn.Parameter(torch.empty(1, dim))
        nn.init.trunc_normal_(self.query, std=INIT_STD)
        self.norm = nn.LayerNorm(dim, eps=EPS)
        self.to_query = nn.Linear(dim, dim)
        self.to_key_value = nn.Linear(dim, 2 * dim)
        self.out = nn.Linear(dim, dim)
        self.mlp_norm = nn.LayerNorm(dim, eps=EPS)
        self.mlp = Mlp(dim)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=INIT_STD)
                nn.init.zeros_(module.bias)
        # V-JEPA divides what feeds a residual by sqrt(2 layer); this is layer 1.
        with torch.no_grad():
            for matrix in (self.out.weight, self.mlp.second.weight):
                matrix.div_(2**0.5)

    @override
    def folded_queries(self) -> Tensor:
        queries = fold_keys(self.to_query(self.query[0]), self.to_key_value, self.num_heads)
        return queries * self.norm.weight

    @override
    def gather(self, pooled: Tensor) -> Tensor:
        pooled = pooled * self.norm.weight + self.norm.bias
        z = self.query + project_out(pooled, self.to_key_value, self.out)
        return z + self.mlp(self.mlp_norm(z))
