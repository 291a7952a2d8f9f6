"""Reads delimited text: which separator, which encoding, which rows.

Comma, semicolon, tab or pipe, quoted fields, perhaps with the `sep=;` of Excel above; UTF-8, UTF-16
with its mark, or (as a guess, which is told) Windows-1252.
"""

import codecs
import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from toolkit_common.errors import InputError

SEPARATORS = (",", ";", "\t", "|")
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
DIRECTIVE = re.compile(r'"?sep=(.)"?\s*')  # Excel's own first line

Row = tuple[int, list[str]]  # with the number that a spreadsheet shows


@dataclass(frozen=True)
class _Text:
    """How a file of text is read: `separator` is the one that it names itself."""

    encoding: str = "utf-8-sig"
    separator: str = ""


def read_text(path: Path, notes: list[str], *, guess: bool) -> list[Row]:
    """Return the rows of a text that are not blank, the header first.

    Args:
        path: The file.
        notes: What was guessed is added, a line.
        guess: Take text that is no UTF-8 for Windows-1252.

    Raises:
        InputError: If it is of an unknown encoding, or a quote in it is broken.
    """
    text = _dialect(path)
    try:
        try:
            return _parse(path, text)
        except UnicodeDecodeError:
            if not guess or _has_nul(path):
                raise
            rows = _parse(path, replace(text, encoding="cp1252"))
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text: save it as UTF-8") from None
    except csv.Error as error:
        raise InputError(f"{path} cannot be read as a table: {error}") from None
    # Blank rows are gone, of spaces that are no ASCII too.
    example = next((cell for _, row in rows for cell in row if not cell.isascii()), "\xa0")
    notes.append(f"no UTF-8: taken for Windows-1252, as in {example!r}; if wrong, save it as UTF-8")
    return rows


def read_headers(path: Path) -> dict[str, list[str]]:
    """Return the first row that is not blank, as each separator cuts it."""
    return _headers(path, _Text())


def _dialect(path: Path) -> _Text:
    """Return the encoding that a file's mark gives away, and the separator of its first line."""
    with path.open("rb") as file:
        start = file.read(64)
    encoding = "utf-16" if start.startswith(UTF_16) else "utf-8-sig"
    first = start.decode(encoding, errors="replace").partition("\n")[0].rstrip("\r")
    named = DIRECTIVE.fullmatch(first)
    return _Text(encoding, named[1] if named else "")


def _has_nul(path: Path) -> bool:
    """Whether a file is no text at all: no encoding of one byte a letter has such a letter."""
    with path.open("rb") as file:
        return b"\0" in file.read(1 << 16)


def _headers(path: Path, text: _Text) -> dict[str, list[str]]:
    return {
        separator: next(_records(path, separator, text, strict=False), (1, []))[1]
        for separator in (text.separator or SEPARATORS)
    }


def _parse(path: Path, text: _Text) -> list[Row]:
    """Return the rows that are not blank, with their numbers.

    The separator is the one that gives the widest header; another one only where it gives an even
    table and that one does not, as with a comma in the name of a column.
    """
    widths = {separator: len(header) for separator, header in _headers(path, text).items()}
    widest, *others = sorted(widths, key=widths.__getitem__, reverse=True)
    tables = [_try_records(path, widest, text)]
    if not _is_even(tables[0]):
        tables += [_try_records(path, other, text) for other in others if widths[other] > 1]
    best = next(filter(_is_even, tables), tables[0])
    if isinstance(best, csv.Error):
        raise best
    return best


def _try_records(path: Path, separator: str, text: _Text) -> list[Row] | csv.Error:
    try:
        return list(_records(path, separator, text, strict=True))
    except csv.Error as error:
        return error


def _is_even(table: list[Row] | csv.Error) -> bool:
    return not isinstance(table, csv.Error) and len({len(row) for _, row in table}) <= 1


def _records(path: Path, separator: str, text: _Text, *, strict: bool) -> Iterator[Row]:
    with path.open(encoding=text.encoding, newline="") as file:
        if text.separator:
            file.readline()
        first = 2 if text.separator else 1
        # Strict, so that a broken quote is an error and not a cell that swallows lines.
        rows = csv.reader(file, delimiter=separator, skipinitialspace=True, strict=strict)
        has_header = False
        for number, row in enumerate(rows, start=first):
            # A first row of empty cells is a header without names: it is refused, not passed over.
            if any(cell.strip() for cell in row) or (row and not has_header):
                has_header = True
                yield number, row
