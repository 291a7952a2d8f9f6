"""Parquet files that anybody may have written: as many rows as there are, and text that is text."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from toolkit_common.errors import InputError
from toolkit_common.foreign.values import refuse_pipe
from toolkit_common.outside import is_of_machine, reason_of

MAX_ROWS = 200_000_000  # a few bytes can say so many equal ones that no memory holds them
PANDAS = b"pandas"  # says how a frame once was, and is read before any column


def read_rows(path: Path, *, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a parquet file.

    Args:
        path: The file.
        columns: Those to read; all by default.

    Raises:
        InputError: If it is missing, damaged, without bounds, or a text in it is no UTF-8.
    """
    try:
        refuse_pipe(path)
        with pq.ParquetFile(path) as file:
            count = file.metadata.num_rows
            is_bounded = count <= MAX_ROWS
            wanted = None if columns is None else list(columns)
            table = file.read(columns=wanted) if is_bounded else None
        if table is not None:
            table.validate(full=True)
    except InputError:
        raise
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        # Memory apart: a few bytes can ask for more of it than there is.
        if isinstance(error, OSError) and is_of_machine(error):
            raise
        raise InputError(f"cannot read {path}: {reason_of(error)}") from None
    if table is None:
        raise InputError(f"cannot read {path}: it says that it has {count:,} rows")
    if names := [name for name in table.column_names if table.column_names.count(name) > 1]:
        raise InputError(f"cannot read {path}: column {names[0]!r} is there more than once")
    told = {key: value for key, value in (table.schema.metadata or {}).items() if key != PANDAS}
    return table.replace_schema_metadata(told or None)
