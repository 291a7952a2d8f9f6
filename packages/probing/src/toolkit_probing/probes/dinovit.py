"""A transformer block of DINO's ViT as a probe; the mean of its output.

Source: Caron et al., "Emerging Properties in Self-Supervised Vision Transformers" (DINO, ICCV
2021), arXiv 2104.14294; equations in docs/poolings.md: `Z = X + attention(LN X)`,
`y = mean_n(Z + MLP(LN Z))`, 8 heads, no qkv bias, no layer scale. Every token attends to every
other: by far the dearest. The MLP's second map is linear, so that it follows the mean; the n x n
attention is never kept.

Shapes: b batch, n tokens, d token width, h heads, m = d/h, o output width (= d).
"""

from collections.abc import Mapping
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from toolkit_probing.probes import gemm
from toolkit_probing.probes.attention import Mlp, check_heads
from toolkit_probing.probes.base import Count, Pool


class DinoViT(Pool):
    """Pool tokens by the mean of a transformer block.

    Args:
        dim: Token width d.
        num_heads: Heads.

    Raises:
        InputError: If `dim` is not a multiple of `num_heads`.
    """

    title: ClassVar[str] = "DINO ViT block"
    source: ClassVar[str] = "Caron et al., 2021"
    shifts: ClassVar[Mapping[str, int]] = {"mlp.second.bias": 1}

    def __init__(self, dim: int, *, num_heads: Count = 8) -> None:
        super().__init__()
        self.out_dim = dim
        self.num_heads = check_heads(dim, num_heads)
        self.norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.out = nn.Linear(dim, dim)
        self.mlp_norm = nn.LayerNorm(dim)
        self.mlp = Mlp(dim)

    @override
    def forward(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b o"]:
        # Every token is query and key: nothing folds, and all of them are projected.
        qkv = gemm.linear(self.norm(tokens), self.qkv.weight).unflatten(-1, (3, self.num_heads, -1))
        queries, keys, values = qkv.permute(2, 0, 3, 1, 4)  # (b, h, n, m) each
        # Fused: the n x n weights are neither written out nor kept.
        attended = F.scaled_dot_product_attention(queries, keys, values)
        mixed = attended.transpose(1, 2).flatten(2)
        z = tokens + gemm.linear(mixed, self.out.weight, self.out.bias)
        first = self.mlp.first
        hidden = F.gelu(gemm.linear(self.mlp_norm(z), first.weight, first.bias))
        return z.mean(1) + self.mlp.second(hidden.mean(1))
