"""Parquet is read as bounded data: what is no table of text and numbers is one line."""

import errno
import os
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


def test_rows_without_end_are_refused_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "MAX_ROWS", 1)
    with pytest.raises(InputError, match=r"t\.parquet: it says that it has 2 rows"):
        read_rows(write(tmp_path, TABLE))


@pytest.mark.parametrize("content", [b"", b"PAR1", b"x" * 40])
def test_a_damaged_file_is_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(content)
    with pytest.raises(InputError, match=r"cannot read .*t\.parquet: ") as caught:
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


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*none\.parquet: .*no such file or folder"):
        read_rows(tmp_path / "none.parquet")
