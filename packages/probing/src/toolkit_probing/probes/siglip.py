"""SigLIP's attention pooling head (MAP) as a probe.

Source: Zhai et al., "Sigmoid Loss for Language Image Pre-Training" (2023), arXiv 2303.15343;
equations in docs/poolings.md: a latent query attends to the tokens with full projections, then
`y = z + MLP(z)` without a norm. We pool raw tokens and project after (see `attention`).

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


class SigLip(LearnedQuery):
    """Pool tokens with a latent query and an MLP.

    Args:
        dim: Token width d.
        num_heads: Heads, one attention map each.

    Raises:
        InputError: If `dim` is not a multiple of `num_heads`.
    """

    title: ClassVar[str] = "SigLIP attention pooling"
    source: ClassVar[str] = "Zhai et al., 2023"
    shifts: ClassVar[Mapping[str, int]] = {"mlp.second.bias": 1}

    def __init__(self, dim: int, *, num_heads: Count = 8) -> None:
        super().__init__()
        self.out_dim = dim
        self.num_heads = check_heads(dim, num_heads)
        self.latent = nn.Parameter(torch.empty(1, dim))
        # As timm: a standard normal truncated at 2, scaled; the truncation narrows it a little.
        nn.init.trunc_normal_(self.latent, std=1.0, a=-2.0, b=2.0)
        self.latent.data.mul_(dim**-0.5)
        self.to_query = nn.Linear(dim, dim)
        self.to_key_value = nn.Linear(dim, 2 * dim)
        self.out = nn.Linear(dim, dim)
        self.mlp = Mlp(dim)

    @override
    def folded_queries(self) -> Tensor:
        return fold_keys(self.to_query(self.latent[0]), self.to_key_value, self.num_heads)

    @override
    def gather(self, pooled: Tensor) -> Tensor:
        z = project_out(pooled, self.to_key_value, self.out)
        return z + self.mlp(z)
