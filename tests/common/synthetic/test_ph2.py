"""Synthetic PH2: both tables say the same, each under what the real one has above it."""

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from toolkit_common.synthetic.make import make_data


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("ph2") / "set"
    make_data("ph2", out, rows=20, seed=0, layout="full", pool=None)
    return out


def test_the_header_of_the_spreadsheet_is_row_13_and_breaks_over_lines(made: Path) -> None:
    sheet = pd.read_excel(made / "PH2_dataset.xlsx", header=12)
    assert list(sheet)[:3] == ["Image Name", "Histological Diagnosis", "Common Nevus"]
    assert "Dots/Globules\n(A/AT/T)" in sheet
    assert (sheet[["Common Nevus", "Atypical Nevus", "Melanoma"]] == "X").sum(axis=1).eq(1).all()
    assert len(sheet) == 20


def test_the_text_has_a_row_a_case_and_legends_under_it(made: Path) -> None:
    lines = (made / "PH2_dataset.txt").read_bytes().decode().split("\r\n")
    assert sum(line.startswith("||") for line in lines) == 21
    assert "Legends:" in lines
    sheet = pd.read_excel(made / "PH2_dataset.xlsx", header=12)
    assert [line.split()[1] for line in lines[1:21]] == sheet["Image Name"].tolist()


def test_every_image_has_a_mask_and_regression_a_region_within_it(made: Path) -> None:
    sheet = pd.read_excel(made / "PH2_dataset.xlsx", header=12)
    assert len(list(made.rglob("*_lesion/*_lesion.bmp"))) == 20
    regions = list(made.rglob("*_roi/*_R1_Label1.bmp"))
    assert len(regions) == (sheet["Regression Areas\n(A/P)"] == "P").sum() > 0
    with Image.open(regions[0]) as image:
        assert image.mode == "1"
