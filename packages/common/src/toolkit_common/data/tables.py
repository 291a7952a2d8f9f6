"""Reads delimited text as it comes out of spreadsheets, archives and scripts, all as strings.

Comma, semicolon, tab or pipe; with or without BOM; quoted fields. Empty cells and the usual
spellings of "missing" become None, blank rows are passed over.
"""

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from toolkit_common.data.cells import MISSING, known_cell, parse_numbers
from toolkit_common.errors import InputError

SEPARATORS = (",", ";", "\t", "|")
ROWS = "rows of the file"  # attribute of a table that has passed over some: their numbers
EMPTY_WORDS = "words read as missing"  # attribute of a table: column -> word -> how often


def read_table(path: Path, *, missing: frozenset[str] = MISSING) -> pd.DataFrame:
    """Read a table; every column holds strings, or None for missing cells.

    Args:
        path: The file.
        missing: Cells that say that something is missing.

    Raises:
        InputError: If the file is missing, empty, not UTF-8, has two columns of one name, or rows
            of different lengths; the message names the file and the row.
    """
    if not path.is_file():
        raise InputError(f"no table at {path}")
    try:
        header, *rows = _parse(path) or [(1, [])]
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text: save it as UTF-8") from None
    except csv.Error as error:
        raise InputError(f"{path} cannot be read as a table: {error}") from None
    names = [name.strip() for name in header[1]]
    if not any(names):
        raise InputError(f"{path} is empty: expected a header line with column names")
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise InputError(f"{path}: column {doubled[0]!r} occurs {names.count(doubled[0])} times")
    for number, row in rows:
        if len(row) != len(names):
            raise InputError(
                f"{path}: row {number} has {len(row)} cells, the header has {len(names)}: {row[:3]}"
            )
    cells = [[known_cell(cell, missing) for cell in row] for _, row in rows]
    frame = pd.DataFrame(cells, columns=names, dtype=object)
    frame.attrs[EMPTY_WORDS] = _empty_words(frame, [row for _, row in rows])
    # Blank rows moved those after them: messages name the file's own rows, as a spreadsheet does.
    numbers = [number for number, _ in rows]
    if numbers != list(range(2, len(rows) + 2)):
        frame.attrs[ROWS] = numbers
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


def read_headers(path: Path) -> dict[str, list[str]]:
    """Return the first row that is not blank, as each separator cuts it."""
    return {
        separator: next(_records(path, separator, strict=False), (1, []))[1]
        for separator in SEPARATORS
    }


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


def _parse(path: Path) -> list[tuple[int, list[str]]]:
    """Return the rows that are not blank, with their numbers.

    The separator is the one that gives the widest header; another one only where it gives an even
    table and that one does not, as with a comma in the name of a column.
    """
    widths = {separator: len(header) for separator, header in read_headers(path).items()}
    widest, *others = sorted(widths, key=widths.__getitem__, reverse=True)
    tables = [_try_records(path, widest)]
    if not _is_even(tables[0]):
        tables += [_try_records(path, other) for other in others if widths[other] > 1]
    best = next(filter(_is_even, tables), tables[0])
    if isinstance(best, csv.Error):
        raise best
    return best


def _try_records(path: Path, separator: str) -> list[tuple[int, list[str]]] | csv.Error:
    try:
        return list(_records(path, separator, strict=True))
    except csv.Error as error:
        return error


def _is_even(table: list[tuple[int, list[str]]] | csv.Error) -> bool:
    return not isinstance(table, csv.Error) and len({len(row) for _, row in table}) <= 1


def _records(path: Path, separator: str, *, strict: bool) -> Iterator[tuple[int, list[str]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        # Strict, so that a broken quote is an error and not a cell that swallows lines.
        rows = csv.reader(file, delimiter=separator, skipinitialspace=True, strict=strict)
        has_header = False
        for number, row in enumerate(rows, start=1):
            # A first row of empty cells is a header without names: it is refused, not passed over.
            if any(cell.strip() for cell in row) or (row and not has_header):
                has_header = True
                yield number, row
