"""Delimited text: separators as headers show them. Whole tables: test_tables."""

from pathlib import Path

import pytest

from toolkit_common.data.text import read_headers, read_text


def test_a_header_is_cut_by_each_separator(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("\na,b;c\n1,2;3\n")
    headers = read_headers(path)
    assert headers == {",": ["a", "b;c"], ";": ["a,b", "c"], "\t": ["a,b;c"], "|": ["a,b;c"]}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_rows_have_the_numbers_of_a_spreadsheet(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a;b\n\n1;\xe9\n", encoding=encoding)
    notes: list[str] = []
    assert read_text(path, notes, guess=False) == [(1, ["a", "b"]), (3, ["1", "\xe9"])]
    assert notes == []
