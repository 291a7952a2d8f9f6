"""The metadata schema: every input column typed, with its level, its codes, its fitted transform.

The schema is an artefact (`schema.json`): inferred from a data set, fitted on training rows only
(`toolkit_slimp.metadata.infer`), editable (`toolkit_slimp.metadata.schema_file`), hashed into
checkpoints, checked against the rows that it encodes (`toolkit_slimp.metadata.table`).
A missing value is a bit of a mask, never a number: 0 is a value (docs/slimp.md).

Shapes: m rows, t columns, r numeric inputs, w words.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor

from toolkit_common.data.sheet import Kind, Level
from toolkit_common.training.late import send

VERSION = 1


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
        """Words that a cell may hold: `unknown`, then the categories."""
        return 1 + len(self.categories)

    @property
    def is_fitted(self) -> bool:
        """Whether training rows have given it what it needs to encode; an angle needs nothing."""
        if self.kind == "numeric":
            return bool(self.quantiles)
        return self.kind == "angle" or bool(self.categories)


@dataclass(frozen=True)
class Metadata:
    """Encoded metadata of some rows at one level.

    Attributes:
        numeric: Transformed numbers, 0 where there is none (see `observed` and `words`).
        words: Which words each column's cell holds, all columns side by side: a category, several
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
        return Metadata(*(send(part, device) for part in parts))


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

    def to_json(self) -> str:
        """Serialise; `schema_file.read_schema` reads it back. A list stands on one line."""
        items = [
            ",\n".join(f"      {json.dumps(k)}: {json.dumps(v)}" for k, v in asdict(column).items())
            # In the order of fields: the digest is of this text.
            for column in self.columns
        ]
        columns = ",\n".join(f"    {{\n{item}\n    }}" for item in items)
        return f'{{\n  "version": {VERSION},\n  "columns": [\n{columns}\n  ]\n}}\n'

    def digest(self) -> str:
        """Return a hash of the schema."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()
