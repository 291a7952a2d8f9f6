"""A pre-norm transformer over tokens with a mask, in two configurations.

`plain`: GELU and a final norm, as in TRACE and ViT. `ft`: FT-Transformer (Gorishniy et al.,
"Revisiting Deep Learning Models for Tabular Data", NeurIPS 2021, section 3.3): ReGLU, and the very
first norm left out, which its authors call crucial; their final norm belongs to the head, which is
not ours. Tested against `rtdl_revisiting_models` 0.0.2.

Why not `nn.TransformerEncoderLayer` for `plain`: it computes the same (tested), not the same bits.
Gradients differ in the last digit (3e-10), and without gradients it takes a fused path (7e-7); its
first weights are others (Xavier), its parameters have other names than those of exports written so
far; and ReGLU needs a block of our own in any case, which would then be a second one.

Shapes: m rows, s tokens, d width, h heads.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from toolkit_slimp.settings import SlimpSettings


class Block(nn.Module):
    """Attention and MLP, each on a normed copy and added back.

    Args:
        settings: Of them those of the metadata encoders.
        is_first: Whether it is the first block, whose attention reads the tokens as they are in
            `ft`.

    Shape:
        tokens `(m, s, d)`, present `(m, s)` -> `(m, s, d)`.
    """

    def __init__(self, settings: SlimpSettings, *, is_first: bool) -> None:
        super().__init__()
        dim, hidden = settings.metadata_dim, settings.metadata_hidden_dim
        self.num_heads = settings.metadata_heads
        self.gated = settings.metadata_blocks == "ft"
        self.attention_norm = nn.Identity() if self.gated and is_first else nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.mlp_norm = nn.LayerNorm(dim)
        self.widen = nn.Linear(dim, 2 * hidden if self.gated else hidden)
        self.narrow = nn.Linear(hidden, dim)

    @override
    def forward(
        self, tokens: Float[Tensor, "m s d"], present: Bool[Tensor, "m s"]
    ) -> Float[Tensor, "m s d"]:
        tokens = tokens + self._attend(self.attention_norm(tokens), present)
        hidden = self.widen(self.mlp_norm(tokens))
        if self.gated:
            value, gate = hidden.chunk(2, dim=-1)
            return tokens + self.narrow(value * F.relu(gate))
        return tokens + self.narrow(F.gelu(hidden))

    def _attend(self, tokens: Tensor, present: Tensor) -> Tensor:
        split = (3, self.num_heads, tokens.shape[2] // self.num_heads)
        query, key, value = self.qkv(tokens).unflatten(2, split).permute(2, 0, 3, 1, 4)
        # Of keys: whoever asks sees those that are present; what the absent ones ask is read by
        # nobody.
        mask = present[:, None, None, :]
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)  # (m, h, s, d/h)
        return self.out(mixed.transpose(1, 2).flatten(2))


class Transformer(nn.Module):
    """Blocks one after the other; every row must have a token that is present.

    Args:
        settings: Of them those of the metadata encoders; see the module's docstring.

    Shape:
        tokens `(m, s, d)`, present `(m, s)` -> `(m, s, d)`.
    """

    def __init__(self, settings: SlimpSettings) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            Block(settings, is_first=number == 0) for number in range(settings.metadata_depth)
        )
        is_ft = settings.metadata_blocks == "ft"
        self.norm = nn.Identity() if is_ft else nn.LayerNorm(settings.metadata_dim)

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
