"""Parquet files that anybody may have written: no more than memory holds, and text that is text.

A kilobyte can hold a million equal cells of 20 kB. What numbers take is known before they are read,
of text it is counted over indices, where each cell is a few bytes.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from toolkit_common.errors import InputError
from toolkit_common.foreign.values import refuse_pipe
from toolkit_common.outside import is_of_machine, reason_of

MAX_BYTES = 1 << 30  # of a table in memory, or as many times its file as real ones shrink by
SHRUNK = 64  # a table of 14 million images by name, as counted here, does by 23
CELL = 32  # bytes, at least, that one takes on its way through Python
NUMBER = 16  # bytes of the widest, and more than those of most
ASKED = re.compile(r"alloc of size (\d+)")
PANDAS = b"pandas"  # says how a frame once was, and is read before any column


def read_rows(path: Path, *, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a parquet file.

    Args:
        path: The file.
        columns: Those to read; all by default.

    Raises:
        InputError: If it is missing, damaged, without bounds, or a text in it is no UTF-8.
    """
    most = MAX_BYTES
    try:
        refuse_pipe(path)
        most = max(most, SHRUNK * path.stat().st_size)
        with pq.ParquetFile(path) as file:
            wanted = None if columns is None else list(columns)
            _refuse_more(path, file, wanted, most=most)
            table = file.read(columns=wanted)
        table.validate(full=True)
    except InputError:
        raise
    except (OSError, ValueError, KeyError, MemoryError, pa.ArrowException) as error:
        asked = ASKED.search(str(error))
        if asked and int(asked[1]) > most:  # no failure of the machine's
            raise InputError(
                f"cannot read {path}: it is damaged, and asks for {asked[1]} bytes of memory"
            ) from None
        if is_of_machine(error):
            raise
        reason = reason_of(error)
        if getattr(error, "errno", None) is None:  # in Arrow's words
            reason = f"it is damaged, or no parquet file ({reason}): write it again"
        raise InputError(f"cannot read {path}: {reason}") from None
    if names := [name for name in table.column_names if table.column_names.count(name) > 1]:
        raise InputError(f"cannot read {path}: column {names[0]!r} is there more than once")
    told = {key: value for key, value in (table.schema.metadata or {}).items() if key != PANDAS}
    return table.replace_schema_metadata(told or None)


def _refuse_more(path: Path, file: pq.ParquetFile, columns: list[str] | None, *, most: int) -> None:
    """Refuse a file whose columns would take more bytes in memory than `most`.

    Raises:
        InputError: If so.
    """
    told = file.metadata
    leaves = [
        leaf
        for leaf in map(file.schema.column, range(told.num_columns))
        if columns is None or any(f"{leaf.path}.".startswith(f"{name}.") for name in columns)
    ]
    texts = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
    lists = [leaf.path for leaf in leaves if leaf.max_repetition_level and leaf.path not in texts]
    size = told.num_rows * CELL * len({leaf.path.split(".")[0] for leaf in leaves})
    size += sum(told.num_rows * max(leaf.length, NUMBER) for leaf in leaves)
    # Not what is told of each column of a group: where that is damaged, pyarrow ends the process.
    size += sum(max(0, told.row_group(at).total_byte_size) for at in range(told.num_row_groups))
    if size <= most and (texts or lists):
        # One column at a time: of each a page is held as it is unpacked.
        with pq.ParquetFile(path, read_dictionary=texts) as coded:
            for batch in coded.iter_batches(columns=[*texts, *lists], use_threads=False):
                size += sum(map(_text_bytes, batch.columns))
                if size > most:
                    break
    if size > most:
        raise InputError(
            f"cannot read {path}: it has {told.num_rows:,} rows, which would take more than "
            f"{most:,} bytes of memory, unlike any table whose file is as small: leave "
            "out columns, or write it as CSV"
        )


def _text_bytes(array: pa.Array) -> int:
    """Return how many bytes an array of indices has once each is its text."""
    if pa.types.is_dictionary(array.type):
        lengths = pc.binary_length(array.dictionary).take(array.indices)
        return pc.sum(lengths).as_py() or 0
    if pa.types.is_struct(array.type):
        return sum(map(_text_bytes, array.flatten()))
    if pa.types.is_map(array.type):
        return _text_bytes(array.keys) + _text_bytes(array.items)
    return _text_bytes(array.flatten()) if pa.types.is_nested(array.type) else array.nbytes
