"""PH2: every layout as `toolkit data make` writes it, and what goes wrong."""

import re
import shutil
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.audited import run_audit
from helpers.properties import few_examples
from toolkit_common import extras
from toolkit_common.data.check import check_images
from toolkit_common.data.splits import make_splits
from toolkit_common.errors import InputError
from toolkit_common.images.open import open_image
from toolkit_common.sources.lesions.ph2 import (
    COLORS,
    COLUMNS,
    CRITERIA,
    CRITERIA_COLUMNS,
    DIAGNOSES,
    SHEET,
    read_spreadsheet,
    read_text_table,
)
from toolkit_common.sources.load import load_data
from toolkit_common.synthetic.make import make_data

LAYOUTS = ("full", "txt", "xlsx")
LATE = [column.name for column in CRITERIA_COLUMNS]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("ph2")
    for layout in LAYOUTS:
        make_data("ph2", folder / layout, rows=30, seed=2, layout=layout, pool=None)
    return {layout: folder / layout for layout in LAYOUTS}


@pytest.fixture
def fresh(made: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(made["full"], tmp_path / "set"))


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_read_and_split(made: dict[str, Path], layout: str) -> None:
    data = load_data(f"ph2:{made[layout]}")
    splits = make_splits(data)
    assert len(splits.all) == len(data) == 30
    assert check_images(data, np.arange(len(data))).empty
    assert set(data.table["diagnosis"]) == set(SHEET.classes)
    answers = data.table.groupby("malignant")["diagnosis"].unique()
    assert list(answers["malignant"]) == ["melanoma"]
    assert data.sheet.title == "PH2 (SYNTHETIC)"


def test_both_tables_hold_the_same(made: dict[str, Path]) -> None:
    first, *others = (load_data(f"ph2:{made[layout]}?criteria=inputs") for layout in LAYOUTS)
    assert first.table["colors"].str.contains(";").any()
    for other in others:
        pd.testing.assert_frame_equal(first.table, other.table)
        pd.testing.assert_frame_equal(first.withheld, other.withheld)


def test_the_spreadsheet_has_its_header_in_row_13(made: dict[str, Path]) -> None:
    assert not (made["xlsx"] / "PH2_dataset.txt").exists()
    table = pd.read_excel(made["xlsx"] / "PH2_dataset.xlsx", header=12)
    assert table.shape == (30, 17)
    assert list(table)[:2] == ["Image Name", "Histological Diagnosis"]
    assert set(table["Melanoma"].dropna()) == {"X"}


def test_masks_are_never_taken_for_images(fresh: Path) -> None:
    images = {item["image"]["path"] for item in load_data(f"ph2:{fresh}").images}
    assert all(Path(path).parent.name.endswith("_Dermoscopic_Image") for path in images)
    for path in map(Path, images):  # as some copies have it: masks with the names of the images
        (fresh / "masks").mkdir(exist_ok=True)
        shutil.copy(path, fresh / "masks" / path.name)
    assert {item["image"]["path"] for item in load_data(f"ph2:{fresh}").images} == images


def test_criteria_are_withheld_and_the_audit_sees_them(made: dict[str, Path]) -> None:
    data = load_data(f"ph2:{made['full']}")
    assert data.sheet.columns == ()
    assert set(data.withheld) == {"histological_diagnosis", *LATE}
    audit = run_audit(data)
    assert {facts.name for facts in audit.withheld} == set(data.withheld)


def test_criteria_can_be_requested(made: dict[str, Path]) -> None:
    data = load_data(f"ph2:{made['full']}?criteria=inputs")
    assert [column.name for column in data.sheet.columns] == LATE
    assert set(data.withheld) == {"histological_diagnosis"}
    assert set(data.table["asymmetry"]) <= {"0", "1", "2"}


def test_pictures_carry_the_criteria(made: dict[str, Path]) -> None:
    data = load_data(f"ph2:{made['full']}?criteria=inputs")
    middles = [
        np.asarray(open_image(row["image"]), float)[60:68, 60:68].mean() for row in data.images
    ]
    is_dark = data.table["colors"].str.contains("dark-brown")
    assert pd.Series(middles)[is_dark].mean() < pd.Series(middles)[~is_dark].mean() - 10


def test_counts_that_differ_from_the_sheet_are_reported(fresh: Path) -> None:
    (fresh / "SYNTHETIC.md").unlink()
    notes = load_data(f"ph2:{fresh}").sheet.notes
    assert notes[0] == "found 30 images, expected 200: a part or another release"


def test_absent_images_are_counted(fresh: Path) -> None:
    path = sorted(fresh.rglob("*_Dermoscopic_Image/*.bmp"))[0]
    path.unlink()
    message = rf"1 of 30 images .* \(first: {path.stem}\): unpack 'PH2 Dataset images' into"
    with pytest.raises(InputError, match=message):
        load_data(f"ph2:{fresh}")


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no PH2_dataset.txt or PH2_dataset.xlsx .* EMBC 2013"):
        load_data(f"ph2:{tmp_path}")


def test_a_short_text_gives_way_to_the_spreadsheet(made: dict[str, Path], tmp_path: Path) -> None:
    whole = shutil.copytree(made["full"], tmp_path / "set")
    text(
        whole, "||   Name || Histological Diagnosis || Clinical Diagnosis ||", "|| IMD1 || || 0 ||"
    )
    data = load_data(f"ph2:{whole}")
    pd.testing.assert_frame_equal(data.table, load_data(f"ph2:{made['xlsx']}").table)
    (line,) = data.choices
    assert line.startswith(
        "PH2_dataset.xlsx is read, as PH2_dataset.txt is not the published table"
    )
    assert "has no column 'asymmetry'" in line
    (whole / "PH2_dataset.xlsx").unlink()
    with pytest.raises(InputError, match=r"no column 'asymmetry'.*; put PH2_dataset.xlsx, which"):
        load_data(f"ph2:{whole}")


def test_a_copy_without_criteria_is_a_table_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "PH2_simple_dataset.csv").write_text("image_name,diagnosis\nIMD002,Melanoma\n")
    with pytest.raises(
        InputError, match=r"names and diagnoses alone: write csv:.*_dataset.csv, or"
    ):
        load_data(f"ph2:{tmp_path}")


def test_the_choice_of_criteria_is_checked(fresh: Path) -> None:
    with pytest.raises(InputError, match="criteria must be one of withheld, inputs, got 'all'"):
        load_data(f"ph2:{fresh}?criteria=all")


# The tables alone, as found in the wild and as damaged.
HEADER = (
    "||   Name || Histological Diagnosis || Clinical Diagnosis || Asymmetry | Pigment Network | "
    "Dots/Globules | Streaks | Regression Areas | Blue-Whitish Veil ||           Colors ||"
)
# A line of the real file (docs/datasets.md).
LINE = (
    "|| IMD001 ||                        ||                  0 ||         0 |               T |"
    "             A |       A |                A |                 A ||                4 ||"
)
NAMES = ("Image Name", "Histological Diagnosis", "Common Nevus", "Atypical Nevus", "Melanoma",
         *CRITERIA, "White", "Red", "Light-Brown", "Dark-Brown", "Blue-Gray", "Black")  # fmt: skip
ROW = ("IMD001", None, "X", None, None, 0, "T", "A", "A", "A", "A", *[None] * 3, "X", None, None)
EXPECTED = ["IMD001", "common nevus", None, "0", "T", "A", "A", "A", "A", "dark-brown"]


def text(folder: Path, *lines: str, end: str = "\n", mark: str = "") -> Path:
    path = folder / "PH2_dataset.txt"
    path.write_bytes((mark + end.join(lines)).encode())
    return path


def book(folder: Path, *rows: Any) -> Path:
    path = folder / "PH2_dataset.xlsx"
    wide = [[*row, *[None] * (17 - len(row))] for row in rows]
    pd.DataFrame(wide).to_excel(path, header=False, index=False)
    return path


def change(row: tuple[Any, ...], at: int, value: object) -> tuple[Any, ...]:
    return (*row[:at], value, *row[at + 1 :])


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_the_real_line_is_read(end: str, mark: str, tmp_path: Path) -> None:
    lines = ("Legends: 0 | 1", HEADER, LINE, "", "  " + LINE.replace("001", "002") + "  ", "+--+")
    frame = read_text_table(text(tmp_path, *lines, end=end, mark=mark))
    assert list(frame) == list(COLUMNS)
    assert frame.to_numpy().tolist() == [EXPECTED, ["IMD002", *EXPECTED[1:]]]


def test_the_spreadsheet_reads_the_same_wherever_its_header_is(tmp_path: Path) -> None:
    for preamble in (0, 12):
        frame = read_spreadsheet(book(tmp_path, *[["a legend"]] * preamble, NAMES, ROW, [None]))
        assert list(frame) == list(COLUMNS)
        assert frame.to_numpy().tolist() == [EXPECTED]


def test_names_of_columns_may_break_over_lines_and_hold_their_codes(tmp_path: Path) -> None:
    names = change(change(NAMES, 5, "Asymmetry\n(0/1/2)"), 6, " Pigment\n Network (AT/T) ")
    assert read_spreadsheet(book(tmp_path, names, ROW)).to_numpy().tolist() == [EXPECTED]


@pytest.mark.parametrize("place", range(6))
def test_a_code_that_no_criterion_has_is_named(place: int, tmp_path: Path) -> None:
    name = list(CRITERIA)[place]
    message = f"row 2: {re.escape(name)} 'XYZ' is none of .*(2|AT|P)$"
    with pytest.raises(InputError, match=message):
        read_spreadsheet(book(tmp_path, NAMES, change(ROW, 5 + place, "XYZ")))
    cells = LINE.split("|")
    cells[8 + place] = " XYZ "
    with pytest.raises(InputError, match=message.replace("row", "line")):
        read_text_table(text(tmp_path, HEADER, "|".join(cells)))
    assert len(read_spreadsheet(book(tmp_path, NAMES, change(ROW, 5 + place, None)))) == 1


@pytest.mark.parametrize("colors", ["4 3", "3,4", "3;  4", "3  4"])
def test_colors_are_named_in_one_order(colors: str, tmp_path: Path) -> None:
    frame = read_text_table(text(tmp_path, HEADER, LINE.replace("4 ||", f"{colors} ||")))
    assert frame["colors"].tolist() == ["light-brown;dark-brown"]


def test_a_case_may_have_no_color(tmp_path: Path) -> None:
    assert read_text_table(text(tmp_path, HEADER, LINE.replace("4 ||", " ||")))["colors"][0] is None
    assert read_spreadsheet(book(tmp_path, NAMES, change(ROW, 14, None)))["colors"][0] is None


words = st.text(
    st.characters(codec="utf-8", exclude_characters="|\r\n", exclude_categories=["Cs", "Zs", "Cc"]),
    min_size=1,
    max_size=8,
)


@pytest.mark.slow
@given(words, st.sampled_from(DIAGNOSES), st.sets(st.sampled_from(COLORS)), st.booleans())
@few_examples
def test_any_histology_and_colors_survive_the_text(
    word: str, diagnosis: str, colors: set[str], spaced: bool
) -> None:
    numbers = " ".join(str(COLORS.index(name) + 1) for name in colors)
    cells = ["", "", "IMD001", "", word, "", str(DIAGNOSES.index(diagnosis)), "",
             *("0", "T", "A", "P", "A", "P"), "", numbers, "", ""]  # fmt: skip
    line = (" | " if spaced else "|").join(cells).strip()
    frame = read_text_table(text(Path.cwd(), HEADER, line))
    wanted = ";".join(name for name in COLORS if name in colors) or None
    expected = ["IMD001", diagnosis, *("0", "T", "A", "P", "A", "P"), wanted]
    assert frame.drop(columns="histological_diagnosis").to_numpy().tolist() == [expected]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ((), "holds no table: expected a header with 'name'"),
        ((LINE,), "holds no table: expected a header with 'name'"),
        ((HEADER.replace("Streaks", "Lines"), LINE), "has no column 'streaks'"),
        ((HEADER, LINE, LINE + " 5 ||"), "line 3 has 20 cells, the header has 18"),
        (
            (HEADER, LINE.replace("  0 ||  ", "  3 ||  ")),
            "line 2: clinical diagnosis '3' is none",
        ),
        ((HEADER, LINE.replace("  0 ||  ", "    ||  ")), "line 2: clinical diagnosis None is none"),
        ((HEADER, LINE.replace("4 ||", "7 ||")), "line 2: color '7' is none of 1, 2, 3, 4, 5, 6"),
        ((HEADER, LINE.replace("IMD001", "")), "line 2 has no name"),
    ],
)
def test_a_line_that_does_not_fit_is_named(
    lines: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    path = text(tmp_path, *lines)
    with pytest.raises(InputError, match=message) as caught:
        read_text_table(path)
    assert str(caught.value).startswith(str(path))


def test_text_must_be_utf_8(tmp_path: Path) -> None:
    path = text(tmp_path, HEADER, LINE)
    path.write_bytes(path.read_bytes() + b"\xe9")
    with pytest.raises(InputError, match=f"{path} is not UTF-8 text"):
        read_text_table(path)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (([1],), "holds no table: expected a header with 'image name'"),
        ((change(NAMES, 16, "Pink"), ROW), "has no column 'black'"),
        (
            (NAMES, ROW, change(ROW, 4, "x")),
            "row 3: one diagnosis must .* got common nevus and",
        ),
        ((NAMES, change(ROW, 2, None)), "row 2: one diagnosis must be marked with X, got none"),
    ],
)
def test_a_row_that_does_not_fit_is_named(rows: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read_spreadsheet(book(tmp_path, *rows))


@pytest.mark.parametrize("content", [b"", b"name,diagnosis\n", b"PK\x03\x04 cut short"])
def test_a_file_that_is_no_spreadsheet_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "PH2_dataset.xlsx"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"{path} cannot be read as a spreadsheet: "):
        read_spreadsheet(path)


@pytest.mark.parametrize("part", ["xl/worksheets/sheet1.xml", "xl/workbook.xml"])
def test_a_damaged_spreadsheet_is_named(part: str, tmp_path: Path) -> None:
    path = book(tmp_path, NAMES, ROW)
    with ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content[:-9] if name == part else content)
    with pytest.raises(InputError, match=f"{path} cannot be read as a spreadsheet: ") as caught:
        read_spreadsheet(path)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_the_spreadsheet_alone_needs_openpyxl(
    made: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "is_installed", lambda library: library != "openpyxl")
    assert len(load_data(f"ph2:{made['full']}")) == 30
    message = "reading PH2_dataset.xlsx needs openpyxl, .*: pip install 'toolkit-common.lesions.'$"
    with pytest.raises(InputError, match=message):
        load_data(f"ph2:{made['xlsx']}")
