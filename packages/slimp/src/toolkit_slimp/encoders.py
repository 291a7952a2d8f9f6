"""The metadata encoder: a transformer over one token a column, with missing values masked out.

Per-column tokens, a CLS token and pre-norm blocks as in FT-Transformer (Gorishniy et al., NeurIPS
2021), the family that TRACE (arXiv 2411.08701) and hence most likely SLIMP belong to
(specs/slimp.md 1.3). A missing column is no token at all: it is masked in attention and in the
mean, and a row without any value is told by CLS alone.

Shapes: m rows, r numeric inputs, c categorical columns, t = r + c column tokens, d width.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import override

from toolkit_slimp.schema import UNKNOWN, Metadata, Schema

MLP_RATIO = 4


class MetadataEncoder(nn.Module):
    """Encode one level's metadata to a vector.

    Args:
        schema: Columns of one level.
        dim: Width d.
        depth: Number of transformer blocks.
        num_heads: Attention heads.
        dropout: In attention and MLP, in [0, 1).
        pooling: `cls`, or `mean` over the observed columns' tokens.

    Shape:
        metadata of m rows -> `(m, d)`.
    """

    def __init__(
        self,
        schema: Schema,
        *,
        dim: int = 128,
        depth: int = 2,
        num_heads: int = 4,
        dropout: float = 0.0,
        pooling: Literal["cls", "mean"] = "mean",
    ) -> None:
        super().__init__()
        self.pooling = pooling
        self.out_dim = dim
        numeric = schema.num_numeric_inputs
        sizes = [len(column.categories) + UNKNOWN + 1 for column in schema.categorical]
        self.numeric_weight = nn.Parameter(torch.empty(numeric, dim))
        self.column_bias = nn.Parameter(torch.empty(numeric + len(sizes), dim))
        self.category_starts: Tensor
        self.categories = nn.Embedding(max(1, sum(sizes)), dim)
        starts = torch.tensor([0, *sizes]).cumsum(0)[:-1]
        self.register_buffer("category_starts", starts, persistent=False)
        self.cls = nn.Parameter(torch.empty(dim))
        bound = dim**-0.5
        for parameter in (self.numeric_weight, self.column_bias, self.categories.weight, self.cls):
            nn.init.uniform_(parameter, -bound, bound)
        block = nn.TransformerEncoderLayer(
            dim,
            num_heads,
            dim_feedforward=MLP_RATIO * dim,
            dropout=dropout,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.blocks = nn.TransformerEncoder(block, depth, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(dim)

    @override
    def forward(self, metadata: Metadata) -> Float[Tensor, "m d"]:
        tokens = self._tokens(metadata)  # (m, 1 + t, d)
        observed = metadata.observed
        present = torch.cat([observed.new_ones(len(observed), 1), observed], dim=1)
        encoded = self.norm(self.blocks(tokens, src_key_padding_mask=~present))
        if self.pooling == "cls":
            return encoded[:, 0]
        # A row without a value has nothing to average but its CLS token.
        has_any = observed.any(dim=1, keepdim=True)
        weights = torch.cat([~has_any, observed], dim=1).to(encoded.dtype)
        return torch.einsum("mt,mtd->md", weights / weights.sum(dim=1, keepdim=True), encoded)

    def _tokens(self, metadata: Metadata) -> Tensor:
        numeric = metadata.numeric.unsqueeze(-1) * self.numeric_weight  # (m, r, d)
        words = self.categories(metadata.categorical + self.category_starts)  # (m, c, d)
        columns = torch.cat([numeric, words], dim=1) + self.column_bias
        return torch.cat([self.cls.expand(len(columns), 1, -1), columns], dim=1)
