"""Tables as spreadsheets, archives and scripts write them, and how broken ones are refused."""

import csv
import math
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.properties import few_examples
from toolkit_common.data.cells import MISSING
from toolkit_common.data.tables import (
    NOTES,
    read_table,
    require_columns,
    row_number,
    to_number,
)
from toolkit_common.data.text import SEPARATORS
from toolkit_common.errors import InputError


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "t.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    "text",
    ["a,b\n1,x\n", "a;b\n1;x\n", "a\tb\n1\tx\n", "a|b\n1|x\n", "\ufeffa,b\n1,x\n",
     "\ufeffa;b\r\n1;x\r\n", '"a","b"\n"1","x"\n', "a,b\r1,x\r", "a,b\n1,x", "\na,b\n\n1,x\n\n",
     " a , b \n 1 , x \n"],
)  # fmt: skip
def test_common_spellings_of_one_table_read_the_same(text: str, tmp_path: Path) -> None:
    frame = read_table(write(tmp_path, text))
    assert frame.to_dict("list") == {"a": ["1"], "b": ["x"]}


def test_quotes_protect_separators_newlines_and_quotes(tmp_path: Path) -> None:
    text = 'a,b\n"1,2;3","two\nlines and ""quotes"""\n'
    frame = read_table(write(tmp_path, text))
    assert frame.to_dict("list") == {"a": ["1,2;3"], "b": ['two\nlines and "quotes"']}


def test_separators_inside_the_names_of_columns_do_not_count(tmp_path: Path) -> None:
    frame = read_table(write(tmp_path, '"a,b,c";"d\ne"\n1;2\n'))
    assert frame.to_dict("list") == {"a,b,c": ["1"], "d\ne": ["2"]}


@pytest.mark.parametrize("spelling", sorted(MISSING))
def test_missing_cells_are_none_however_spelt(spelling: str, tmp_path: Path) -> None:
    frame = read_table(write(tmp_path, f"a,b,c\n{spelling}, {spelling} ,x\n"))
    assert frame.iloc[0].tolist() == [None, None, "x"]


def test_what_looks_like_a_number_stays_text(tmp_path: Path) -> None:
    frame = read_table(write(tmp_path, "a,b\n007,1e5\n1.0,True\n"))
    assert frame.to_numpy().tolist() == [["007", "1e5"], ["1.0", "True"]]


def test_a_column_may_be_missing_altogether(tmp_path: Path) -> None:
    frame = read_table(write(tmp_path, "a,b\n1,\n2,\n"))
    assert frame["b"].tolist() == [None, None]
    assert frame["b"].isna().all()


@pytest.mark.parametrize("text", ["a,b\n", "a,b", "\ufeffa,b\r\n"])
def test_a_header_alone_is_a_table_without_rows(text: str, tmp_path: Path) -> None:
    frame = read_table(write(tmp_path, text))
    assert frame.columns.tolist() == ["a", "b"]
    assert frame.empty


def as_read(rows: list[list[str]]) -> list[list[str | None]]:
    """Cells stripped, None for what is missing; rows in which nothing stands are passed over."""
    stripped = [[cell.strip() for cell in row] for row in rows]
    return [[None if cell in MISSING else cell for cell in row] for row in stripped if any(row)]


cells = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=8)


@given(st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(cells, min_size=width,
       max_size=width), min_size=1, max_size=5)), st.sampled_from(SEPARATORS))  # fmt: skip
@few_examples
def test_any_text_survives_being_written_and_read(rows: list[list[str]], separator: str) -> None:
    names = [f"column{place}" for place in range(len(rows[0]))]
    with Path("t.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=separator, quoting=csv.QUOTE_ALL)
        writer.writerows([names, *rows])
    frame = read_table(Path("t.csv"))
    assert frame.columns.tolist() == names
    assert frame.to_numpy().tolist() == as_read(rows)


simple = st.text(st.sampled_from("ab1 ,;|\t\"'\u00e9\u5927"), max_size=5)


@given(
    st.lists(st.text(st.sampled_from("abc \"'\u00e9"), min_size=1, max_size=5).filter(str.strip),
             min_size=2, max_size=4, unique_by=str.strip),
    st.sampled_from(SEPARATORS),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["", "\ufeff"]),
    st.data(),
)  # fmt: skip
@few_examples
def test_any_dialect_reads_the_same(
    names: list[str], separator: str, quoting: int, end: str, mark: str, data: st.DataObject
) -> None:
    width = len(names)
    rows = data.draw(st.lists(st.lists(simple, min_size=width, max_size=width), max_size=4))
    with Path("t.csv").open("w", encoding="utf-8", newline="") as file:
        file.write(mark)
        writer = csv.writer(file, delimiter=separator, quoting=quoting, lineterminator=end)  # type: ignore[arg-type]
        writer.writerows([names, *rows])
    frame = read_table(Path("t.csv"))
    assert frame.columns.tolist() == [name.strip() for name in names]
    assert frame.to_numpy().tolist() == as_read(rows)


@given(st.integers(2, 5), st.sampled_from(SEPARATORS), st.sampled_from(SEPARATORS))
@few_examples
def test_separators_in_an_unquoted_name_do_not_mislead(
    width: int, separator: str, other: str
) -> None:
    names = [f"size{other * 5}mm", *map(str, range(1, width))]
    header = separator.join(f'"{name}"' if separator == other else name for name in names)
    frame = read_table(write(Path.cwd(), f"{header}\n" + separator.join("x" * width) + "\n"))
    assert frame.columns.tolist() == names
    assert frame.to_numpy().tolist() == [["x"] * width]


def test_quotes_may_stand_behind_a_space(tmp_path: Path) -> None:
    frame = read_table(write(tmp_path, 'a, "b"\n1, "Melanoma, NOS"\n'))
    assert frame.to_dict("list") == {"a": ["1"], "b": ["Melanoma, NOS"]}


def test_blank_rows_are_passed_over_and_counted(tmp_path: Path) -> None:
    text = "\na,b\n\n1,x\n , \n  \n,\n2,y\n"
    assert read_table(write(tmp_path, text))["a"].tolist() == ["1", "2"]
    with pytest.raises(InputError, match="row 9 has 3 cells"):
        read_table(write(tmp_path, text + "3,z,?\n"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty: expected a header line"),
        ("\n \n", "is empty: expected a header line"),
        (",,\n1,2,3\n", "is empty: expected a header line"),
        ("a,b,a\n1,2,3\n", "column 'a' occurs 2 times"),
        ("a, a \n1,2\n", "column 'a' occurs 2 times"),
        ("a,b\n1,2\n1,2,3\n", r"row 3 has 3 cells, the header has 2: \['1', '2', '3'\]"),
        ("a,b\n1\n", r"row 2 has 1 cell, the header has 2: \['1'\]"),
        ('a,b\n1,2\n"3,4\n', "cannot be read as a table: unexpected end of data"),
        ("a,b\n1,\xe9\n".encode("latin-1"), "is not UTF-8 text: save it as UTF-8"),
        ("a,\xe9\n1,2\n".encode("latin-1"), "is not UTF-8 text"),
        ("a,b\n1,2\n".encode("utf-16-le"), "column '.*' occurs|is not UTF-8|header has"),
        (b"PK\x03\x04\x14\x00\xff\xfe", "is not UTF-8 text"),
        (f"a,b\n1,{'x' * 200_000}\n", "cannot be read as a table: field larger than"),
    ],
)
def test_a_broken_table_is_refused_with_file_and_place(
    content: str | bytes, message: str, tmp_path: Path
) -> None:
    path = write(tmp_path, content)
    with pytest.raises(InputError, match=message) as caught:
        read_table(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_text_of_windows_is_a_guess_that_is_told(tmp_path: Path) -> None:
    path = write(tmp_path, "a,b\n1,caf\xe9\n".encode("cp1252"))
    frame = read_table(path, guess=True)
    assert frame["b"].tolist() == ["caf\xe9"]
    assert frame.attrs[NOTES] == [
        "no UTF-8: taken for Windows-1252, as in 'caf\xe9'; if wrong, save it as UTF-8"
    ]
    with pytest.raises(InputError, match="is not UTF-8 text"):
        read_table(write(tmp_path, b"a,b\n\0\xff,1\n"), guess=True)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("first", ["sep=;\r\n", '"sep=;"\n'])
def test_the_first_line_of_excel_names_the_separator(
    first: str, encoding: str, tmp_path: Path
) -> None:
    frame = read_table(write(tmp_path, f"{first}a;b,c\n1,5;\xe9\n".encode(encoding)))
    assert frame.to_dict("list") == {"a": ["1,5"], "b,c": ["\xe9"]}
    assert row_number(frame, 0) == 3


def excel(folder: Path, **sheets: list[list[object]]) -> Path:
    import openpyxl

    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(folder / "t.xlsx")
    return folder / "t.xlsx"


@pytest.mark.slow
def test_an_excel_sheet_is_a_table(tmp_path: Path) -> None:
    rows = [["a", "b", "c"], [1, 2.5, "x"], [], [3.0, True, datetime(2024, 5, 31)], ["NA", None]]
    frame = read_table(excel(tmp_path, empty=[], one=rows, two=[["z"], [1]]))
    assert frame.to_numpy().tolist() == [
        ["1", "2.5", "x"], ["3", "True", "2024-05-31"], [None, None, None]
    ]  # fmt: skip
    assert [row_number(frame, place) for place in range(3)] == [2, 4, 5]
    assert frame.attrs[NOTES] == ["sheet 'one' is read, not 'two' (?sheet=NAME)"]
    assert read_table(tmp_path / "t.xlsx", sheet="two")["z"].tolist() == ["1"]
    with pytest.raises(InputError, match="has no sheet 'three' with cells; it has: one, two"):
        read_table(tmp_path / "t.xlsx", sheet="three")


def test_what_is_called_after_excel_and_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.xlsx").write_bytes(b"PK\x03\x04nothing")
    with pytest.raises(InputError, match=r"t.xlsx cannot be read as an Excel file: "):
        read_table(tmp_path / "t.xlsx")
    (tmp_path / "t.parquet").write_bytes(b"PAR1nothing")
    with pytest.raises(InputError, match=r"cannot read .*t.parquet: it is damaged, or no parquet"):
        read_table(tmp_path / "t.parquet")


def test_parquet_is_a_table(tmp_path: Path) -> None:
    table = {"a": [1, None], "b": [2.0, 0.1], "c": ["x", " NaN "], "d": [["p", "q"], None]}
    pd.DataFrame({name: pd.Series(cells, dtype=object) for name, cells in table.items()}
                 ).to_parquet(tmp_path / "t.parquet")  # fmt: skip
    frame = read_table(tmp_path / "t.parquet")
    assert frame.to_dict("list") == {
        "a": ["1", None], "b": ["2", "0.1"], "c": ["x", None], "d": ["p;q", None]
    }  # fmt: skip
    pd.DataFrame({"image": [b"x"]}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(InputError, match="column 'image' holds images, not words"):
        read_table(tmp_path / "t.parquet")


@pytest.mark.parametrize("name", ["absent.csv", "."])
def test_a_missing_file_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"no table at {tmp_path}"):
        read_table(tmp_path / name)


def test_missing_columns_are_named_with_those_there_are() -> None:
    frame = pd.DataFrame({"a": [], "b": []})
    require_columns(frame, ("a",), path=Path("t.csv"))
    with pytest.raises(InputError, match=r"t\.csv has no column 'c', 'd'; it has: a, b"):
        require_columns(frame, ("a", "c", "d"), path=Path("t.csv"))


@pytest.mark.parametrize(
    ("text", "rows"), [("a\n1\n2\n", [2, 3]), ("a\n\n1\n , \n2\n", [3, 5]), ("\n\na\n1\n2", [4, 5])]
)
def test_rows_are_numbered_as_a_spreadsheet_shows_them(
    text: str, rows: list[int], tmp_path: Path
) -> None:
    frame = read_table(write(tmp_path, text))
    assert [row_number(frame, place) for place in range(2)] == rows
    assert [row_number(frame["a"], place) for place in range(2)] == rows


def test_numbers_are_read_and_missing_ones_are_nan() -> None:
    numbers = to_number(pd.Series(["1", "-2.5e1", None], name="x"), path=Path("t.csv"))
    assert numbers.dtype == float
    assert numbers.dropna().tolist() == [1.0, -25.0]
    assert numbers.isna().tolist() == [False, False, True]


@given(st.floats(allow_nan=False, allow_infinity=False), st.booleans())
@few_examples
def test_every_number_is_read_to_the_bit(number: float, short: bool) -> None:
    text = f"{number:g}" if short else repr(number)
    assert to_number(pd.Series([text], dtype=object), path=Path("t.csv"))[0] == float(text)


@given(st.text(st.sampled_from("0123456789.eE+-_ xabnfNI"), max_size=6))
@few_examples
def test_a_number_is_what_python_calls_one_without_underscores(cell: str) -> None:
    column = pd.Series([cell], name="x", dtype=object)
    try:
        expected = float(cell.replace("_", "?"))
    except ValueError:
        expected = float("nan")
    if not math.isfinite(expected):  # "nan" is no number: read_table has made it None
        why = "is no number" if math.isnan(expected) else "is no finite number"
        with pytest.raises(InputError, match=why):
            to_number(column, path=Path("t.csv"))
    else:
        assert to_number(column, path=Path("t.csv")).tolist() == [expected]


@pytest.mark.parametrize(
    ("cell", "number"), [("1,5", 1.5), ("0,", 0), (",5", 0.5), ("-1,25e2", -125)]
)
def test_a_comma_may_be_a_point(cell: str, number: float) -> None:
    assert to_number(pd.Series([cell], dtype=object), path=Path("t.csv")).tolist() == [number]


@pytest.mark.parametrize("cell", ["1,5,2", "1,234", "5 mm", "abc", "1.2.3"])
def test_a_cell_that_is_no_number_is_named(cell: str) -> None:
    column = pd.Series(["1", None, cell], name="age")
    with pytest.raises(InputError, match=f"t.csv: row 4, column 'age': '{cell}' is no number"):
        to_number(column, path=Path("t.csv"))


@pytest.mark.parametrize("cell", ["inf", "-Infinity", "1e400", np.float64("inf")])
def test_an_infinite_number_is_named(cell: object) -> None:
    column = pd.Series([1.0, cell], name="age", dtype=object)
    with pytest.raises(InputError, match=f"row 3, column 'age': '{cell}' is no finite number"):
        to_number(column, path=Path("t.csv"))


def test_a_cell_is_named_by_its_image_where_rows_are_gone(tmp_path: Path) -> None:
    column = pd.Series(["1", "abc"], name="age")
    ids = pd.Series(["i7", "i9"])
    with pytest.raises(InputError, match=r"t.csv: image i9, column 'age': 'abc' is no number"):
        to_number(column, path=Path("t.csv"), ids=ids)
