"""The metadata schema: every input column typed, with its level, its codes, its fitted transform.

The schema is an artefact (`schema.json`): inferred from a data set, fitted on training rows only
(`toolkit_slimp.metadata.infer`), editable, hashed into checkpoints, checked against the rows it
encodes.
A missing value is told by a mask, never by a number: 0 is a value (docs/slimp.md).

Shapes: m rows, t columns, r numeric inputs, w words.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from toolkit_common.data.sheet import Kind, Level
from toolkit_common.errors import InputError

VERSION = 1
UNKNOWN = "unknown"  # asked, and not known: told apart from missing in every column


@dataclass(frozen=True)
class ColumnSchema:
    """One input column.

    Attributes:
        name: Of the column.
        level: Whether it describes the patient or the lesion.
        kind: `numeric`, `angle` (degrees, an axis: 180 is 0), `categorical`, `boolean`, or `multi`
            (several answers in a cell, separated by `;`).
        unit: Of a numeric column.
        low: Smallest value that is accepted.
        high: Largest value that is accepted.
        missing: Codes that stand for no value, beside the empty cell.
        unknown: Codes for "asked, and not known", beside the word `unknown`.
        categories: Known words.
        quantiles: Of a numeric column's training values, evenly spaced from 0 to 1: the transform
            maps them to those of a normal.
    """

    name: str
    level: Level
    kind: Kind
    unit: str = ""
    low: float | None = None
    high: float | None = None
    missing: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    quantiles: tuple[float, ...] = ()

    @property
    def num_numbers(self) -> int:
        """Numeric inputs: an angle is two (sine and cosine)."""
        return {"numeric": 1, "angle": 2}.get(self.kind, 0)

    @property
    def num_words(self) -> int:
        """Words that can be said of it: `unknown`, then the categories."""
        return 1 + len(self.categories)

    @property
    def is_fitted(self) -> bool:
        """Whether training rows have given it what it needs to encode."""
        return bool(self.quantiles) if self.kind == "numeric" else self._needs_no_words

    @property
    def _needs_no_words(self) -> bool:
        return self.kind == "angle" or bool(self.categories)


@dataclass(frozen=True)
class Metadata:
    """Encoded metadata of some rows at one level.

    Attributes:
        numeric: Transformed numbers, 0 where there is none (the mask and the words tell).
        words: Which words are said of each column, all columns side by side: a category, several
            answers, or `unknown`.
        observed: Whether each column has a value; `unknown` is one.
    """

    numeric: Float[Tensor, "m r"]
    words: Bool[Tensor, "m w"]
    observed: Bool[Tensor, "m t"]

    def __len__(self) -> int:
        return len(self.observed)

    def take(self, rows: Tensor | slice) -> "Metadata":
        """Return some rows."""
        return Metadata(self.numeric[rows], self.words[rows], self.observed[rows])

    def to(self, device: Any) -> "Metadata":
        """Move to a device."""
        parts = (self.numeric, self.words, self.observed)
        return Metadata(*(part.to(device, non_blocking=True) for part in parts))


@dataclass(frozen=True)
class Schema:
    """The columns of a data set that SLIMP reads."""

    columns: tuple[ColumnSchema, ...]

    def at(self, level: Level) -> "Schema":
        """Return the columns of one level."""
        return Schema(tuple(column for column in self.columns if column.level == level))

    @cached_property
    def number_owners(self) -> tuple[int, ...]:
        """Column of each of the r numeric inputs."""
        return tuple(i for i, item in enumerate(self.columns) for _ in range(item.num_numbers))

    @cached_property
    def word_owners(self) -> tuple[int, ...]:
        """Column of each of the w words."""
        return tuple(i for i, item in enumerate(self.columns) for _ in range(item.num_words))

    def encode(self, table: pd.DataFrame) -> Metadata:
        """Encode rows; where they have a `group`, a patient's values are shared by its rows.

        Raises:
            InputError: If a column is absent, or a value is out of its range or no number.
        """
        from toolkit_slimp.metadata.columns import encode_column
        from toolkit_slimp.metadata.patients import number_patients, share_value

        for column in self.columns:
            if column.name not in table:
                raise InputError(f"the data has no metadata column {column.name!r} of the schema")
        ids = table.get("image_id")
        found = [encode_column(column, table[column.name], ids) for column in self.columns]
        if "group" in table and self.at("patient").columns:
            patients = number_patients(table["group"])
            found = [
                share_value(item, patients) if column.level == "patient" else item
                for column, item in zip(self.columns, found, strict=True)
            ]
        return Metadata(
            numeric=_join([item.numbers for item in found], len(table), torch.float32),
            words=_join([item.words for item in found], len(table), torch.bool),
            observed=_join([item.observed[:, None] for item in found], len(table), torch.bool),
        )

    def to_json(self) -> str:
        """Serialise; `from_json` reads it back. Lists of codes and numbers stand on one line."""
        items = [
            ",\n".join(f"      {json.dumps(k)}: {json.dumps(v)}" for k, v in asdict(column).items())
            for column in self.columns
        ]
        columns = ",\n".join(f"    {{\n{item}\n    }}" for item in items)
        return f'{{\n  "version": {VERSION},\n  "columns": [\n{columns}\n  ]\n}}\n'

    @staticmethod
    def from_json(text: str) -> "Schema":
        """Read what `to_json` wrote, or a user's edit of it.

        Raises:
            InputError: If it is no schema of this version, or a column of it is not possible.
        """
        from toolkit_slimp.metadata.schema_file import read_columns

        return Schema(read_columns(text))

    def digest(self) -> str:
        """Return a hash of the schema."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def _join(parts: Sequence[np.ndarray], count: int, dtype: torch.dtype) -> Tensor:
    found = [torch.from_numpy(np.ascontiguousarray(part)).to(dtype) for part in parts]
    return torch.cat([torch.zeros(count, 0, dtype=dtype), *found], dim=1)
