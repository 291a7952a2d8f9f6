"""Derm7pt: both layouts as `toolkit data make` writes them, and what goes wrong."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from toolkit_common.data.check import check_images
from toolkit_common.data.splits import make_splits
from toolkit_common.errors import InputError
from toolkit_common.sources.lesions.derm7pt import CRITERIA, GROUPS, SHEET
from toolkit_common.sources.load import load_data
from toolkit_common.synthetic.make import make_data

NAMES = {column.name for column in CRITERIA}
LATE = {"management", "level_of_diagnostic_difficulty", "seven_point_score", "notes"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("derm7pt") / "set"
    make_data("derm7pt", folder, rows=40, seed=1, layout=None, pool=None)
    return folder


@pytest.fixture
def fresh(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "set"))


def edit(folder: Path, column: str, value: object, *, name: str = "meta.csv") -> Path:
    path = folder / "release_v0" / "meta" / name
    table = pd.read_csv(path, dtype=object)
    table.loc[0, column] = value
    table.to_csv(path, index=False)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("image", ["derm", "clinic", "both"])
def test_the_requested_images_are_read_with_official_splits(made: Path, image: str) -> None:
    data = load_data(f"derm7pt:{made}?image={image}")
    times = 2 if image == "both" else 1
    assert len(data) == 40 * times
    splits, groups = make_splits(data), data.groups
    assert splits.origin == "given"
    sizes = [len(splits[name]) for name in ("train", "val", "test")]
    assert sizes == [16 * times, 8 * times, 16 * times]
    assert groups is not None
    assert not set(groups[splits.train]) & set(groups[splits.test])
    assert check_images(data, np.arange(len(data))).empty
    assert data.sheet.title == "Derm7pt (SYNTHETIC)"


def test_the_two_images_of_a_case_stand_side_by_side(made: Path) -> None:
    table = load_data(f"derm7pt:{made}?image=both").table
    assert table["image_id"][:3].tolist() == ["1/derm", "1/clinic", "2/derm"]
    assert table["group"][:3].tolist() == ["1", "1", "2"]
    assert table["image_type"][:3].tolist() == ["derm", "clinic", "derm"]
    alone = load_data(f"derm7pt:{made}?image=clinic").table
    assert "image_type" not in alone
    assert alone["image_id"][:2].tolist() == ["1/clinic", "2/clinic"]


def test_indexes_are_rows_of_the_table_from_0(made: Path) -> None:
    data = load_data(f"derm7pt:{made}")
    for split, name in (("train", "train"), ("val", "valid"), ("test", "test")):
        given = pd.read_csv(made / "release_v0" / "meta" / f"{name}_indexes.csv")["indexes"]
        assert make_splits(data)[split].tolist() == given.tolist()


def test_names_that_differ_in_case_are_found(made: Path) -> None:
    table = pd.read_csv(made / "release_v0" / "meta" / "meta.csv")
    images = made / "release_v0" / "images"
    missing = [name for name in table["derm"] if name not in
               {path.relative_to(images).as_posix() for path in images.rglob("*.*")}]  # fmt: skip
    assert len(missing) == 8
    assert {Path(name).suffix for name in table["clinic"]} == {".JPG"}


@pytest.mark.slow
def test_both_layouts_hold_the_same(made: Path, tmp_path: Path) -> None:
    make_data("derm7pt", tmp_path / "bare", rows=40, seed=1, layout="bare", pool=None)
    first, *others = (
        load_data(f"derm7pt:{place}") for place in (made, made / "release_v0", tmp_path / "bare")
    )
    for other in others:
        pd.testing.assert_frame_equal(first.table, other.table)
        assert other.sheet.licence == "synthetic"


def test_what_reveals_the_diagnosis_is_withheld(made: Path) -> None:
    data = load_data(f"derm7pt:{made}")
    assert set(data.withheld) == LATE | NAMES
    assert [column.name for column in data.sheet.columns] == ["sex", "location", "elevation"]
    inputs = load_data(f"derm7pt:{made}?criteria=inputs")
    assert set(inputs.withheld) == LATE
    assert set(inputs.table) == set(data.table) | NAMES


def test_melanoma_and_carcinoma_are_malignant_and_melanosis_is_not(made: Path) -> None:
    table = load_data(f"derm7pt:{made}").table
    assert set(table["diagnosis"]) == set(SHEET.classes)
    malignant = set(table["diagnosis"][table["malignant"] == "malignant"])
    assert malignant == {*GROUPS["MEL"], "basal cell carcinoma"}
    assert len(GROUPS["MEL"]) == 6
    assert len(SHEET.classes) == 20


def test_twenty_diagnoses_make_five_groups(made: Path) -> None:
    fine, coarse = (load_data(f"derm7pt:{made}?classes={count}").table for count in (20, 5))
    assert set(coarse["diagnosis"]) == {"BCC", "MEL", "MISC", "NEV", "SK"}
    assert coarse["malignant"].equals(fine["malignant"])
    assert set(fine["diagnosis"][coarse["diagnosis"] == "NEV"]) == set(GROUPS["NEV"])


@pytest.mark.parametrize(("image", "expected"), [("derm", "1,011"), ("both", "2,022")])
def test_counts_that_differ_from_the_sheet_are_reported(
    fresh: Path, image: str, expected: str
) -> None:
    (fresh / "SYNTHETIC.md").unlink()
    notes = load_data(f"derm7pt:{fresh}?image={image}&classes=5").sheet.notes
    assert f"expected {expected}: a part" in notes[0]
    assert [note.split()[2].strip(",") for note in notes[:5]] == ["images", "train", "val", "test",
                                                                  "lesions"]  # fmt: skip


def test_without_index_files_splits_are_made_and_that_is_reported(fresh: Path) -> None:
    for path in fresh.rglob("*_indexes.csv"):
        path.unlink()
    data = load_data(f"derm7pt:{fresh}")
    assert "split" not in data.table
    assert any(note.startswith("the official splits, train_i") for note in data.sheet.notes)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("train", "40", "train_indexes.csv: row 2, index 40 is no row of meta.csv: 0 to 39"),
        ("valid", "-1", "valid_indexes.csv: row 2, index -1 is no row"),
        ("test", "1.5", "test_indexes.csv: row 2, index 1.5 is no row"),
        ("test", "a", "test_indexes.csv: row 2, column 'indexes': 'a' is no number"),
    ],
)
def test_an_index_that_does_not_fit_is_named(
    fresh: Path, name: str, value: str | None, message: str
) -> None:
    edit(fresh, "indexes", value, name=f"{name}_indexes.csv")
    with pytest.raises(InputError, match=message):
        load_data(f"derm7pt:{fresh}")


def test_a_case_in_two_splits_is_named(fresh: Path) -> None:
    first = pd.read_csv(fresh / "release_v0/meta/train_indexes.csv")["indexes"][0]
    edit(fresh, "indexes", first, name="test_indexes.csv")
    message = f"test_indexes.csv: row 2, index {first} is in train_indexes.csv already"
    with pytest.raises(InputError, match=message):
        load_data(f"derm7pt:{fresh}")


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("diagnosis", "wart", "meta.csv: diagnosis 'wart' is none of basal cell carcinoma"),
        (
            "derm",
            "NEL/x.jpg",
            r"1 of 40 .* \(first: 1/derm\): unpack the images, such as NEL",
        ),
        ("derm", None, r"1 of 40 images .* \(first: 1/derm\)"),
    ],
)
def test_a_strange_cell_is_named(fresh: Path, column: str, value: str | None, message: str) -> None:
    edit(fresh, column, value)
    with pytest.raises(InputError, match=message):
        load_data(f"derm7pt:{fresh}")


def test_a_table_without_cases_is_reported(fresh: Path) -> None:
    path = fresh / "release_v0/meta/meta.csv"
    pd.read_csv(path).head(0).to_csv(path, index=False)
    with pytest.raises(InputError, match="has no images"):
        load_data(f"derm7pt:{fresh}")


def test_absent_images_can_be_left_out_and_splits_stay(fresh: Path) -> None:
    whole = load_data(f"derm7pt:{fresh}").table.set_index("image_id")["split"]
    edit(fresh, "derm", "NEL/x.jpg")
    part = load_data(f"derm7pt:{fresh}?allow_partial=1").table.set_index("image_id")["split"]
    assert part.equals(whole.drop("1/derm"))


def test_a_missing_table_column_or_index_file_is_named(fresh: Path) -> None:
    with pytest.raises(InputError, match=r"no meta/meta.csv or .*x: .*JBHI"):
        load_data(f"derm7pt:{fresh}x")
    (fresh / "release_v0/meta/valid_indexes.csv").unlink()
    with pytest.raises(InputError, match=r"no table at .*meta/valid_indexes.csv"):
        load_data(f"derm7pt:{fresh}")
    path = fresh / "release_v0/meta/meta.csv"
    pd.read_csv(path).drop(columns="elevation").to_csv(path, index=False)
    with pytest.raises(InputError, match="has no column 'elevation'"):
        load_data(f"derm7pt:{fresh}")


@pytest.mark.parametrize("option", ["image=photo", "classes=7", "criteria=all"])
def test_an_option_must_be_one_of_its_choices(fresh: Path, option: str) -> None:
    key, value = option.split("=")
    with pytest.raises(InputError, match=f"{key} must be one of .*, got '{value}'"):
        load_data(f"derm7pt:{fresh}?{option}")
