"""Efficient SimPool: SimPool with heads in place of projections; all it trains is a layer norm.

Source: Psomas et al., "Attention, Please!" (ICLR 2026), arXiv 2506.10178; equations in
docs/poolings.md: query, the normalised mean; keys, the normalised tokens; values, the raw tokens. A
head's query is laid into a vector of the full width, zero elsewhere: more products, but no strided
copy of the tokens, which costs more (see `attention` for the norm).

Shapes: b batch, n tokens, d token width, q heads, m = d/q, o output width (= d).
"""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import override

from toolkit_probing.probes import gemm
from toolkit_probing.probes.attention import check_heads, norm_tokens
from toolkit_probing.probes.base import AttentivePool, Count

EPS = 1e-6
NUM_HEADS = 12


class EfficientSimPool(AttentivePool):
    """Pool tokens with their mean as the query, head by head.

    Args:
        dim: Token width d.
        num_heads: Heads; by default the paper's 12, or where 12 does not divide `dim` (1280, 1408)
            the largest count below that does.

    Raises:
        InputError: If `dim` is not a multiple of `num_heads`.
    """

    title: ClassVar[str] = "Efficient SimPool"
    source: ClassVar[str] = "Psomas et al., 2026"

    def __init__(self, dim: int, *, num_heads: Count | None = None) -> None:
        super().__init__()
        fitting = max(count for count in range(1, NUM_HEADS + 1) if dim % count == 0)
        self.num_heads = check_heads(dim, fitting if num_heads is None else num_heads)
        self.out_dim = dim
        self.norm = nn.LayerNorm(dim, eps=EPS)

    @override
    def attention(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b q n"]:
        width = self.out_dim // self.num_heads
        # The gain twice: the query's own norm, and that of the keys, which folds into the query.
        # Their bias adds a constant.
        query = self.norm(tokens.mean(1)) * self.norm.weight * width**-0.5
        heads = query.unflatten(-1, (self.num_heads, 1, width))  # (b, q, 1, m)
        own = torch.eye(self.num_heads, dtype=heads.dtype, device=heads.device).unsqueeze(-1)
        wide = (heads * own).flatten(2)  # (b, q, d), zero outside a head's own m
        return norm_tokens(tokens, EPS).scores(wide).softmax(-1)

    @override
    def forward(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b o"]:
        pooled = gemm.pool(self.attention(tokens), tokens).unflatten(-1, (self.num_heads, -1))
        # Of what a head pooled only its own channels are its output.
        return pooled.diagonal(dim1=1, dim2=2).transpose(1, 2).flatten(1)
