"""CaiT's class attention as a probe.

Source: Touvron et al., "Going Deeper with Image Transformers" (ICCV 2021), arXiv 2103.17239;
equations in docs/poolings.md: a learned class token attends to itself and the normalised tokens (4
heads), layer scale, residual; MLP, layer scale, residual; a last norm. Only the class token's row
is computed, and neither keys, values nor normalised tokens are built (see `attention`).

Shapes: b batch, n tokens, d token width, q heads, o output width (= d).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import override

from toolkit_probing.probes.attention import (
    Mlp,
    NormedTokens,
    ReadTokens,
    absorb_keys,
    check_heads,
    dropped,
    norm_tokens,
    norm_vector,
    project_values,
)
from toolkit_probing.probes.base import Count
from toolkit_probing.probes.learned_query import LearnedQuery

EPS, LAST_EPS = 1e-6, 1e-5
INIT_STD = 0.02
LAYER_SCALE = 1e-5


class CaiT(LearnedQuery):
    """Pool tokens with one class-attention block.

    Args:
        dim: Token width d.
        num_heads: Heads, one attention map each.

    Raises:
        InputError: If `dim` is not a multiple of `num_heads`.
    """

    title: ClassVar[str] = "CaiT class attention"
    source: ClassVar[str] = "Touvron et al., 2021"
    shifts: ClassVar[Mapping[str, int]] = {"last_norm.bias": 1}

    def __init__(self, dim: int, *, num_heads: Count = 4) -> None:
        super().__init__()
        self.out_dim = dim
        self.num_heads = check_heads(dim, num_heads)
        self.cls_token = nn.Parameter(torch.empty(1, dim))
        nn.init.trunc_normal_(self.cls_token, std=INIT_STD)
        self.norm = nn.LayerNorm(dim, eps=EPS)
        # Three maps, as published: lars takes the norm of each (docs/traps.md 22).
        self.to_query = nn.Linear(dim, dim)
        self.to_key = nn.Linear(dim, dim)
        self.to_value = nn.Linear(dim, dim)
        self.out = nn.Linear(dim, dim)
        self.attention_scale = nn.Parameter(torch.full((dim,), LAYER_SCALE))
        self.mlp_norm = nn.LayerNorm(dim, eps=EPS)
        self.mlp = Mlp(dim)
        self.mlp_scale = nn.Parameter(torch.full((dim,), LAYER_SCALE))
        self.last_norm = nn.LayerNorm(dim, eps=LAST_EPS)

    @override
    def attention(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b q n"]:
        """The weight that the class token gives itself is left out."""
        return self.scores(self.read(tokens))[..., 1:].softmax(-1)

    @override
    def read(self, tokens: Tensor) -> ReadTokens:
        return _WithClassToken(self.cls_token[0], norm_tokens(tokens, EPS))

    @override
    def folded_queries(self) -> Tensor:
        query = self.to_query(self.norm(self.cls_token[0]))
        # The norm's gain goes into the queries; its bias, and that of the keys, add the same to
        # every score.
        queries = absorb_keys(query, self.to_key.weight, self.num_heads) * self.norm.weight
        return queries + dropped(self.to_key.bias)

    @override
    def gather(self, pooled: Tensor) -> Tensor:
        # With the class token's own the weights sum to 1, so that the norm may follow the pooling.
        pooled = pooled * self.norm.weight + self.norm.bias
        values = project_values(pooled, self.to_value.weight, self.to_value.bias)
        attended = self.out(values)
        z = self.cls_token + self.attention_scale * attended
        return self.last_norm(z + self.mlp_scale * self.mlp(self.mlp_norm(z)))

    @override
    def converted(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        parts = dict(super().converted(state))
        for kind in ("weight", "bias"):
            joint = parts.pop(f"qkv.{kind}", None)
            if joint is not None:
                names = (f"to_query.{kind}", f"to_key.{kind}", f"to_value.{kind}")
                parts |= zip(names, joint.chunk(3), strict=True)
        return parts


@dataclass(frozen=True)
class _WithClassToken:
    """Normalised tokens behind the class token `(d,)`, the same for every image and normalised."""

    cls: Tensor
    tokens: NormedTokens

    def scores(self, queries: Tensor) -> Tensor:
        scores, own = self.tokens.scores(queries), queries @ norm_vector(self.cls, EPS)
        return torch.cat([own.expand(len(scores), -1).unsqueeze(-1), scores], dim=-1)

    def sum(self, weights: Tensor) -> Tensor:
        pooled = self.tokens.sum(weights[..., 1:])
        return pooled + weights[..., :1] * norm_vector(self.cls, EPS)
