"""The metadata encoder: a transformer over one token a column, with missing values masked out.

Per-column tokens and a CLS token as in FT-Transformer (Gorishniy et al., NeurIPS 2021), the family
that TRACE (arXiv 2411.08701) and hence most likely SLIMP belong to (docs/slimp.md). A missing
column is no token at all, masked in attention and in the mean, so that a row without any value is
told by CLS alone; or, if so wanted, it is a learned token of its column.

Shapes: m rows, t columns, r numeric inputs, w words, d width.
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from toolkit_common.errors import InputError
from toolkit_slimp.metadata.schema import Metadata, Schema
from toolkit_slimp.metadata.transformer import Style, Transformer, masked_mean

NUM_FREQUENCIES = 16
FREQUENCY_STD = 0.5  # of turns a unit; our inputs are normal, and the paper tunes it a data set

Numbers = Literal["linear", "periodic"]
Missing = Literal["mask", "token"]
Pooling = Literal["mean", "cls"]


class LinearNumbers(nn.Module):
    """A number times a learned vector of its own.

    Shape:
        `(m, r)` -> `(m, r, d)`.
    """

    def __init__(self, num_inputs: int, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_inputs, dim))
        _init_uniform_(self.weight, dim)

    @override
    def forward(self, numbers: Float[Tensor, "m r"]) -> Float[Tensor, "m r d"]:
        return numbers.unsqueeze(-1) * self.weight


class PeriodicNumbers(nn.Module):
    """Sines and cosines of learned frequencies, a linear layer and a ReLU for each number.

    Source: Gorishniy et al., "On Embeddings for Numerical Features in Tabular Deep Learning",
    NeurIPS 2022, section 3.3 (PLR).

    Shape:
        `(m, r)` -> `(m, r, d)`.
    """

    def __init__(self, num_inputs: int, dim: int) -> None:
        super().__init__()
        frequencies = torch.randn(num_inputs, NUM_FREQUENCIES) * FREQUENCY_STD
        self.frequencies = nn.Parameter(frequencies)
        self.weight = nn.Parameter(torch.empty(num_inputs, 2 * NUM_FREQUENCIES, dim))
        self.bias = nn.Parameter(torch.empty(num_inputs, dim))
        _init_uniform_(self.weight, 2 * NUM_FREQUENCIES)
        _init_uniform_(self.bias, 2 * NUM_FREQUENCIES)

    @override
    def forward(self, numbers: Float[Tensor, "m r"]) -> Float[Tensor, "m r d"]:
        angles = 2.0 * math.pi * numbers.unsqueeze(-1) * self.frequencies
        waves = torch.cat([angles.cos(), angles.sin()], dim=-1)  # (m, r, 2k)
        return F.relu(torch.einsum("mrk,rkd->mrd", waves, self.weight) + self.bias)


NUMBERS: dict[Numbers, type[nn.Module]] = {"linear": LinearNumbers, "periodic": PeriodicNumbers}


class MetadataEncoder(nn.Module):
    """Encode one level's metadata to a vector.

    Args:
        schema: Columns of one level.
        dim: Width d.
        depth: Number of transformer blocks.
        num_heads: Attention heads.
        mlp_ratio: Hidden width of the blocks' MLPs over d.
        dropout: In attention and MLP, in [0, 1).
        numbers: How a number becomes a vector: `linear` or `periodic`.
        missing: `mask` leaves missing columns out; `token` puts a learned token there.
        pooling: `cls`, or `mean` over the columns' tokens that are there.
        style: Of the blocks, `plain` or `ft`; see `toolkit_slimp.metadata.transformer`.

    Shape:
        metadata of m rows -> `(m, d)`.

    Raises:
        InputError: If `dim` is no multiple of `num_heads`.
    """

    def __init__(
        self,
        schema: Schema,
        *,
        dim: int = 128,
        depth: int = 2,
        num_heads: int = 4,
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
        numbers: Numbers = "linear",
        missing: Missing = "mask",
        pooling: Pooling = "mean",
        style: Style = "plain",
    ) -> None:
        super().__init__()
        if dim % num_heads:
            raise InputError(
                f"the metadata width must be a multiple of its heads, got {dim} and {num_heads}"
            )
        self.pooling = pooling
        self.out_dim = dim
        count = len(schema.columns)
        self.numbers = NUMBERS[numbers](len(schema.number_owners), dim)
        self.words = nn.Parameter(torch.empty(len(schema.word_owners), dim))
        self.column_bias = nn.Parameter(torch.empty(count, dim))
        self.cls = nn.Parameter(torch.empty(dim))
        self.missing_tokens = nn.Parameter(torch.empty(count, dim)) if missing == "token" else None
        for parameter in (self.words, self.column_bias, self.cls, self.missing_tokens):
            if parameter is not None:
                _init_uniform_(parameter, dim)
        self.number_owners: Tensor
        self.word_owners: Tensor
        self.register_buffer("number_owners", _one_hot(schema.number_owners, count), False)
        self.register_buffer("word_owners", _one_hot(schema.word_owners, count), False)
        self.transformer = Transformer(
            dim,
            depth=depth,
            num_heads=num_heads,
            mlp_ratio=mlp_ratio,
            dropout=dropout,
            style=style,
        )

    @override
    def forward(self, metadata: Metadata) -> Float[Tensor, "m d"]:
        tokens = self._column_tokens(metadata)  # (m, t, d)
        there = metadata.observed
        if self.missing_tokens is not None:
            tokens = torch.where(there.unsqueeze(-1), tokens, self.missing_tokens)
            there = torch.ones_like(there)
        tokens = torch.cat([self.cls.expand(len(tokens), 1, -1), tokens], dim=1)
        encoded = self.transformer(tokens, torch.cat([_column(there, fill=True), there], dim=1))
        if self.pooling == "cls":
            return encoded[:, 0]
        # A row without a value has nothing to average but its CLS token.
        has_none = ~there.any(dim=1, keepdim=True)
        return masked_mean(encoded, torch.cat([has_none, there], dim=1))

    def _column_tokens(self, metadata: Metadata) -> Tensor:
        """A column's token: its numbers' vectors, the vectors of the words said, and its bias."""
        numbers = torch.einsum(
            "mrd,rt->mtd", self.numbers(metadata.numeric), self.number_owners.to(self.words.dtype)
        )
        owned = self.words.unsqueeze(1) * self.word_owners.unsqueeze(-1)  # (w, t, d)
        words = torch.einsum("mw,wtd->mtd", metadata.words.to(owned.dtype), owned)
        return numbers + words + self.column_bias


def _one_hot(owners: Sequence[int], count: int) -> Tensor:
    return F.one_hot(torch.tensor(owners, dtype=torch.int64), max(count, 1))[:, :count].float()


def _column(rows: Tensor, *, fill: bool) -> Tensor:
    return rows.new_full((len(rows), 1), fill)


def _init_uniform_(parameter: Tensor, fan_in: int) -> None:
    nn.init.uniform_(parameter, -(fan_in**-0.5), fan_in**-0.5)
