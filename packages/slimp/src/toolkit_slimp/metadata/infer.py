"""From a data set to its metadata schema: its sheet's columns, else what the table shows.

A table without a sheet has its columns typed by their names and by what they hold. Transforms and
vocabularies are fitted on training rows alone.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from toolkit_common.console import console
from toolkit_common.data.dataset import SPLITS, ImageData
from toolkit_common.data.sheet import Column
from toolkit_common.errors import InputError
from toolkit_common.printable import counted
from toolkit_common.sources.columns import type_columns
from toolkit_slimp.metadata.columns import count_differing, fit_column, has_value
from toolkit_slimp.metadata.schema import ColumnSchema, Schema
from toolkit_slimp.metadata.table import named

KEYS = ("image_id", "patient_id", "lesion_id", "group", "split")


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
                f"column {column.name!r} differs within {counted(differing, 'patient')}: a "
                "patient's first "
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
    """Type a table without a sheet, but for what its reader has found to be no metadata."""
    sheet, table = data.sheet, data.table
    excluded = {*KEYS, *sheet.labels, *SPLITS, *sheet.leaks, *sheet.acquisition, *sheet.unread}
    names = [str(name) for name in table if name not in excluded]
    typed = type_columns(table, names, patients=table.get("group"))
    # These cells are as they came: their spellings of unknown are codes.
    return [replace(_from_sheet(column), unknown=column.unknown) for column in typed.columns]
