"""The metadata encoder: a transformer over one token a column, with missing values masked out.

Per-column tokens and a CLS token as in FT-Transformer (Gorishniy et al., NeurIPS 2021), the family
that TRACE (arXiv 2411.08701) and hence most likely SLIMP belong to (docs/slimp.md). A missing
column is no token at all, masked in attention and in the mean, so that CLS alone stands for a row
without any value.

Shapes: m rows, t columns, r numeric inputs, w words, d width.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from toolkit_slimp.metadata.schema import Metadata, Schema
from toolkit_slimp.metadata.transformer import Transformer, masked_mean
from toolkit_slimp.settings import SlimpSettings


class Numbers(nn.Module):
    """A number times a learned vector of its own.

    Shape:
        `(m, r)` -> `(m, r, d)`.
    """

    def __init__(self, num_inputs: int, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_inputs, dim))
        _init_uniform_(self.weight)

    @override
    def forward(self, numbers: Float[Tensor, "m r"]) -> Float[Tensor, "m r d"]:
        return numbers.unsqueeze(-1) * self.weight


class MetadataEncoder(nn.Module):
    """Encode one level's metadata to a vector.

    Args:
        schema: Columns of one level.
        settings: Of them those of the metadata encoders.

    Shape:
        metadata of m rows -> `(m, d)`.
    """

    def __init__(self, schema: Schema, settings: SlimpSettings) -> None:
        super().__init__()
        self.reads_cls = settings.metadata_pooling == "cls"
        self.out_dim = dim = settings.metadata_dim
        count = len(schema.columns)
        # In this order: the first weights of a seed depend on it.
        self.numbers = Numbers(len(schema.number_owners), dim)
        self.words = nn.Parameter(torch.empty(len(schema.word_owners), dim))
        self.column_bias = nn.Parameter(torch.empty(count, dim))
        self.cls = nn.Parameter(torch.empty(dim))
        for parameter in (self.words, self.column_bias, self.cls):
            _init_uniform_(parameter)
        self.number_owners: Tensor
        self.word_owners: Tensor
        # Not in the state (False): they follow from the schema.
        self.register_buffer("number_owners", _one_hot(schema.number_owners, count), False)
        self.register_buffer("word_owners", _one_hot(schema.word_owners, count), False)
        self.transformer = Transformer(settings)

    @override
    def forward(self, metadata: Metadata) -> Float[Tensor, "m d"]:
        observed = metadata.observed
        cls = self.cls.expand(len(observed), 1, -1)
        tokens = torch.cat([cls, self._column_tokens(metadata)], dim=1)  # (m, 1 + t, d)
        # CLS is never masked: attention of a row without any value needs a token.
        always = observed.new_ones(len(observed), 1)
        encoded = self.transformer(tokens, torch.cat([always, observed], dim=1))
        if self.reads_cls:
            return encoded[:, 0]
        # A row without a value has nothing to average but its CLS token.
        has_none = ~observed.any(dim=1, keepdim=True)
        return masked_mean(encoded, torch.cat([has_none, observed], dim=1))

    def _column_tokens(self, metadata: Metadata) -> Tensor:
        """A column's token: its numbers' vectors, the vectors of its words, and its bias."""
        numbers = torch.einsum(
            "mrd,rt->mtd", self.numbers(metadata.numeric), self.number_owners.to(self.words.dtype)
        )
        # A word speaks for its own column alone.
        owned = self.words.unsqueeze(1) * self.word_owners.unsqueeze(-1)  # (w, t, d)
        words = torch.einsum("mw,wtd->mtd", metadata.words.to(owned.dtype), owned)
        return numbers + words + self.column_bias


def _one_hot(owners: Sequence[int], count: int) -> Tensor:
    # `one_hot` wants a class, and a level may have no column.
    return F.one_hot(torch.tensor(owners, dtype=torch.int64), max(count, 1))[:, :count].float()


def _init_uniform_(parameter: Tensor) -> None:
    bound = parameter.shape[-1] ** -0.5
    nn.init.uniform_(parameter, -bound, bound)
