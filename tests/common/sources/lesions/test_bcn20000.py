"""BCN20000: labels, groups without patients, quoted names."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from helpers.exports import write_export
from helpers.small_data import column
from toolkit_common.data.check import check_images
from toolkit_common.data.dataset import ImageData
from toolkit_common.data.splits import make_splits
from toolkit_common.errors import InputError
from toolkit_common.sources.lesions.bcn20000 import SHEET, VASCULAR
from toolkit_common.sources.lesions.folder import NO_PATIENTS
from toolkit_common.sources.load import load_data
from toolkit_common.synthetic.isic_exports import EXPORTS
from toolkit_common.synthetic.make import make_data

LAYOUTS = tuple(EXPORTS["bcn20000"].layouts)

ROW = {"attribution": "Hospital Cl\u00ednic de Barcelona", "copyright_license": "CC-BY-NC",
       "age_approx": "55", "anatom_site_general": "anterior torso", "anatom_site_special": None,
       "concomitant_biopsy": "True", "diagnosis_1": "Malignant", "diagnosis_3": "Melanoma, NOS",
       "diagnosis_2": "Malignant melanocytic proliferations (Melanoma)",
       "diagnosis_confirm_type": "histopathology", "image_type": "dermoscopic",
       "lesion_id": "IL_8314504", "melanocytic": "True", "sex": "male"}  # fmt: skip
KERATOSIS = ROW | {"diagnosis_1": "Indeterminate", "diagnosis_3": "Solar or actinic keratosis"}
NOTHING = ROW | dict.fromkeys(("diagnosis_1", "diagnosis_2", "diagnosis_3"))
VESSEL = ROW | {"diagnosis_1": "Benign", "diagnosis_2": VASCULAR, "diagnosis_3": None}


def test_the_row_of_the_archive_is_read(tmp_path: Path) -> None:
    root = write_export(tmp_path, ROW)
    assert '"Melanoma, NOS"' in (root / "metadata.csv").read_text(encoding="utf-8")
    data = load_data(f"bcn20000:{root}?rare=keep")
    row = data.table.iloc[0]
    assert (row["diagnosis"], row["malignant"], row["group"], row["age_approx"]) == (
        "Melanoma, NOS", "malignant", "IL_8314504", 55)  # fmt: skip
    assert row["attribution"] == ROW["attribution"]
    assert not set(SHEET.leaks) & set(data.table)


def test_indeterminate_and_undiagnosed_rows_have_no_malignant(tmp_path: Path) -> None:
    text = f"bcn20000:{write_export(tmp_path, ROW, KERATOSIS, NOTHING, VESSEL)}?rare=keep"
    data = load_data(text)
    assert column(data, "malignant") == ["malignant", None, None, "benign"]
    assert column(data, "diagnosis") == [
        "Melanoma, NOS", "Solar or actinic keratosis", None, VASCULAR]  # fmt: skip
    assert any(note.startswith("2 images have no label malignant") for note in data.sheet.notes)
    data = load_data(f"{text}&premalignant_as=malignant")
    assert column(data, "malignant") == ["malignant", "malignant", None, "benign"]


def test_lesions_are_groups_and_there_is_no_patient_level(tmp_path: Path) -> None:
    root = write_export(tmp_path, ROW, ROW, ROW | {"lesion_id": "IL_2"})
    data = load_data(f"bcn20000:{root}")
    assert column(data, "group") == ["IL_8314504", "IL_8314504", "IL_2"]
    assert {item.level for item in data.sheet.columns} == {"lesion"}
    assert "found 3 images, expected 18,946: a part or another release" in data.sheet.notes


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (ROW | {"diagnosis_3": "Wart"}, "diagnosis 'Wart' is none of Nevus, Melanoma, NOS, .*isic"),
        (ROW | {"diagnosis_1": "Odd"}, "diagnosis_1 'Odd' is none of benign, malignant, indet"),
        (
            {"diagnosis": "nevus"},
            "has no column 'lesion_id', 'diagnosis_1', .*; it has: isic_id, diag",
        ),
    ],
)
def test_what_is_not_bcn20000_is_refused(row: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        load_data(f"bcn20000:{write_export(tmp_path, row)}")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ImageData]:
    folder = tmp_path_factory.mktemp("bcn20000")
    for layout in LAYOUTS:
        make_data("bcn20000", folder / layout, rows=60, seed=1, layout=layout, pool=None)
    return {layout: load_data(f"bcn20000:{folder / layout}") for layout in LAYOUTS}


@pytest.mark.slow
def test_every_synthetic_layout_is_read_and_split_by_lesion(made: dict[str, ImageData]) -> None:
    for data in made.values():
        pd.testing.assert_frame_equal(data.table, made["archive"].table)
    data = made["archive"]
    splits, groups = make_splits(data), data.groups
    assert groups is not None
    assert len(set(groups)) < len(data)
    assert not set(groups[splits.train]) & set(groups[splits.test])
    assert check_images(data, np.arange(len(data))).empty
    assert data.sheet.notes[1] == NO_PATIENTS
    assert set(data.table["malignant"].dropna()) == {"benign", "malignant"}
    assert data.table["malignant"].isna().any()


def test_the_counts_of_the_sheet_add_up() -> None:
    images = sum(SHEET.counts[name] for name in SHEET.classes) + SHEET.counts["undiagnosed"]
    assert images == SHEET.counts["images"]
    assert sum(SHEET.counts[name] for name in SHEET.binary.positive) == SHEET.counts["malignant"]
