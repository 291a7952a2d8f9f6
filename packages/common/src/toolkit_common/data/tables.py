"""Reads delimited text as it comes out of spreadsheets, archives and scripts, all as strings.

Comma, semicolon, tab or pipe; with or without BOM; quoted fields. Empty cells and the usual
spellings of "missing" become None.
"""

import csv
from pathlib import Path

import pandas as pd

from toolkit_common.errors import InputError

MISSING = frozenset(
    ("", "nan", "NaN", "NAN", "NA", "N/A", "n/a", "null", "NULL", "None", "none", "<NA>")
)
SEPARATORS = (",", ";", "\t", "|")


def read_table(path: Path) -> pd.DataFrame:
    """Read a table; every column holds strings, or None for missing cells.

    Raises:
        InputError: If the file is missing, empty, not UTF-8, has two columns of one name, or rows
            of different lengths; the message names the file and the row.
    """
    if not path.is_file():
        raise InputError(f"no table at {path}")
    try:
        widths = {separator: len(_first_record(path, separator)) for separator in SEPARATORS}
        header, *rows = _records(path, max(widths, key=widths.__getitem__)) or [[]]
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text: save it as UTF-8") from None
    except csv.Error as error:
        raise InputError(f"{path} cannot be read as a table: {error}") from None
    names = [name.strip() for name in header]
    if not any(names):
        raise InputError(f"{path} is empty: expected a header line with column names")
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise InputError(f"{path}: column {doubled[0]!r} occurs {names.count(doubled[0])} times")
    for position, row in enumerate(rows):
        if len(row) != len(names):
            raise InputError(
                f"{path}: row {row_number(position)} has {len(row)} cells, the header has "
                f"{len(names)}: {row[:3]}"
            )
    cells = [[_known(cell) for cell in row] for row in rows]
    return pd.DataFrame(cells, columns=names, dtype=object)


def require_columns(frame: pd.DataFrame, names: tuple[str, ...], *, path: Path) -> None:
    """Check that a table has the columns.

    Raises:
        InputError: If one is missing; the message lists what there is.
    """
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise InputError(
            f"{path} has no column {', '.join(map(repr, missing))}; it has: "
            f"{', '.join(map(str, frame.columns))}"
        )


def row_number(position: int) -> int:
    """Return the line that a spreadsheet shows for a row: the header is line 1."""
    return position + 2


def to_number(column: pd.Series, *, path: Path) -> "pd.Series[float]":
    """Turn a string column into floats, None into NaN.

    Raises:
        InputError: If a cell is no number; the message names file, row, column and value.
    """
    numbers = pd.to_numeric(column, errors="coerce")
    wrong = column.notna() & numbers.isna()
    if wrong.any():
        position = int(wrong.to_numpy().argmax())
        raise InputError(
            f"{path}: row {row_number(position)}, column {column.name!r}: "
            f"{column.iloc[position]!r} is no number"
        )
    return numbers.astype(float)


def _known(cell: str) -> str | None:
    stripped = cell.strip()
    return None if stripped in MISSING else stripped


def _records(path: Path, separator: str) -> list[list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [row for row in csv.reader(file, delimiter=separator, strict=True) if row]


def _first_record(path: Path, separator: str) -> list[str]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return next(filter(None, csv.reader(file, delimiter=separator)), [])
