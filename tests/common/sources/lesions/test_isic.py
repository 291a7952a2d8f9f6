"""Any export of the ISIC archive: what labels say, and which columns are read."""

from pathlib import Path

import numpy as np
import pytest

from helpers.exports import write_export
from helpers.small_data import column
from toolkit_common.data.check import check_images
from toolkit_common.data.dataset import ImageData
from toolkit_common.data.splits import make_splits
from toolkit_common.errors import InputError
from toolkit_common.sources.lesions.isic import SHEET
from toolkit_common.sources.load import load_data
from toolkit_common.synthetic.isic_exports import EXPORTS
from toolkit_common.synthetic.make import make_data

LAYOUTS = tuple(EXPORTS["isic"].layouts)

NEW = {"diagnosis_1": "Malignant", "diagnosis_2": "Malignant melanocytic proliferations (Melanoma)",
       "diagnosis_3": "Melanoma, NOS"}  # fmt: skip
NEVUS = {"diagnosis_1": "Benign", "diagnosis_3": "Nevus"}


@pytest.mark.parametrize(
    ("row", "diagnosis", "malignant"),
    [
        (NEW, "Melanoma, NOS", "malignant"),
        (NEVUS, "Nevus", "benign"),
        ({"diagnosis_1": "Benign"}, "Benign", "benign"),
        ({"diagnosis_1": "Indeterminate", "diagnosis_3": "Nevus"}, "Nevus", None),
        ({"diagnosis_1": "Indeterminate", "benign_malignant": "benign"}, "Indeterminate", None),
        ({"diagnosis": "nevus", "benign_malignant": "benign"}, "nevus", "benign"),
        ({"diagnosis": "nevus", "benign_malignant": "indeterminate/benign"}, "nevus", None),
        ({"diagnosis": "other", "benign_malignant": "malignant"}, "other", "malignant"),
        ({"diagnosis": "nevus", "benign_malignant": None}, "nevus", "benign"),
        ({"diagnosis": "squamous cell carcinoma"}, "squamous cell carcinoma", "malignant"),
        ({"diagnosis": "AIMP"}, "AIMP", None),
        ({"benign_malignant": "malignant"}, "malignant", "malignant"),
        ({"diagnosis": None, "benign_malignant": None}, None, None),
    ],
)
def test_labels_come_from_what_is_there(
    row: dict[str, str], diagnosis: str | None, malignant: str | None, tmp_path: Path
) -> None:
    data = load_data(f"isic:{write_export(tmp_path, row, NEVUS)}?rare=keep")
    assert (column(data, "diagnosis")[0], column(data, "malignant")[0]) == (diagnosis, malignant)
    assert not set(SHEET.leaks) & set(data.table)


@pytest.mark.parametrize("name", ["actinic keratosis", "Solar or actinic keratosis"])
@pytest.mark.parametrize(
    ("option", "expected"),
    [("", None), ("&premalignant_as=drop", None), ("&premalignant_as=benign", "benign"),
     ("&premalignant_as=malignant", "malignant")],
)  # fmt: skip
def test_actinic_keratoses_count_as_requested(
    name: str, option: str, expected: str | None, tmp_path: Path
) -> None:
    rows = [{"diagnosis": name, "benign_malignant": "benign"}, NEVUS]
    data = load_data(f"isic:{write_export(tmp_path, *rows)}?rare=keep{option}")
    assert column(data, "malignant") == [expected, "benign"]


def test_a_premalignant_diagnosis_too_rare_for_a_class_counts_too(tmp_path: Path) -> None:
    rows = [{"diagnosis": "actinic keratosis", "benign_malignant": "benign"}, NEVUS]
    data = load_data(f"isic:{write_export(tmp_path, *rows)}?premalignant_as=malignant")
    assert column(data, "malignant") == ["malignant", "benign"]


def test_columns_of_the_dictionary_are_typed_and_others_named(tmp_path: Path) -> None:
    row = {"age_approx": "85", "sex": "female", "personal_hx_mm": "True", "attribution": "Hospital",
           "anatom_site_1": "Trunk", "tbp_lv_A": "20.5", "shoe_size": "42",
           "diagnosis_confirm_type": "histopathology", "copyright_license": "CC-0"}  # fmt: skip
    data = load_data(f"isic:{write_export(tmp_path, NEW | row, NEVUS | row)}")
    first = data.table.iloc[0]
    assert (first["age_approx"], first["tbp_lv_A"], first["personal_hx_mm"]) == (85, 20.5, "true")
    assert first["attribution"] == "Hospital"
    assert "shoe_size" not in data.table
    assert any(note.endswith("are not read: shoe_size") for note in data.sheet.notes)
    assert "diagnosis_confirm_type" in data.withheld
    assert data.sheet.licence == "by image: CC-0"


def test_an_export_without_diagnoses_has_no_labels(tmp_path: Path) -> None:
    data = load_data(f"isic:{write_export(tmp_path, {'sex': 'male'}, {'sex': 'female'})}")
    assert any(note.startswith("no labels") for note in data.sheet.notes)
    with pytest.raises(InputError, match="has no label 'diagnosis'"):
        data.labels()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ImageData]:
    folder = tmp_path_factory.mktemp("isic")
    for layout in LAYOUTS:
        make_data("isic", folder / layout, rows=48, seed=1, layout=layout, pool=None)
    return {layout: load_data(f"isic:{folder / layout}") for layout in LAYOUTS}


@pytest.mark.slow
def test_every_synthetic_layout_is_grouped_as_it_can_be(made: dict[str, ImageData]) -> None:
    numbers = {layout: len(set(column(data, "group"))) for layout, data in made.items()}
    assert numbers["patients"] < numbers["lesions"] < numbers["bare"] == 48
    assert numbers["patients"] <= numbers["legacy"] < numbers["lesions"]
    for data in made.values():
        splits, groups = make_splits(data), data.groups
        assert groups is not None
        assert not set(groups[splits.train]) & set(groups[splits.test])
        assert check_images(data, np.arange(len(data))).empty
        assert set(data.table["malignant"].dropna()) == {"benign", "malignant"}
        assert not set(SHEET.leaks) & set(data.table)


def test_newer_and_older_names_count_the_same(made: dict[str, ImageData]) -> None:
    both = made["patients"].table.merge(made["legacy"].table, on="image_id")
    calls = both[["malignant_x", "malignant_y"]].dropna()
    assert len(calls) > 30
    assert (calls["malignant_x"] == calls["malignant_y"]).all()
