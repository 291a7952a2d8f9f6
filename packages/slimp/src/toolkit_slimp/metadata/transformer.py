"""A pre-norm transformer over tokens with a mask, in two configurations.

`plain`: GELU and a final norm, as in TRACE and ViT. `ft`: FT-Transformer (Gorishniy et al.,
"Revisiting Deep Learning Models for Tabular Data", NeurIPS 2021, section 3.3): ReGLU, and the very
first norm left out, which its authors call crucial; their final norm belongs to the head, which is
not ours. Tested against `rtdl_revisiting_models` 0.0.2.

Shapes: m rows, s tokens, d width, h heads, f hidden width.
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

Style = Literal["plain", "ft"]


class Block(nn.Module):
    """Attention and MLP, each on a normed copy and added back.

    Args:
        dim: Width d, a multiple of `num_heads`.
        num_heads: Attention heads h.
        hidden_dim: Width f between the two layers of the MLP.
        dropout: Of attention weights and of the MLP's hidden layer, in [0, 1).
        gated: ReGLU instead of GELU.
        norm_first: Whether attention reads a normed copy.

    Shape:
        tokens `(m, s, d)`, present `(m, s)` -> `(m, s, d)`.
    """

    def __init__(
        self,
        dim: int,
        *,
        num_heads: int,
        hidden_dim: int,
        dropout: float = 0.0,
        gated: bool = False,
        norm_first: bool = True,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.dropout = dropout
        self.gated = gated
        self.attention_norm = nn.LayerNorm(dim) if norm_first else nn.Identity()
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.mlp_norm = nn.LayerNorm(dim)
        self.widen = nn.Linear(dim, (2 if gated else 1) * hidden_dim)
        self.narrow = nn.Linear(hidden_dim, dim)

    @override
    def forward(
        self, tokens: Float[Tensor, "m s d"], present: Bool[Tensor, "m s"]
    ) -> Float[Tensor, "m s d"]:
        tokens = tokens + self._attend(self.attention_norm(tokens), present)
        hidden = self.widen(self.mlp_norm(tokens))
        if self.gated:
            value, gate = hidden.chunk(2, dim=-1)
            hidden = value * F.relu(gate)
        else:
            hidden = F.gelu(hidden)
        return tokens + self.narrow(F.dropout(hidden, self.dropout, self.training))

    def _attend(self, tokens: Tensor, present: Tensor) -> Tensor:
        split = (3, self.num_heads, tokens.shape[2] // self.num_heads)
        query, key, value = self.qkv(tokens).unflatten(2, split).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=present[:, None, None, :],
            dropout_p=self.dropout if self.training else 0.0,
        )  # (m, h, s, d/h)
        return self.out(mixed.transpose(1, 2).flatten(2))


class Transformer(nn.Module):
    """Blocks one after the other; every row must have a token that is present.

    Args:
        dim: Width d.
        depth: Number of blocks.
        num_heads: Attention heads h.
        mlp_ratio: Hidden width f over width d.
        dropout: Of attention weights and hidden layers, in [0, 1).
        style: `plain` or `ft`; see the module's docstring.

    Shape:
        tokens `(m, s, d)`, present `(m, s)` -> `(m, s, d)`.
    """

    def __init__(
        self,
        dim: int,
        *,
        depth: int,
        num_heads: int,
        mlp_ratio: float,
        dropout: float = 0.0,
        style: Style = "plain",
    ) -> None:
        super().__init__()
        is_ft = style == "ft"
        self.blocks = nn.ModuleList(
            Block(
                dim,
                num_heads=num_heads,
                hidden_dim=int(dim * mlp_ratio),
                dropout=dropout,
                gated=is_ft,
                norm_first=not is_ft or number > 0,
            )
            for number in range(depth)
        )
        self.norm = nn.Identity() if is_ft else nn.LayerNorm(dim)

    @override
    def forward(
        self, tokens: Float[Tensor, "m s d"], present: Bool[Tensor, "m s"]
    ) -> Float[Tensor, "m s d"]:
        for block in self.blocks:
            tokens = block(tokens, present)
        normed: Tensor = self.norm(tokens)
        return normed


def masked_mean(
    tokens: Float[Tensor, "m s d"], present: Bool[Tensor, "m s"]
) -> Float[Tensor, "m d"]:
    """Average the tokens that are present; every row must have one."""
    weights = present.to(tokens.dtype)
    return torch.einsum("ms,msd->md", weights / weights.sum(dim=1, keepdim=True), tokens)
