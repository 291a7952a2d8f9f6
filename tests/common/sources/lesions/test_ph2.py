"""PH2: every layout as `toolkit data make` writes it, and what goes wrong."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from toolkit_common.audit.audit import audit_data
from toolkit_common.data.check import check_images
from toolkit_common.data.splits import make_splits
from toolkit_common.errors import InputError
from toolkit_common.images.open import open_image
from toolkit_common.sources.lesions.ph2 import CRITERIA_COLUMNS, SHEET
from toolkit_common.sources.load import load_data
from toolkit_common.synthetic.make import make_data

LAYOUTS = ("full", "txt", "xlsx")
CRITERIA = [column.name for column in CRITERIA_COLUMNS]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("ph2")
    for layout in LAYOUTS:
        make_data("ph2", folder / layout, rows=30, seed=2, layout=layout, pool=None)
    return {layout: folder / layout for layout in LAYOUTS}


@pytest.fixture
def fresh(made: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(made["full"], tmp_path / "set"))


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


def test_both_tables_tell_the_same(made: dict[str, Path]) -> None:
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
    assert set(data.withheld) == {"histological_diagnosis", *CRITERIA}
    found = audit_data(data)
    assert {facts.name for facts in found.withheld} == set(data.withheld)


def test_criteria_can_be_asked_for(made: dict[str, Path]) -> None:
    data = load_data(f"ph2:{made['full']}?criteria=inputs")
    assert [column.name for column in data.sheet.columns] == CRITERIA
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


def test_the_choice_of_criteria_is_checked(fresh: Path) -> None:
    with pytest.raises(InputError, match="criteria must be one of withheld, inputs, got 'all'"):
        load_data(f"ph2:{fresh}?criteria=all")
