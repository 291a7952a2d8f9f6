"""Types the columns of a table that has no sheet, by their names and by what they hold."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from toolkit_common.data.dataset import SPLITS, ImageData
from toolkit_common.data.sheet import ANSWER_SEPARATOR, Column, Kind, Level
from toolkit_slimp.metadata.columns import SPELLED, fit_column
from toolkit_slimp.metadata.schema import UNKNOWN, ColumnSchema

MAX_CATEGORIES = 64
RESERVED = ("image_id", "patient_id", "lesion_id", "group", "split")
YES_AND_NO = {UNKNOWN, *(word for word in SPELLED if word.isalpha())}  # 0 and 1 may be codes
AGES = ("age", "age_approx", "age_years")
YEARS: Mapping[str, Any] = {"unit": "years", "low": 0, "high": 120}


def from_sheet(column: Column) -> ColumnSchema:
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


def guess_columns(data: ImageData) -> list[Column]:
    """Type a table without a sheet: what is constant in every group is the patient's."""
    sheet = data.sheet
    excluded = {*RESERVED, *sheet.labels, *SPLITS, *sheet.leaks, *sheet.acquisition}
    columns = []
    for name in data.table.columns:
        if name in excluded:
            continue
        values = data.table[name]
        kind = _guess_kind(values)
        known = YEARS if kind == "numeric" and name.lower() in AGES else {}
        column = Column(name, _guess_level(data, name), kind, **known)
        distinct = values.nunique()
        if column.kind == "multi":
            words = fit_column(from_sheet(column), values).categories
            distinct = max(2, len(words))
        if distinct < 2 or (column.kind != "numeric" and distinct > MAX_CATEGORIES):
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
    """Whether a column is the patient's: one value in each, said of most patients more than once.

    A lesion's column with few values has one in a patient as well, and nothing to compare it with.
    """
    if data.groups is None:
        return "lesion"
    by_group = data.table[name].replace(UNKNOWN, np.nan).groupby(data.table["group"])
    counts, sizes = by_group.count(), by_group.size()
    counts = counts[(sizes > 1) & (counts > 0)]
    is_constant = bool((by_group.nunique() <= 1).all())
    return "patient" if is_constant and (counts > 1).mean() > 0.5 else "lesion"
