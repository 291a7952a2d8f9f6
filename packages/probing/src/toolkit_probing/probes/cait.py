"""CaiT's class attention as a probe.

Source: Touvron et al., "Going Deeper with Image Transformers" (ICCV 2021), arXiv 2103.17239;
equations in docs/poolings.md: a learned class token attends to itself and the normalised tokens (4
heads), layer scale, residual; MLP, layer scale, residual; a last norm. Only the class token's row
is computed, and neither keys, values nor normalised tokens are built (see `attention`).

Shapes: b batch, n tokens, d token width, q heads, o output width (= d).
"""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import override

from toolkit_probing.probes.attention import (
    Mlp,
    NormedTokens,
    absorb_keys,
    check_heads,
    norm_tokens,
    norm_vector,
    project_values,
)
from toolkit_probing.probes.base import AttentivePool, Count

EPS, LAST_EPS = 1e-6, 1e-5
INIT_STD = 0.02
LAYER_SCALE = 1e-5


class CaiT(AttentivePool):
    """Pool tokens with one class-attention block.

    Args:
        dim: Token width d.
        num_heads: Heads, one attention map each.

    Raises:
        InputError: If `dim` is not a multiple of `num_heads`.
    """

    title: ClassVar[str] = "CaiT class attention"
    source: ClassVar[str] = "Touvron et al., 2021"

    def __init__(self, dim: int, *, num_heads: Count = 4) -> None:
        super().__init__()
        self.out_dim = dim
        self.num_heads = check_heads(dim, num_heads)
        self.cls_token = nn.Parameter(torch.empty(dim))
        nn.init.trunc_normal_(self.cls_token, std=INIT_STD)
        self.norm = nn.LayerNorm(dim, eps=EPS)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.attention_scale = nn.Parameter(torch.full((dim,), LAYER_SCALE))
        self.mlp_norm = nn.LayerNorm(dim, eps=EPS)
        self.mlp = Mlp(dim)
        self.mlp_scale = nn.Parameter(torch.full((dim,), LAYER_SCALE))
        self.last_norm = nn.LayerNorm(dim, eps=LAST_EPS)

    @override
    def attention(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b q n"]:
        """The weight that the class token gives itself is left out."""
        return self._scores(norm_tokens(tokens, EPS))[..., 1:].softmax(-1)

    @override
    def forward(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b o"]:
        normed = norm_tokens(tokens, EPS)
        weights = self._scores(normed).softmax(-1)  # (b, q, 1 + n)
        pooled = normed.sum(weights[..., 1:])
        pooled = pooled + weights[..., :1] * norm_vector(self.cls_token, EPS)
        pooled = pooled * self.norm.weight + self.norm.bias
        _, _, weight = self.qkv.weight.chunk(3)
        _, _, bias = self.qkv.bias.chunk(3)
        attended = self.out(project_values(pooled, weight, bias))
        z = self.cls_token + self.attention_scale * attended
        return self.last_norm(z + self.mlp_scale * self.mlp(self.mlp_norm(z)))

    def _scores(self, normed: NormedTokens) -> Tensor:
        query_weight, key_weight, _ = self.qkv.weight.chunk(3)
        query_bias, _, _ = self.qkv.bias.chunk(3)
        query = nn.functional.linear(self.norm(self.cls_token), query_weight, query_bias)
        queries = absorb_keys(query, key_weight, self.num_heads) * self.norm.weight  # (q, d)
        scores = normed.scores(queries)
        own = queries @ norm_vector(self.cls_token, EPS)
        return torch.cat([own.expand(len(scores), -1).unsqueeze(-1), scores], dim=-1)
