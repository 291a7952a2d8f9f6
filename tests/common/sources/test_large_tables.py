"""Columns of large tables are those that the slow reader reads, whatever the file looks like."""

import csv
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.properties import few_examples
from toolkit_common.data.cells import MISSING
from toolkit_common.data.tables import read_table, to_number
from toolkit_common.data.text import SEPARATORS
from toolkit_common.errors import InputError
from toolkit_common.sources import large_tables
from toolkit_common.sources.large_tables import Wanted, read_large_table

WANTED = Wanted(words=("id", "word"), categories=("kind",), numbers=("size",))
NAMES = ("id", "word", "kind", "size", "other")


def write(text: str | bytes) -> Path:
    path = Path("t.csv")
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def cells_of(column: pd.Series) -> list[Any]:
    result = column.astype(object)
    return result.where(result.notna(), None).tolist()


def answer(read: Any) -> Any:
    """What a reader makes of the file: cells, or what it says."""
    try:
        frame = read()
        sizes = to_number(frame["size"], path=Path("t.csv")) if "size" in frame else None
    except InputError as error:
        return str(error)
    typed = frame if sizes is None else frame.assign(size=sizes)
    return {name: cells_of(typed[name]) for name in typed if name in WANTED.types}


def assert_alike(path: Path) -> None:
    fast, slow = answer(lambda: read_large_table(path, WANTED, key="id")), read_slow(path)
    assert fast == slow


def read_slow(path: Path) -> Any:
    return answer(lambda: read_table(path))


spaces = st.sampled_from(["", "", "", " ", "  ", "\t", "\u00a0", "\u2003", "\x1c"])
words = st.one_of(
    st.sampled_from(["male", "Melanoma, NOS", "a;b", "\u00e9", "\u5927", '"', 'a"b', "\n", "\r"]),
    st.sampled_from(sorted(MISSING)),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=4),
)
texts = st.tuples(spaces, words, spaces).map("".join)
numbers = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(["1", "-2.5e1", "+3", ".5", "nan", "nAn", "NA", "inf", "1e400", "0x1f", "1_0",
                     "x", ""]),
)  # fmt: skip
sizes = st.tuples(spaces, numbers, spaces).map("".join)
rows = st.lists(st.tuples(texts, texts, texts, sizes, texts), max_size=5)


@pytest.mark.slow
@given(
    rows,
    st.permutations(NAMES),
    st.sampled_from(SEPARATORS),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["", "\ufeff", "\n", "\ufeff\n", " \n"]),
)
@few_examples
def test_any_dialect_reads_as_the_slow_reader_reads_it(
    rows: list[tuple[str, ...]], order: list[str], separator: str, quoting: Any, end: str, mark: str
) -> None:
    with Path("t.csv").open("w", encoding="utf-8", newline="") as file:
        file.write(mark)
        writer = csv.writer(file, delimiter=separator, quoting=quoting, lineterminator=end)
        writer.writerows([[row[NAMES.index(name)] for name in order] for row in (NAMES, *rows)])
    assert_alike(Path("t.csv"))


@pytest.mark.slow
@given(st.lists(st.text(st.sampled_from('ab1 ,,,;\t|"\'\u00e9'), max_size=14), max_size=4),
       st.sampled_from(["id,word,size", "id;word;size", 'id,"word",size', "id, word ,size",
                        "id,word,word", "id\tsize", "word,size", "id", '"id";a,b,c']))  # fmt: skip
@few_examples
def test_any_lines_read_as_the_slow_reader_reads_them(lines: list[str], header: str) -> None:
    path = write("\n".join([header, *lines, ""]))
    if "has no column 'id'" not in answer(lambda: read_large_table(path, WANTED, key="id")):
        assert_alike(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id,kind\n a , male\nb,male \n", {"id": ["a", "b"], "kind": ["male", "male"]}),
        ("id\tkind\na\tmale\n", {"id": ["a"], "kind": ["male"]}),
        ("id;kind;size\na;b,c;2\n", {"id": ["a"], "kind": ["b,c"], "size": [2.0]}),
        ('id,kind\na,"b, c"\n', {"id": ["a"], "kind": ["b, c"]}),
        ('id,kind\na, "b, c"\n', {"id": ["a"], "kind": ["b, c"]}),
        ("id,kind\na, NA \nb,x\n", {"id": ["a", "b"], "kind": [None, "x"]}),
        ("id,size\na,1\n,\nb,2\n", {"id": ["a", "b"], "size": [1.0, 2.0]}),
        ("other,id\nx,\n\n", {"id": [None]}),
    ],
)
def test_cells_are_stripped_and_separators_recognised(text: str, expected: dict[str, Any]) -> None:
    path = write(text)
    assert answer(lambda: read_large_table(path, WANTED, key="id")) == expected == read_slow(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,sex,sex\na,m,m\n", "column 'sex' occurs 2 times"),
        ("name,size\na,1\n", "t.csv has no column 'id'; it has: name, size"),
        ("", "is empty: expected a header line"),
        ("id,kind\na,b,c\n", "row 2 has 3 cells, the header has 2"),
        ('id,kind\na,"b"c\n', "cannot be read as a table"),
        ("id,kind\na,\xe9\n".encode("latin-1"), "is not UTF-8 text"),
    ],
)
def test_a_broken_table_is_refused_as_the_slow_reader_does(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_large_table(write(text), WANTED, key="id")


def test_a_missing_file_is_named() -> None:
    with pytest.raises(InputError, match=r"no table at absent\.csv"):
        read_large_table(Path("absent.csv"), WANTED, key="id")


@pytest.mark.parametrize("cell", ["nAn", "inf", "1e400", "1,5", "+1", " 1 ", "'NA'", "0x1f"])
def test_a_strange_number_is_reported_as_by_the_slow_reader(cell: str) -> None:
    assert_alike(write(f"id;kind;size\na;x;{cell}\n"))


@pytest.mark.parametrize("separator", SEPARATORS)
def test_a_clean_table_goes_the_fast_way(separator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> pd.DataFrame:
        raise AssertionError(f"{path} is read the slow way")

    monkeypatch.setattr(large_tables, "read_table", refuse)
    lines = ["id,kind,size,other", '"a",x,1,"p ""q"""', "b, y,,", "\u00e9,x ,nan,z"]
    text = "\n".join(line.replace(",", separator) for line in lines)
    frame = read_large_table(write(f"\ufeff{text}"), WANTED, key="id")
    assert list(frame) == ["id", "kind", "size"]
    assert cells_of(frame["kind"]) == ["x", "y", "x"]
    assert cells_of(frame["size"]) == [1.0, None, None]
    assert frame["kind"].dtype == "category"


@pytest.mark.parametrize("block", [4, 16, 33])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_file_is_looked_at_in_blocks_of_whole_lines(
    block: int, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_tables, "BLOCK", block)
    lines = ["id,kind", *(f'{place},"x, ""{place}"""' for place in range(30)), "z,y"]
    path = write("\ufeff" + end.join(lines))
    assert b"".join(large_tables._blocks(path)) == end.join(lines).encode()
    assert large_tables._is_plain(path, ",") == (block > 4)  # of 4 a line is too long
    assert_alike(path)
    assert not large_tables._is_plain(write(end.join([*lines, 'a,b"', ""])), ",")
