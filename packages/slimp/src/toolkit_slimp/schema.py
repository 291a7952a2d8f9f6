"""The metadata schema: every input column typed, with its level and its fitted transform.

The schema is an artefact (`schema.json`): inferred from a data set's sheet or table, fitted on
training rows only, editable, hashed into checkpoints, and checked against the rows it encodes.
A missing value is told by a mask, never by a number: 0 is a value (specs/slimp.md 1.3).

Shapes: m rows, r numeric inputs, c categorical columns.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from toolkit_common.data.base import SPLITS, ImageData
from toolkit_common.data.sheet import Column, Kind, Level
from toolkit_common.errors import InputError

VERSION = 1
NUM_QUANTILES = 101
MAX_CATEGORIES = 64
MISSING, UNKNOWN = 0, 1  # category ids; named categories follow
RESERVED = ("image_id", "patient_id", "lesion_id", "group", "split")


@dataclass(frozen=True)
class ColumnSchema:
    """One input column.

    Attributes:
        name: Of the column.
        level: Whether it describes the patient or the lesion.
        kind: `numeric`, `angle`, `categorical` or `boolean`.
        unit: Of a numeric column.
        low: Smallest value that is accepted.
        high: Largest value that is accepted.
        categories: Known words, in the order of their ids from 2 on; 0 is missing, 1 is unknown.
        quantiles: Of a numeric column's training values: the transform maps them to a normal.
    """

    name: str
    level: Level
    kind: Kind
    unit: str = ""
    low: float | None = None
    high: float | None = None
    categories: tuple[str, ...] = ()
    quantiles: tuple[float, ...] = ()


@dataclass(frozen=True)
class Metadata:
    """Encoded metadata of some rows at one level.

    Attributes:
        numeric: Transformed values, 0 where missing (the mask tells).
        categorical: Category ids.
        observed: Whether each column has a value; numeric columns first, then categorical ones.
    """

    numeric: Float[Tensor, "m r"]
    categorical: Int[Tensor, "m c"]
    observed: Bool[Tensor, "m rc"]

    def __len__(self) -> int:
        return len(self.observed)

    def take(self, rows: Tensor | slice) -> "Metadata":
        """Return some rows."""
        return Metadata(self.numeric[rows], self.categorical[rows], self.observed[rows])

    def to(self, device: Any) -> "Metadata":
        """Move to a device."""
        parts = (self.numeric, self.categorical, self.observed)
        return Metadata(*(part.to(device, non_blocking=True) for part in parts))


@dataclass(frozen=True)
class Schema:
    """The columns of a data set that SLIMP reads."""

    columns: tuple[ColumnSchema, ...]

    def at(self, level: Level) -> "Schema":
        """Return the columns of one level."""
        return Schema(tuple(column for column in self.columns if column.level == level))

    @property
    def numeric(self) -> tuple[ColumnSchema, ...]:
        """Columns that yield numbers."""
        return tuple(column for column in self.columns if column.kind in ("numeric", "angle"))

    @property
    def categorical(self) -> tuple[ColumnSchema, ...]:
        """Columns that yield category ids."""
        return tuple(column for column in self.columns if column.kind in ("categorical", "boolean"))

    @property
    def num_numeric_inputs(self) -> int:
        """Number r of numeric inputs; an angle is two (sine and cosine)."""
        return sum(2 if column.kind == "angle" else 1 for column in self.numeric)

    def encode(self, table: pd.DataFrame) -> Metadata:
        """Encode rows.

        Raises:
            InputError: If a column is absent or has values out of its range.
        """
        for column in self.columns:
            if column.name not in table:
                raise InputError(f"the data has no metadata column {column.name!r} of the schema")
        count = len(table)
        numbers = [_encode_numeric(table[column.name], column) for column in self.numeric]
        words = [_encode_words(table[column.name], column) for column in self.categorical]
        masks = [np.repeat(mask[:, None], value.shape[1], axis=1) for value, mask in numbers]
        masks += [ids[:, None] != MISSING for ids in words]
        return Metadata(
            numeric=torch.from_numpy(_stack([value for value, _ in numbers], count, np.float32)),
            categorical=torch.from_numpy(_stack([ids[:, None] for ids in words], count, np.int64)),
            observed=torch.from_numpy(_stack(masks, count, np.bool_)),
        )

    def to_json(self) -> str:
        """Serialise; `from_json` reads it back."""
        columns = [asdict(column) for column in self.columns]
        return json.dumps({"version": VERSION, "columns": columns}, indent=2) + "\n"

    @staticmethod
    def from_json(text: str) -> "Schema":
        """Read what `to_json` wrote, or a user's edit of it.

        Raises:
            InputError: If it is no schema of this version.
        """
        try:
            found = json.loads(text)
            if found["version"] != VERSION:
                raise InputError(f"schema version {found['version']} is not {VERSION}")
            return Schema(tuple(_column_from_json(item) for item in found["columns"]))
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise InputError(f"not a metadata schema: {type(error).__name__}: {error}") from None

    def digest(self) -> str:
        """Return a hash of the schema."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def infer_schema(data: ImageData, rows: np.ndarray) -> Schema:
    """Build the schema of a data set: its sheet's columns, else what the table shows.

    Args:
        data: The data set.
        rows: Training rows; transforms and vocabularies are fitted on them alone.

    Raises:
        InputError: If there is no usable column.
    """
    table = data.table.iloc[rows]
    declared = [column for column in data.sheet.columns if column.name in data.table]
    columns = declared or _guess_columns(data)
    fitted = [_fit(column, table[column.name]) for column in columns]
    used = tuple(column for column in fitted if column.categories or column.quantiles)
    if not used:
        raise InputError(
            f"data set {data.id!r} has no metadata columns: SLIMP aligns images with metadata; "
            "give a lesion data set, or a csv with more columns than image and label"
        )
    return Schema(used)


def _fit(column: Column, values: pd.Series) -> ColumnSchema:
    known = values.dropna()
    schema = ColumnSchema(
        name=column.name,
        level=column.level,
        kind=column.kind,
        unit=column.unit,
        low=column.low,
        high=column.high,
    )
    if column.kind == "boolean":
        return replace(schema, categories=("false", "true"))
    if column.kind == "categorical":
        words = sorted(set(known.astype(str)) - {"unknown"})
        return replace(schema, categories=tuple(words))
    if known.empty:
        return schema
    grid = np.linspace(0.0, 1.0, NUM_QUANTILES)
    quantiles = np.quantile(known.to_numpy(float), grid)
    return replace(schema, quantiles=tuple(float(value) for value in np.unique(quantiles)))


def _encode_numeric(values: pd.Series, column: ColumnSchema) -> tuple[np.ndarray, np.ndarray]:
    """Return `(m, 1 or 2)` inputs and the mask `(m,)` of observed values."""
    numbers = values.to_numpy(float)
    observed = ~np.isnan(numbers)
    for bound, is_out, word in (
        (column.low, np.less, "below"),
        (column.high, np.greater, "above"),
    ):
        if bound is not None:
            strange = int(is_out(numbers[observed], bound).sum())
            if strange:
                raise InputError(
                    f"column {column.name!r}: {strange} values {word} {bound:g} {column.unit}"
                )
    filled = np.where(observed, numbers, 0.0)
    if column.kind == "angle":
        turn = np.deg2rad(2.0 * filled)  # an axis: 180 degrees are 0
        return np.stack([np.sin(turn), np.cos(turn)], axis=1) * observed[:, None], observed
    return (_to_normal(filled, column.quantiles) * observed)[:, None], observed


def _to_normal(values: np.ndarray, quantiles: Sequence[float]) -> np.ndarray:
    """Map training quantiles to those of a normal: no outlier, no skew, no unit is left."""
    from scipy.special import ndtri

    if len(quantiles) == 1:
        return values - quantiles[0]
    levels = np.linspace(0.01, 0.99, len(quantiles))
    return ndtri(np.interp(values, quantiles, levels))


def _encode_words(values: pd.Series, column: ColumnSchema) -> np.ndarray:
    """Category ids `(m,)`; a word never seen in training counts as missing."""
    ids = {word: number for number, word in enumerate(column.categories, start=UNKNOWN + 1)}
    ids["unknown"] = UNKNOWN
    return np.array([ids.get(str(word), MISSING) for word in values], np.int64)


def _guess_columns(data: ImageData) -> list[Column]:
    """Type a table without a sheet: what is constant in every group is the patient's."""
    columns = []
    for name in data.table.columns:
        if name in (*RESERVED, *data.sheet.labels, *SPLITS) or name in data.sheet.leaks:
            continue
        values = data.table[name]
        distinct = values.nunique()
        is_number = pd.api.types.is_float_dtype(values)
        if distinct < 2 or (not is_number and distinct > MAX_CATEGORIES):
            continue
        columns.append(Column(name, _guess_level(data, name), _guess_kind(values)))
    return columns


def _guess_kind(values: pd.Series) -> Kind:
    if pd.api.types.is_float_dtype(values):
        return "numeric"
    words = {str(word).lower() for word in values.dropna()}
    return "boolean" if words <= {"true", "false", "unknown"} else "categorical"


def _guess_level(data: ImageData, name: str) -> Level:
    if data.groups is None:
        return "lesion"
    by_group = data.table.groupby("group")[name]
    has_several = bool((by_group.size() > 1).any())
    is_constant = bool((by_group.nunique(dropna=False) <= 1).all())
    return "patient" if has_several and is_constant else "lesion"


def _stack(parts: Sequence[np.ndarray], count: int, dtype: Any) -> np.ndarray:
    if not parts:
        return np.zeros((count, 0), dtype)
    return np.concatenate(parts, axis=1).astype(dtype)


def _column_from_json(item: dict[str, Any]) -> ColumnSchema:
    lists = {key: tuple(item.get(key, ())) for key in ("categories", "quantiles")}
    return ColumnSchema(**cast(dict[str, Any], {**item, **lists}))
