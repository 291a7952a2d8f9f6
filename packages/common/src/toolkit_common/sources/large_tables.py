"""Reads the needed columns of a table of many rows: as `read_table` does, in a tenth of the time.

Arrow reads the tables that both read alike: a header that leaves no doubt about the separator,
quotes that stand around whole cells, no blank row, UTF-8 in what is read. All others go the slow
way, which also names what is wrong with them.
"""

import codecs
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from toolkit_common.data.cells import MISSING, known_cell
from toolkit_common.data.tables import read_table, require_columns
from toolkit_common.data.text import read_headers
from toolkit_common.errors import InputError

BLOCK = 1 << 22  # bytes looked at at once


@dataclass(frozen=True)
class Wanted:
    """Columns to read where a table has them, by what they hold.

    Attributes:
        words: Texts.
        categories: Texts of which there are few: kept as codes.
        numbers: Floats; texts where some cell is none, for `to_number` to name it.
    """

    words: Sequence[str] = ()
    categories: Sequence[str] = ()
    numbers: Sequence[str] = ()

    @property
    def types(self) -> dict[str, pa.DataType]:
        """The type in which each column is read."""
        return (
            dict.fromkeys(self.words, pa.string())
            | dict.fromkeys(self.categories, pa.dictionary(pa.int32(), pa.string()))
            | dict.fromkeys(self.numbers, pa.float64())
        )


def read_large_table(path: Path, wanted: Wanted, *, key: str) -> pd.DataFrame:
    """Read the wanted columns that a table has, in its order.

    Args:
        path: The table.
        wanted: Its columns.
        key: The one without which it is not the expected table.

    Raises:
        InputError: If the file is missing, not a table, or lacks the key.
    """
    if not path.is_file():
        raise InputError(f"no table at {path}")
    frame = _read_fast(path, wanted, key)
    # Arrow keeps what it freed, and images need that memory next.
    pa.default_memory_pool().release_unused()
    if frame is None:
        whole = read_table(path)
        require_columns(whole, (key,), path=path)
        frame = whole[[name for name in whole if name in wanted.types]]
    coded = {
        # Only for what Arrow has not coded already: the map walks over all rows.
        name: frame[name].map(known_cell, na_action="ignore").astype("category")
        for name in wanted.categories
        if name in frame and not _is_coded(frame[name])
    }
    return frame.assign(**coded) if coded else frame


def _is_coded(column: pd.Series) -> bool:
    """Whether a column has codes, and no two of words that differ in the space around them."""
    if not isinstance(column.dtype, pd.CategoricalDtype):
        return False
    return all(known_cell(word) == word for word in column.cat.categories)


def _read_fast(path: Path, wanted: Wanted, key: str) -> pd.DataFrame | None:
    """Return the columns, or None if the slow reader could see another table."""
    separator = _certain_separator(path, key)
    if separator is None or not _is_plain(path, separator):
        return None
    types = wanted.types
    # Missing is what the slow reader takes for it: Arrow's own words are others.
    convert = csv.ConvertOptions(
        column_types=types, null_values=sorted(MISSING), strings_can_be_null=True
    )
    try:
        parse = csv.ParseOptions(delimiter=separator)
        # The header first, alone: Arrow refuses to be asked for a column that is not there.
        header = csv.open_csv(path, parse_options=parse).schema.names
        convert.include_columns = [name for name in header if name in types]
        table = csv.read_csv(path, parse_options=parse, convert_options=convert)
    except pa.ArrowException:
        return None
    if _has_blank_row(table) or not _is_finite(table):
        return None
    for name in wanted.words:
        if name in table.column_names:
            table = _strip(table, name)
    # Columns are freed one by one as they are taken over.
    return table.to_pandas(split_blocks=True, self_destruct=True)


def _certain_separator(path: Path, key: str) -> str | None:
    """Return the separator that alone gives the widest header, if that has the key."""
    try:
        headers = read_headers(path)
    except UnicodeDecodeError:
        return None
    if headers[","] and headers[","][0].startswith("sep="):  # Excel's own first line
        return None
    widest, second, *_ = sorted(headers, key=lambda separator: -len(headers[separator]))
    names = headers[widest]
    is_clean = all(name == name.strip() for name in names) and len(set(names)) == len(names)
    is_certain = len(names) > len(headers[second])
    return widest if is_clean and is_certain and key in names else None


def _is_plain(path: Path, separator: str) -> bool:
    """Whether lines are rows, and every quote opens or closes a cell, or is doubled in one.

    Looked at block by block: line by line would take longer than to read the table.
    """
    mark = re.escape(separator)
    # The quote comes first: the search then leaps from one to the next.
    quoted = re.compile(rf'"(?<=[{mark}\n]")[^"\n]*+(?:""[^"\n]*+)*+"(?=[{mark}\r\n]|\Z)'.encode())
    return all(_is_plain_block(block, quoted) for block in _blocks(path))


def _is_plain_block(block: bytes, quoted: re.Pattern[bytes]) -> bool:
    if b"\r" in block and block.count(b"\r") != block.count(b"\r\n"):
        return False
    is_short = len(block) <= 2 * BLOCK  # the slow reader refuses a cell of more than 131,072
    return is_short and (b'"' not in block or b'"' not in quoted.sub(b"", b"\n" + block))


def _blocks(path: Path) -> Iterator[bytes]:
    """Yield a file in blocks of whole lines, without the mark at its start."""
    with path.open("rb") as file:
        rest = file.read(len(codecs.BOM_UTF8)).removeprefix(codecs.BOM_UTF8)
        while more := file.read(BLOCK):
            lines, newline, rest = (rest + more).rpartition(b"\n")
            yield lines + newline
        yield rest


def _has_blank_row(table: pa.Table) -> bool:
    """Whether in some row nothing stands in the columns that were read."""
    is_blank = pc.is_null(table.column(0))
    for column in table.columns[1:]:
        if not pc.any(is_blank).as_py():
            return False
        is_blank = pc.and_(is_blank, pc.is_null(column))
    return bool(pc.any(is_blank).as_py())


def _is_finite(table: pa.Table) -> bool:
    """Whether all numbers are, but for missing ones; the slow reader names those that are not."""
    numbers = (column for column in table.columns if pa.types.is_floating(column.type))
    return all(pc.all(pc.is_finite(column), min_count=0).as_py() for column in numbers)


def _strip(table: pa.Table, name: str) -> pa.Table:
    column = table.column(name)
    stripped = pc.utf8_trim_whitespace(column)
    if not pc.any(pc.not_equal(stripped, column)).as_py():
        return table
    is_missing = pc.is_in(stripped, pa.array(sorted(MISSING)))
    nothing = pa.scalar(None, pa.string())
    place = table.column_names.index(name)
    return table.set_column(place, name, pc.if_else(is_missing, nothing, stripped))
