"""From a data set to its metadata schema: its sheet's columns, else what the table shows.

A table without a sheet has its columns typed by their names and by what they hold. Transforms and
vocabularies are fitted on training rows alone.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from toolkit_common.console import console
from toolkit_common.data.dataset import SPLITS, ImageData
from toolkit_common.data.sheet import ANSWER_SEPARATOR, Column, Kind, Level
from toolkit_common.errors import InputError
from toolkit_slimp.metadata.columns import SPELLED, count_differing, fit_column, has_value
from toolkit_slimp.metadata.schema import UNKNOWN, ColumnSchema, Schema
from toolkit_slimp.metadata.table import named

KEYS = ("image_id", "patient_id", "lesion_id", "group", "split")
MAX_CATEGORIES = 64
YES_AND_NO = {UNKNOWN, *(word for word in SPELLED if word.isalpha())}  # 0 and 1 may be codes
AGES = ("age", "age_approx", "age_years")
YEARS: Mapping[str, Any] = {"unit": "years", "low": 0.0, "high": 120.0}


def infer_schema(data: ImageData, rows: np.ndarray) -> Schema:
    """Build the schema of a data set.

    Args:
        data: The data set.
        rows: Training rows; transforms and vocabularies are fitted on them alone.

    Raises:
        InputError: If there is no usable column.
    """
    declared = [column for column in data.sheet.columns if column.name in data.table]
    # A sheet's columns alone, where it has any: whoever wrote it knew the others.
    columns = [_from_sheet(column) for column in declared] or _guess_columns(data)
    table = data.table.iloc[rows]
    with named(data):
        fitted = [fit_column(column, table) for column in columns]
        used = tuple(column for column in fitted if has_value(column, table))
    if not used:
        raise InputError(
            f"data set {data.id!r} has no metadata columns: SLIMP aligns images with metadata; "
            "give a lesion data set, or a csv with more columns than image and label"
        )
    if data.groups is not None:
        _report_differing(data.table, used)
    return Schema(used)


def _report_differing(table: pd.DataFrame, columns: Sequence[ColumnSchema]) -> None:
    """Report a sheet's patient columns with two values: a table's were chosen to have one."""
    for column in columns:
        differing = count_differing(column, table) if column.level == "patient" else 0
        if differing:
            console.print(
                f"column {column.name!r} differs within {differing} patients: a patient's first "
                "value is read"
            )


def _from_sheet(column: Column) -> ColumnSchema:
    """Return a sheet's column as a schema has it, not yet fitted."""
    # The reader of a data set has turned its spellings of unknown into one word already.
    return ColumnSchema(
        name=column.name,
        level=column.level,
        kind=column.kind,
        unit=column.unit,
        low=None if column.low is None else float(column.low),
        high=None if column.high is None else float(column.high),
    )


def _guess_columns(data: ImageData) -> list[ColumnSchema]:
    """Type a table without a sheet: what is constant in every group is the patient's."""
    sheet = data.sheet
    excluded = {*KEYS, *sheet.labels, *SPLITS, *sheet.leaks, *sheet.acquisition}
    columns = []
    for name in data.table.columns:
        if name in excluded:
            continue
        values = data.table[name]
        kind = _guess_kind(values)
        known = YEARS if kind == "numeric" and name.lower() in AGES else {}
        column = ColumnSchema(name, _guess_level(data, name), kind, **known)
        distinct = values.nunique()
        if kind == "multi":
            # A cell of several answers is one value to `nunique`, a vocabulary to the encoder.
            distinct = max(2, len(fit_column(column, data.table).categories))
        # Constant columns say nothing; words that are nearly all different are names.
        if distinct < 2 or (kind != "numeric" and distinct > MAX_CATEGORIES):
            continue
        columns.append(column)
    return columns


def _guess_kind(values: pd.Series) -> Kind:
    if pd.api.types.is_float_dtype(values) or _holds_numbers(values):
        return "numeric"
    words = {str(word).lower() for word in values.dropna()}
    if words <= YES_AND_NO:
        return "boolean"
    return "multi" if any(ANSWER_SEPARATOR in word for word in words) else "categorical"


def _holds_numbers(values: pd.Series) -> bool:
    """Whether text, as tables give it, is numbers; two of them are rather codes of a yes and no."""
    known = values.dropna()
    known = known[known != UNKNOWN]
    return known.nunique() > 2 and bool(pd.to_numeric(known, errors="coerce").notna().all())


def _guess_level(data: ImageData, name: str) -> Level:
    """Whether a column is the patient's: one value in each, seen more than once in most.

    A lesion's column with few values has one in a patient as well, and nothing to compare it with.
    """
    if data.groups is None:
        return "lesion"
    # Unknown for one lesion contradicts no other.
    by_group = data.table[name].replace(UNKNOWN, np.nan).groupby(data.table["group"])
    counts, sizes = by_group.count(), by_group.size()
    counts = counts[(sizes > 1) & (counts > 0)]
    is_constant = bool((by_group.nunique() <= 1).all())
    return "patient" if is_constant and (counts > 1).mean() > 0.5 else "lesion"
