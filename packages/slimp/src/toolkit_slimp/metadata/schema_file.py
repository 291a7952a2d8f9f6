"""Reads `schema.json` back, as a user may have edited it: what cannot be meant is refused.

Nothing is passed over in silence: an unknown key, a number that is none, a field that the kind of
its column never reads.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from math import isfinite
from typing import Any

from toolkit_common.errors import InputError
from toolkit_common.registry import did_you_mean
from toolkit_slimp.metadata.columns import BOOLEAN, spell
from toolkit_slimp.metadata.schema import UNKNOWN, VERSION, ColumnSchema

KEYS = ("version", "columns")
FOREIGN = {  # fields that a kind never reads
    "numeric": ("categories",),
    "angle": ("categories", "quantiles"),
    **dict.fromkeys(("categorical", "boolean", "multi"), ("unit", "low", "high", "quantiles")),
}


def read_columns(text: str) -> tuple[ColumnSchema, ...]:
    """Read the columns of a schema.

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
    return columns


def _read_items(text: str) -> list[Any]:
    try:
        found = json.loads(text)
        version, items = found["version"], found["columns"]
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise InputError(f"not a metadata schema: {type(error).__name__}: {error}") from None
    if version != VERSION:
        raise InputError(f"schema version {version} is not {VERSION}")
    _check_keys(found, KEYS, "the schema")
    if not isinstance(items, list):
        raise InputError(
            f"not a metadata schema: its columns must be a list, got {json.dumps(items)}"
        )
    return items


def _read_column(item: Any, number: int) -> ColumnSchema:
    from pydantic import TypeAdapter, ValidationError

    if not isinstance(item, dict) or "name" not in item:
        raise InputError(f"not a metadata schema: column {number} has no name")
    where = f"column {item['name']!r} of the schema"
    _check_keys(item, [field.name for field in fields(ColumnSchema)], where)
    try:
        column = TypeAdapter(ColumnSchema).validate_python(item)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(f"{where}: {place}: {first['msg']}, got {first['input']!r}") from None
    _check_numbers(column, where)
    _check_words(column, where)
    _check_kind(column, where)
    return column


def _check_keys(item: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    for key in item:
        if key not in known:
            raise InputError(f"{where} has an unknown key {key!r}{did_you_mean(key, known)}")


def _check_numbers(column: ColumnSchema, where: str) -> None:
    for name, numbers in (
        ("low", (column.low,)),
        ("high", (column.high,)),
        ("quantiles", column.quantiles),
    ):
        for number in numbers:
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
