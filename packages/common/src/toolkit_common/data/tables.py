"""Reads tables as they come out of spreadsheets, archives and scripts, all as strings.

Delimited text (`toolkit_common.data.text`), Excel sheets, parquet. Empty cells and the usual
spellings of "missing" become None, blank rows are passed over.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from toolkit_common.data.cells import MISSING, known_cell, parse_numbers
from toolkit_common.data.sheet import ANSWER_SEPARATOR
from toolkit_common.data.text import Row, read_text
from toolkit_common.errors import InputError
from toolkit_common.extras import require
from toolkit_common.outside import is_of_machine, reason_of
from toolkit_common.printable import counted

ROWS = "rows of the file"  # attribute of a table that has passed over some: their numbers
EMPTY_WORDS = "words read as missing"  # attribute of a table: column -> word -> how often
NOTES = "how it was read"  # attribute of a table: what was guessed or chosen, a line each
EXCEL = (".xlsx", ".xlsm")
PARQUET = (".parquet", ".pq")


def read_table(
    path: Path, *, missing: frozenset[str] = MISSING, sheet: str = "", guess: bool = False
) -> pd.DataFrame:
    """Read a table; every column holds strings, or None for missing cells.

    Args:
        path: The file.
        missing: Cells that say that something is missing.
        sheet: Of an Excel file; the first that is not empty by default.
        guess: Take text that is no UTF-8 for Windows-1252; the table's `NOTES` say so.

    Raises:
        InputError: If the file is missing, empty, no table, of an unknown encoding, has two columns
            of one name, or rows of different lengths; the message names the file and the row.
    """
    if not path.is_file():
        raise InputError(f"no table at {path}")
    notes: list[str] = []
    if path.suffix.lower() in EXCEL:
        found = _excel_rows(path, sheet, notes)
    elif path.suffix.lower() in PARQUET:
        found = _parquet_rows(path)
    else:
        found = read_text(path, notes, guess=guess)
    frame = _frame(found or [(1, [])], path, missing)
    frame.attrs[NOTES] = notes
    return frame


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


def row_number(table: "pd.DataFrame | pd.Series", position: int) -> int:
    """Return the number that a spreadsheet shows for a row: 2 for the first under a header on top.

    Args:
        table: What `read_table` returned, or a column of it, with all of its rows.
        position: Of the row, from 0.
    """
    numbers = table.attrs.get(ROWS)
    return position + 2 if numbers is None else int(numbers[position])


def to_number(
    column: pd.Series, *, path: Path, ids: pd.Series | None = None, unit: str = ""
) -> "pd.Series[float]":
    """Turn a string column into floats, None into NaN.

    Args:
        column: The column.
        path: Its file, for messages.
        ids: Image of each row, where rows are not those of the file any more.
        unit: The unit that cells may name.

    Raises:
        InputError: If a cell is no number, or an infinite one; the message names file, row (or
            image), column, value.
    """
    numbers = parse_numbers(column, unit=unit)
    # Infinity is a number to pandas, and would be to every mean.
    wrong = column.notna() & ~np.isfinite(numbers)
    if wrong.any():
        position = int(wrong.to_numpy().argmax())
        where = (
            f"row {row_number(column, position)}" if ids is None else f"image {ids.iloc[position]}"
        )
        why = "is no number" if np.isnan(numbers.iloc[position]) else "is no finite number"
        raise InputError(
            f"{path}: {where}, column {column.name!r}: {str(column.iloc[position])!r} {why}"
        )
    return numbers


def _frame(found: Sequence[Row], path: Path, missing: frozenset[str]) -> pd.DataFrame:
    header, *rows = found
    names = [name.strip() for name in header[1]]
    if not any(names):
        raise InputError(f"{path} is empty: expected a header line with column names")
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise InputError(f"{path}: column {doubled[0]!r} occurs {names.count(doubled[0])} times")
    for number, row in rows:
        if len(row) != len(names):
            raise InputError(
                f"{path}: row {number} has {counted(len(row), 'cell')}, the header has "
                f"{len(names)}: {row[:3]}"
            )
    cells = [[known_cell(cell, missing) for cell in row] for _, row in rows]
    frame = pd.DataFrame(cells, columns=names, dtype=object)
    frame.attrs[EMPTY_WORDS] = _empty_words(frame, [row for _, row in rows])
    # Blank rows moved those after them: messages name the file's own rows, as a spreadsheet does.
    numbers = [number for number, _ in rows]
    if numbers != list(range(2, len(rows) + 2)):
        frame.attrs[ROWS] = numbers
    return frame


def _empty_words(frame: pd.DataFrame, rows: list[list[str]]) -> dict[str, dict[str, int]]:
    """Count the words, not the empty cells, that were read as missing."""
    counts: dict[str, dict[str, int]] = {}
    for place, name in enumerate(frame):
        empty = np.flatnonzero(frame[name].isna().to_numpy())
        words = Counter(rows[row][place].strip() for row in empty)
        del words[""]
        if words:
            counts[str(name)] = dict(words)
    return counts


def _excel_rows(path: Path, wanted: str, notes: list[str]) -> list[Row]:
    """Return the rows of a sheet that are not blank; what formulas gave, as Excel has kept it."""
    openpyxl = require("openpyxl", extra="lesions", purpose=f"reading {path.name}")
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        sheets = {
            str(sheet.title): list(sheet.iter_rows(values_only=True)) for sheet in book.worksheets
        }
    except Exception as error:  # zip, zlib, XML and openpyxl raise many kinds on damaged files
        if is_of_machine(error):
            raise
        raise InputError(f"{path} cannot be read as an Excel file: {reason_of(error)}") from None
    filled = {name: rows for name, rows in sheets.items()
              if any(cell is not None for row in rows for cell in row)}  # fmt: skip
    if wanted and wanted not in filled:
        raise InputError(f"{path} has no sheet {wanted!r} with cells; it has: {', '.join(filled)}")
    name = wanted or next(iter(filled), "")
    if len(filled) > 1 and not wanted:
        others = ", ".join(repr(other) for other in filled if other != name)
        notes.append(f"sheet {name!r} is read, not {others} (?sheet=NAME)")
    rows = [[_text(cell) for cell in row] for row in filled.get(name, [])]
    # Columns that were used once, and rows of another length, are Excel's own.
    width = max((place + 1 for row in rows for place, cell in enumerate(row) if cell.strip()),
                default=0)  # fmt: skip
    even = ((row + [""] * width)[:width] for row in rows)
    return [(number, row) for number, row in enumerate(even, start=1)
            if any(cell.strip() for cell in row)]  # fmt: skip


def _parquet_rows(path: Path) -> list[Row]:
    import pyarrow as pa

    from toolkit_common.foreign.rows import read_rows

    table = read_rows(path)
    for column in table.schema:
        if pa.types.is_binary(column.type) or pa.types.is_struct(column.type):
            raise InputError(
                f"{path}: column {column.name!r} holds images, not words: read the folder of such "
                "files as hf:FOLDER, or leave that column out"
            )
    cells = [[_text(cell) for cell in column.to_pylist()] for column in table.columns]
    rows = ([*row] for row in zip(*cells, strict=True))
    return [(1, table.column_names), *enumerate(rows, start=2)]


def _text(cell: Any) -> str:
    """Return a typed cell as text has it: `2` for 2.0, a date as 2024-05-31, answers with `;`."""
    if cell is None or cell != cell:
        return ""
    if isinstance(cell, float):
        return f"{int(cell)}" if cell.is_integer() else repr(cell)
    if isinstance(cell, list):
        return ANSWER_SEPARATOR.join(map(_text, cell))
    moment = str(cell)
    return moment.removesuffix(" 00:00:00") if hasattr(cell, "isoformat") else moment
