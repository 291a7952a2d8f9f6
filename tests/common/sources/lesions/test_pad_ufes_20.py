"""PAD-UFES-20: its layouts and traps, on a table of our own and on the real sample."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from helpers.audited import run_audit
from helpers.small_data import column, write_images
from toolkit_common.data.check import check_images
from toolkit_common.data.dataset import ImageData
from toolkit_common.data.splits import make_splits
from toolkit_common.errors import InputError
from toolkit_common.sources.lesions.pad_ufes_20 import BLOCK, SHEET
from toolkit_common.sources.load import load_data
from toolkit_common.synthetic.make import make_data
from toolkit_common.synthetic.pad_ufes_20 import LAYOUTS

REAL = Path(__file__).parents[5] / "shared" / "data" / "pad-ufes-20-sample"
BASE = {"patient_id": "PAT_1", "lesion_id": "1", "diagnostic": "NEV", "biopsed": "False"}


def write(root: Path, *changes: dict[str, Any], folder: str = "images") -> str:
    rows = [
        {column.name: None for column in SHEET.columns} | BASE | {"img_id": f"{place}.png"} | change
        for place, change in enumerate(changes)
    ]
    root.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(root / "metadata.csv", index=False)
    write_images(root / folder, *(row["img_id"] for row in rows))
    return f"pad-ufes-20:{root}"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ImageData]:
    folder = tmp_path_factory.mktemp("pad-ufes-20")
    for layout in LAYOUTS:
        make_data("pad-ufes-20", folder / layout, rows=60, seed=2, layout=layout, pool=None)
    return {layout: load_data(f"pad-ufes-20:{folder / layout}") for layout in LAYOUTS}


@pytest.mark.parametrize(
    "folder", ["images", ".", "images/imgs_part_1", "images/imgs_part_1/imgs_part_1"]
)
def test_images_are_found_in_any_layout(folder: str, tmp_path: Path) -> None:
    data = load_data(write(tmp_path, {}, {"lesion_id": "2"}, folder=folder))
    assert column(data, "image_id") == ["0.png", "1.png"]
    assert check_images(data, np.arange(2)).empty


def test_a_lesion_is_known_only_together_with_its_patient(tmp_path: Path) -> None:
    data = load_data(write(tmp_path, {}, {"patient_id": "PAT_2"}))
    assert column(data, "lesion_id") == ["PAT_1/1", "PAT_2/1"]
    assert column(data, "group") == ["PAT_1", "PAT_2"]


def test_what_reveals_the_label_is_no_column(tmp_path: Path) -> None:
    data = load_data(write(tmp_path, {}))
    assert not set(SHEET.leaks) & set(data.table)
    assert set(data.withheld) == {"diagnostic", "biopsed"}
    assert len(data.withheld) == len(data)
    assert "biopsed" not in data.table


def test_one_country_has_one_name(tmp_path: Path) -> None:
    text = write(tmp_path, {"background_father": "BRASIL"}, {"patient_id": "PAT_2",
                 "background_father": "BRAZIL"})  # fmt: skip
    assert column(load_data(text), "background_father") == ["BRAZIL", "BRAZIL"]


def test_unknown_answers_differ_from_missing_ones(tmp_path: Path) -> None:
    data = load_data(write(tmp_path, {"itch": "UNK"}, {"itch": None}, {"itch": "True"}))
    assert column(data, "itch") == ["unknown", None, "true"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"diagnostic": "XXX"}, "diagnosis 'XXX' is none of ACK, BCC, MEL, NEV, SCC, SEK"),
        ({"age": "old"}, "image .*, column 'age': 'old' is no number"),
        ({"smoke": "rarely"}, "image .*, column 'smoke': 'rarely' is neither true nor false"),
    ],
)
def test_a_strange_cell_is_named(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"{tmp_path}/metadata.csv: {message}"):
        load_data(write(tmp_path, change))


def test_missing_images_are_counted_and_can_be_left_out(tmp_path: Path) -> None:
    text = write(tmp_path, {}, {}, {})
    (tmp_path / "images" / "1.png").unlink()
    with pytest.raises(
        InputError, match=r"1 of 3 images are not under .* \(first: 1.png\): unpack"
    ):
        load_data(text)
    data = load_data(f"{text}?allow_partial=1")
    assert column(data, "image_id") == ["0.png", "2.png"]
    left_out = "1 of 3 rows are left out, their image is not there (allow_partial)"
    assert left_out in data.sheet.notes


def test_lesions_without_id_and_strange_ages_are_counted(tmp_path: Path) -> None:
    ages = ({"age": age, "patient_id": f"PAT_{age}"} for age in ("-5", "999", "40"))
    notes = load_data(write(tmp_path, {"lesion_id": None}, *ages)).sheet.notes
    assert "1 of 4 images have no lesion id" in notes
    assert any(note.startswith("age: 2 of 4 values are outside 0 to 120 years") for note in notes)


def test_patients_of_two_ages_are_counted(tmp_path: Path) -> None:
    notes = load_data(write(tmp_path, {"age": "40"}, {"age": "42"})).sheet.notes
    assert notes[-1] == "age: 1 patient had several values, their median counts"


def test_rows_that_name_no_image_are_counted(tmp_path: Path) -> None:
    text, path = write(tmp_path, {}, {}, {}), tmp_path / "metadata.csv"
    path.write_text(path.read_text().replace("1.png", ""))
    with pytest.raises(InputError, match=f"1 of 3 rows in the table of '{text}' name no image"):
        load_data(text)


def test_images_saved_in_another_format_are_found(tmp_path: Path) -> None:
    text = write(tmp_path, {})
    (tmp_path / "images" / "0.png").rename(tmp_path / "images" / "0.jpg")
    data = load_data(text)
    assert column(data, "image_id") == ["0.png"]
    assert data.images[0]["image"]["path"].endswith("images/0.jpg")


def test_images_behind_a_link_to_their_folder_are_found(tmp_path: Path) -> None:
    text = write(tmp_path / "set", {}, {"patient_id": "PAT_2"})
    (tmp_path / "set/images").rename(tmp_path / "elsewhere")
    (tmp_path / "set/images").symlink_to(tmp_path / "elsewhere")
    data = load_data(text)
    assert check_images(data, np.arange(len(data))).empty
    assert len(data) == 2


def test_counts_that_differ_from_the_sheet_are_reported(tmp_path: Path) -> None:
    notes = load_data(write(tmp_path, {}, {"patient_id": "PAT_2"})).sheet.notes
    assert notes[:3] == (
        "found 2 images, expected 2,298: a part or another release",
        "found 2 lesions, expected 1,891: a part or another release",
        "found 2 patients, expected 1,373: a part or another release",
    )
    assert notes[3:] == SHEET.notes


def test_a_missing_table_or_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"no metadata.csv in {tmp_path}: download .*{SHEET.doi}"):
        load_data(f"pad-ufes-20:{tmp_path}")
    (tmp_path / "metadata.csv").write_text("patient_id,lesion_id\na,b\n")
    with pytest.raises(InputError, match="has no column 'diagnostic', 'img_id', 'age'"):
        load_data(f"pad-ufes-20:{tmp_path}")


@pytest.mark.parametrize("value", ["maybe", "Benign"])
def test_premalignant_must_be_one_of_its_choices(value: str, tmp_path: Path) -> None:
    text = write(tmp_path, {})
    with pytest.raises(InputError, match=f"one of benign, malignant, drop, got '{value}'"):
        load_data(f"{text}?premalignant_as={value}")


@pytest.mark.slow
def test_complete_rows_alone_can_be_requested(made: dict[str, ImageData]) -> None:
    data = load_data(f"{made['flat'].id}?rows=complete")
    assert 0 < len(data) < len(made["flat"])
    assert data.table[list(BLOCK)].notna().all(axis=None)
    assert data.sheet.notes[1:] == (f"the {len(data)} of 60 rows with the clinical block alone",)
    audit = run_audit(data, label="malignant").findings
    assert not any(finding.kind == "missingness" for finding in audit)


def test_a_table_without_complete_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"metadata.csv has no row with the whole clinical block"):
        load_data(f"{write(tmp_path, {})}?rows=complete")


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason=f"the real sample is not at {REAL}")
def test_the_real_sample_is_read_and_split_by_patient() -> None:
    data = load_data(f"pad-ufes-20:{REAL}")
    splits, groups = make_splits(data), data.groups
    assert groups is not None
    assert set(data.labels().classes) <= set(SHEET.classes)
    assert not set(groups[splits.train]) & set(groups[splits.test])
    assert check_images(data, splits.test[:20]).empty
    ages = data.table["age"].dropna()
    assert ages.between(0, 120).all()
    assert (data.table.groupby("patient_id")["age"].nunique() <= 1).all()


@pytest.mark.slow
def test_every_synthetic_layout_is_read_and_split_by_patient(made: dict[str, ImageData]) -> None:
    for data in made.values():
        pd.testing.assert_frame_equal(data.table, made["parts"].table)
        assert check_images(data, np.arange(len(data))).empty
    data = made["parts"]
    splits, groups = make_splits(data), data.groups
    assert groups is not None
    assert not set(groups[splits.train]) & set(groups[splits.test])
    assert set(data.table["diagnosis"]) == set(SHEET.classes)
    assert data.sheet.title == "PAD-UFES-20 (SYNTHETIC)"


@pytest.mark.slow
def test_the_synthetic_trap_is_there(made: dict[str, ImageData]) -> None:
    audit = run_audit(made["flat"], label="malignant").findings
    leaks = {finding.kind: finding.text for finding in audit if finding.severity == "leak"}
    assert leaks["missingness"].startswith("empty cells tell 'benign': AUROC 0.")
    assert any("'biopsed'" in finding.text for finding in audit)
