"""Parquet is read as bounded data: what is no table of text and numbers is one line."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from toolkit_common.errors import InputError
from toolkit_common.foreign import rows
from toolkit_common.foreign.rows import read_rows

TABLE = pa.table({"name": ["a", "b"], "size": [1.5, None]})


def write(folder: Path, table: pa.Table) -> Path:
    path = folder / "t.parquet"
    pq.write_table(table, path)
    return path


def test_what_was_written_is_read_and_single_columns_of_it(tmp_path: Path) -> None:
    path = write(tmp_path, TABLE)
    assert read_rows(path).equals(TABLE)
    assert read_rows(path, columns=["size"]).column_names == ["size"]


def test_what_pandas_says_of_a_frame_is_not_read(tmp_path: Path) -> None:
    path = write(tmp_path, TABLE.replace_schema_metadata({"pandas": "{", "kept": "1"}))
    assert read_rows(path).schema.metadata == {b"kept": b"1"}
    pd.testing.assert_frame_equal(read_rows(path).to_pandas(), TABLE.to_pandas())


def test_text_that_is_none_is_refused(tmp_path: Path) -> None:
    binary = pa.array([b"a", b"\xff"], pa.binary())
    text = pa.StringArray.from_buffers(2, *binary.buffers()[1:])
    with pytest.raises(InputError, match=r"cannot read .*t\.parquet: .*UTF8"):
        read_rows(write(tmp_path, pa.table({"name": text})))


def test_a_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, TABLE.rename_columns(["x", "x"]))
    with pytest.raises(InputError, match=r"t\.parquet: column 'x' is there more than once"):
        read_rows(path)


TEXT = ["x" * 1000] * 2000  # of which a file holds one, and indices


@pytest.mark.parametrize(
    "column",
    [
        pa.array(TEXT),
        pa.array(TEXT, pa.large_string()),
        pa.array(TEXT, pa.binary()),
        pa.array(TEXT).dictionary_encode(),
        pa.array([TEXT[:1000], TEXT[1000:]]),
        pa.array([{"bytes": text} for text in TEXT]),
        pa.array([[("k", text)] for text in TEXT], pa.map_(pa.string(), pa.string())),
        pa.array([None, *([(text, 1)] for text in TEXT)], pa.map_(pa.string(), pa.int32())),
        pa.array([text.encode() for text in TEXT], pa.binary(1000)),
        pa.array([7] * 200_000),
        pa.array([[7] * 200_000]),
        pa.nulls(200_000),
    ],
    ids=lambda column: str(column.type),
)
def test_a_file_that_fills_the_memory_is_refused_before_it_is_read(
    column: pa.Array, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = len(column)
    path = write(tmp_path, pa.table({"a.b": column, "i": pa.nulls(size)}))
    assert path.stat().st_size < 20_000
    assert read_rows(path).column_names == ["a.b", "i"]
    monkeypatch.setattr(rows, "SHRUNK", 0)
    monkeypatch.setattr(rows, "MAX_BYTES", 1_000_000)
    monkeypatch.setattr(pq.ParquetFile, "read", None)
    with pytest.raises(InputError, match=rf"t\.parquet: it has {size:,} rows, .* than 1,000,000 b"):
        read_rows(path, columns=["a.b"])


def test_a_bound_is_of_what_is_read_and_grows_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pa.table({"text": pa.array(TEXT), "i": pa.array(range(2000))})
    path = write(tmp_path, table)
    monkeypatch.setattr(rows, "MAX_BYTES", 120_000)
    assert read_rows(path, columns=["i"]).num_rows == 2000
    with pytest.raises(InputError, match="it has 2,000 rows"):
        read_rows(path)
    monkeypatch.setattr(rows, "SHRUNK", 1000)
    assert read_rows(path).equals(table)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"x" * 40])
def test_a_damaged_file_is_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(content)
    message = r"t\.parquet: it is damaged, or no parquet file \(.*\): write it again"
    with pytest.raises(InputError, match=rf"cannot read .*{message}") as caught:
        read_rows(tmp_path / "t.parquet")
    assert "\n" not in str(caught.value)


def test_where_the_machine_fails_the_file_is_not_blamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Path) -> object:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    path = write(tmp_path, TABLE)
    monkeypatch.setattr(pq, "ParquetFile", fail)
    with pytest.raises(OSError, match="Too many open files"):
        read_rows(path)


@pytest.mark.parametrize("wanted", [100, 1 << 40])
def test_memory_that_the_machine_lacks_is_no_damage_unless_no_machine_has_it(
    wanted: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> object:
        raise pa.ArrowMemoryError(f"realloc of size {wanted} failed")

    path = write(tmp_path, TABLE)
    monkeypatch.setattr(pq.ParquetFile, "read", fail)
    with pytest.raises(pa.ArrowMemoryError if wanted == 100 else InputError, match=f"{wanted}"):
        read_rows(path)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*none\.parquet: no such file or folder$"):
        read_rows(tmp_path / "none.parquet")


EVERY_BYTE = """
import sys
from pathlib import Path
from toolkit_common.errors import InputError
from toolkit_common.foreign.rows import read_rows
path = Path(sys.argv[1])
content = path.read_bytes()
for at in range(len(content)):
    changed = bytearray(content)
    changed[at] = (changed[at] + 1) % 256
    path.write_bytes(changed)
    try:
        read_rows(path)
    except InputError:
        pass
print("read", len(content))
"""


def test_no_changed_byte_ends_the_process(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"a": ["x", "y"]}), path)
    size = path.stat().st_size
    done = subprocess.run(
        [sys.executable, "-c", EVERY_BYTE, path], capture_output=True, text=True, check=False
    )
    assert done.stdout == f"read {size}\n", done.stderr
