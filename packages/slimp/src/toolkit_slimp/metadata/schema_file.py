"""Reads a user's `schema.json`: checked in itself, then against the data that it is to describe.

Nothing is passed over in silence: an unknown key, a number that is none, a field that the kind of
its column never reads. Columns on the deny-list of the data set's sheet are refused by name.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from toolkit_common.console import console
from toolkit_common.data.cells import UNKNOWN
from toolkit_common.data.dataset import ImageData
from toolkit_common.errors import InputError
from toolkit_common.foreign.values import first_problem, parse_json, read_bytes, shown
from toolkit_common.outside import reason_of
from toolkit_common.printable import counted, shortened
from toolkit_common.registry import did_you_mean
from toolkit_slimp.metadata.columns import (
    BOOLEAN,
    count_differing,
    fit_column,
    has_value,
    spell,
    unseen_words,
)
from toolkit_slimp.metadata.infer import KEYS
from toolkit_slimp.metadata.schema import VERSION, ColumnSchema, Schema
from toolkit_slimp.metadata.table import named

FILE_KEYS = ("version", "columns")
FOREIGN = {  # fields that a kind never reads
    "numeric": ("categories",),
    "angle": ("categories", "quantiles"),
    **dict.fromkeys(("categorical", "boolean", "multi"), ("unit", "low", "high", "quantiles")),
}
MAX_COLUMNS = 10_000
MAX_BYTES = 64 << 20
MAX_SHOWN = 3  # words in a message


def load_schema(path: Path, data: ImageData, rows: np.ndarray) -> Schema:
    """Read a user's schema and check it against a data set.

    Columns whose quantiles or categories were deleted are fitted anew.

    Args:
        path: The JSON file.
        data: The data set that it is to describe.
        rows: Training rows, to fit what is not fitted.

    Raises:
        InputError: If the file is missing or no schema, or a column is denied, a label, absent,
            without a value, or said to be the patient's and not constant within patients.
    """
    if not path.exists():
        raise InputError(f"no schema at {path}: write one with toolkit data schema {data.id}")
    schema = read_schema_file(path)
    table = data.table.iloc[rows]
    columns = tuple(_fit_to_data(column, data, table) for column in schema.columns)
    if not columns:
        raise InputError(f"the schema {path} has no columns")
    return Schema(columns)


def read_schema_file(path: Path) -> Schema:
    """Read a schema's file, without a look at the data.

    Raises:
        InputError: If it cannot be read, or is no schema.
    """
    try:
        # `-sig`: editors on Windows put a mark in front.
        return read_schema(read_bytes(path, MAX_BYTES).decode("utf-8-sig"))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the schema {path}: {reason_of(error)}") from None


def read_schema(text: str) -> Schema:
    """Read what `Schema.to_json` wrote, or a user's edit of it.

    Raises:
        InputError: If it is no schema of this version, or a column of it is not possible.
    """
    columns = tuple(
        _read_column(item, number) for number, item in enumerate(_read_items(text), start=1)
    )
    names = [column.name for column in columns]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise InputError(f"column {doubled[0]!r} stands twice in the schema")
    return Schema(columns)


def _fit_to_data(column: ColumnSchema, data: ImageData, table: pd.DataFrame) -> ColumnSchema:
    """Return the column, fitted if it was not, and checked against the training rows."""
    _check_place(column, data)
    with named(data):
        fitted = column if column.is_fitted else fit_column(column, table)
        # Before the check for values, as it can name the words that do not fit.
        _check_vocabulary(fitted, table)
        if not has_value(fitted, table):
            raise InputError(f"column {column.name!r} has no value in the training rows")
    return fitted


def _check_place(column: ColumnSchema, data: ImageData) -> None:
    name = column.name
    if name in data.sheet.leaks:
        raise InputError(
            f"column {name!r} of {data.id!r} must never be an input: {data.sheet.leaks[name]}; "
            "take it out of the schema"
        )
    if name in data.sheet.labels or name in KEYS:
        what = "a label" if name in data.sheet.labels else "a key"
        raise InputError(f"column {name!r} is {what}, never an input: take it out of the schema")
    if name not in data.table:
        raise InputError(f"the data has no metadata column {name!r} of the schema")
    if name in data.sheet.acquisition:
        console.print(f"column {name!r} is read as requested: {data.sheet.acquisition[name]}")
    if column.level == "patient" and data.groups is not None:
        with named(data):
            differing = count_differing(column, data.table)
        if differing:
            raise InputError(
                f"column {name!r} is the patient's in the schema, and differs between lesions of "
                f"{counted(differing, 'patient')}: set its level to lesion"
            )


def _check_vocabulary(column: ColumnSchema, table: pd.DataFrame) -> None:
    """Refuse a column none of whose training values is known, report those of others."""
    unseen = unseen_words(column, table)
    if not unseen:
        return
    shown = [f"{word!r} {count}" for word, count in unseen.items()]
    others = [f"{len(shown) - MAX_SHOWN} more"] if len(shown) > MAX_SHOWN else []
    listed, count = ", ".join([*shown[:MAX_SHOWN], *others]), int(table[column.name].notna().sum())
    if not has_value(column, table):
        raise InputError(
            f"column {column.name!r}: none of its {count} training values is a word of the schema "
            f"({listed}): mend its kind or its categories, or delete these to have them fitted"
        )
    console.print(
        f"column {column.name!r}: words that the schema lacks are read as missing: {listed} (of "
        f"{count} training values)"
    )


def _read_items(text: str) -> list[Any]:
    given = parse_json(text, "the metadata schema")
    if not isinstance(given, dict) or not {"version", "columns"} <= set(given):
        raise InputError(f"not a metadata schema: it has not {' and '.join(FILE_KEYS)}")
    version, items = given["version"], given["columns"]
    if version != VERSION:
        raise InputError(f"schema version {shown(version)} is not {VERSION}")
    _check_keys(given, FILE_KEYS, "the schema")
    if not isinstance(items, list):
        text = shortened(json.dumps(items))
        raise InputError(f"not a metadata schema: its columns must be a list, got {text}")
    if len(items) > MAX_COLUMNS:
        raise InputError(f"a schema of {len(items)} columns: at most {MAX_COLUMNS} are read")
    return items


def _read_column(item: Any, number: int) -> ColumnSchema:
    from pydantic import TypeAdapter, ValidationError

    if not isinstance(item, dict) or "name" not in item:
        raise InputError(f"not a metadata schema: column {number} has no name")
    where = f"column {shown(item['name'])} of the schema"
    _check_keys(item, [field.name for field in fields(ColumnSchema)], where)
    try:
        column = TypeAdapter(ColumnSchema).validate_python(item)
    except ValidationError as error:
        raise InputError(f"{where}: {first_problem(error)}") from None
    _check_numbers(column, where)
    _check_words(column, where)
    _check_kind(column, where)
    return column


def _check_keys(item: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    for key in item:
        if key not in known:
            raise InputError(f"{where} has an unknown key {shown(key)}{did_you_mean(key, known)}")


def _check_numbers(column: ColumnSchema, where: str) -> None:
    quantiles = (("quantiles", number) for number in column.quantiles)
    for name, number in (("low", column.low), ("high", column.high), *quantiles):
        if number is not None and not isfinite(number):
            raise InputError(f"{where}: {name}: {number} is no finite number")
    if column.low is not None and column.high is not None and column.low >= column.high:
        raise InputError(f"{where}: low {column.low:g} is not below high {column.high:g}")
    if list(column.quantiles) != sorted(column.quantiles):
        raise InputError(f"{where}: its quantiles do not ascend")
    if len(column.quantiles) == 1:
        raise InputError(
            f"{where}: one quantile alone maps all values to one: give the smallest and the "
            "largest at least, or none to have them fitted"
        )


def _check_words(column: ColumnSchema, where: str) -> None:
    """Words and codes are compared as cells are: in a boolean `Yes` is `true`."""
    spelled = {UNKNOWN}
    for word in column.categories:
        meant = spell(word, column.kind)
        # Compared as they will be read: `Yes` and `true` are one word of a boolean.
        if meant in spelled:
            hint = "it has an id of its own" if meant == UNKNOWN else "it stands there twice"
            raise InputError(f"{where}: category {word!r} cannot be listed: {hint}")
        spelled.add(meant)
    if column.kind == "boolean" and not column.categories:
        spelled |= {*BOOLEAN}  # what it will be fitted with
    spelled |= {spell(code, column.kind) for code in column.unknown}
    both = [code for code in column.missing if spell(code, column.kind) in spelled]
    if both:
        raise InputError(f"{where}: {both[0]!r} is a code for missing and a value at once")


def _check_kind(column: ColumnSchema, where: str) -> None:
    foreign = [name for name in FOREIGN[column.kind] if getattr(column, name) not in ("", None, ())]
    if foreign:
        raise InputError(
            f"{where} is {column.kind}: it has no {', '.join(foreign)}: take out what another kind "
            "has left"
        )
    if column.kind == "angle" and column.unit not in ("", "degrees"):
        raise InputError(f"{where}: an angle is in degrees, got unit {column.unit!r}")
