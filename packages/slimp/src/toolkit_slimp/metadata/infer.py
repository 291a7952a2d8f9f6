"""From a data set to its metadata schema: inferred, or read from a user's file, then fitted.

Only training rows are looked at for transforms and vocabularies. Columns on the deny-list of the
data set's sheet are refused by name, whoever writes them into a schema.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from toolkit_common.console import console
from toolkit_common.data.dataset import ImageData
from toolkit_common.data.splits import make_splits
from toolkit_common.errors import InputError
from toolkit_common.runs.files import refuse_unwritable, write_text
from toolkit_common.sources.load import load_data
from toolkit_slimp.metadata.columns import fit_column, is_observed, unseen_words
from toolkit_slimp.metadata.guess import RESERVED, from_sheet, guess_columns
from toolkit_slimp.metadata.patients import count_differing
from toolkit_slimp.metadata.schema import ColumnSchema, Schema
from toolkit_slimp.metadata.table import named

MAX_SHOWN = 3  # words in a message


def infer_schema(data: ImageData, rows: np.ndarray) -> Schema:
    """Build the schema of a data set: its sheet's columns, else what the table shows.

    Args:
        data: The data set.
        rows: Training rows; transforms and vocabularies are fitted on them alone.

    Raises:
        InputError: If there is no usable column.
    """
    declared = [column for column in data.sheet.columns if column.name in data.table]
    columns = [from_sheet(column) for column in declared or guess_columns(data)]
    table = data.table.iloc[rows]
    with named(data):
        fitted = [_fit(column, table) for column in columns]
        used = tuple(column for column in fitted if _is_usable(column, table))
    if not used:
        raise InputError(
            f"data set {data.id!r} has no metadata columns: SLIMP aligns images with metadata; "
            "give a lesion data set, or a csv with more columns than image and label"
        )
    if data.groups is not None:
        _tell_differing(data.table, used)
    return Schema(used)


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
    try:
        schema = Schema.from_json(path.read_text(encoding="utf-8-sig"))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except FileNotFoundError:
        raise InputError(
            f"no schema at {path}: write one with toolkit data schema {data.id}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the schema {path}: {error}") from None
    table = data.table.iloc[rows]
    columns = []
    for column in schema.columns:
        _check_place(column, data)
        with named(data):
            fitted = column if column.is_fitted else _fit(column, table)
            _check_words(fitted, table[column.name])
            if not _is_usable(fitted, table):
                raise InputError(f"column {column.name!r} has no value in the training rows")
        columns.append(fitted)
    if not columns:
        raise InputError(f"the schema {path} has no columns")
    return Schema(tuple(columns))


def export_schema(
    identifier: str,
    path: Path | None,
    *,
    premalignant_as: str | None = None,
    split_seed: int = 0,
    splits_file: Path | None = None,
    folds: int | None = None,
    fold: int = 0,
    overwrite: bool = False,
) -> Schema:
    """Infer the schema of a data set, as pre-training with the same splits would, and write it.

    Args:
        identifier: The data set's id.
        path: File to write; None writes nothing.
        premalignant_as: See `load_data`.
        split_seed: Of the splits.
        splits_file: Of the splits, see `make_splits`.
        folds: Of the splits.
        fold: Of the splits.
        overwrite: Whether an existing file is replaced.

    Raises:
        InputError: If the data or their splits are at fault, or the file exists or cannot be
            written.
    """
    if path is not None and path.is_dir():
        raise InputError(f"{path} is a folder: give a file's name as --output")
    if path is not None and path.exists() and not overwrite:
        raise InputError(f"{path} exists: add --overwrite to replace it, or give another --output")
    if path is not None:
        refuse_unwritable(path.parent, option="--output in")
    data = load_data(identifier, premalignant_as=premalignant_as)
    splits = make_splits(data, seed=split_seed, folds=folds, fold=fold, file=splits_file)
    schema = infer_schema(data, splits.train)
    if path is not None:
        write_text(path, schema.to_json())
    return schema


def print_schema(schema: Schema) -> None:
    """Print a table of the columns."""
    table = Table("column", "level", "kind", "range", "values")
    for column in schema.columns:
        bounds = [f"{bound:g}" if bound is not None else "" for bound in (column.low, column.high)]
        span = f"{bounds[0]}..{bounds[1]} {column.unit}".strip()
        values = ", ".join(column.categories)
        if column.quantiles:
            values = f"{column.quantiles[0]:g} to {column.quantiles[-1]:g} in training"
        shown = "" if span == ".." else span
        table.add_row(column.name, column.level, column.kind, shown, values)
    Console(highlight=False).print(table)


def _check_place(column: ColumnSchema, data: ImageData) -> None:
    name = column.name
    if name in data.sheet.leaks:
        raise InputError(
            f"column {name!r} of {data.id!r} must never be an input: {data.sheet.leaks[name]}; "
            "take it out of the schema"
        )
    if name in data.sheet.labels or name in RESERVED:
        what = "a label" if name in data.sheet.labels else "a key"
        raise InputError(f"column {name!r} is {what}, never an input: take it out of the schema")
    if name not in data.table:
        raise InputError(f"the data has no metadata column {name!r} of the schema")
    if name in data.sheet.acquisition:
        console.print(f"column {name!r} is read as asked: {data.sheet.acquisition[name]}")
    if column.level == "patient" and data.groups is not None:
        with named(data):
            differing = count_differing(column, data.table)
        if differing:
            raise InputError(
                f"column {name!r} is the patient's in the schema, and differs between lesions of "
                f"{differing} patients: set its level to lesion"
            )


def _tell_differing(table: pd.DataFrame, columns: Sequence[ColumnSchema]) -> None:
    """Tell where a sheet's patient column has two values: without patient ids none was chosen."""
    for column in columns:
        differing = count_differing(column, table) if column.level == "patient" else 0
        if differing:
            console.print(
                f"column {column.name!r} differs within {differing} patients: a patient's first "
                "value is read"
            )


def _fit(column: ColumnSchema, table: pd.DataFrame) -> ColumnSchema:
    return fit_column(column, table[column.name], table["image_id"])


def _is_usable(column: ColumnSchema, table: pd.DataFrame) -> bool:
    return column.is_fitted and bool(
        is_observed(column, table[column.name], table["image_id"]).any()
    )


def _check_words(column: ColumnSchema, values: pd.Series) -> None:
    """Refuse a column none of whose training values is known, tell where some are not."""
    unseen = unseen_words(column, values)
    if not unseen:
        return
    shown = [f"{word!r} {count}" for word, count in unseen.items()]
    others = [f"{len(shown) - MAX_SHOWN} more"] if len(shown) > MAX_SHOWN else []
    listed, count = ", ".join([*shown[:MAX_SHOWN], *others]), int(values.notna().sum())
    if not is_observed(column, values).any():
        raise InputError(
            f"column {column.name!r}: none of its {count} training values is a word of the schema "
            f"({listed}): mend its kind or its categories, or delete these to have them fitted"
        )
    console.print(
        f"column {column.name!r}: words that the schema lacks are read as missing: {listed} (of "
        f"{count} training values)"
    )
