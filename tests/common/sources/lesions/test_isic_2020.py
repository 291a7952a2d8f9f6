"""ISIC 2020: all of its tables, doubled images, benign lesions without diagnosis."""

from pathlib import Path

import pytest

from helpers.small_data import column, write_images, write_text
from toolkit_common.errors import InputError
from toolkit_common.sources.load import load_data, suggest_id

V2 = "ISIC_2020_Training_GroundTruth_v2.csv"
HEADER = ("image_name,patient_id,lesion_id,sex,age_approx,anatom_site_general_challenge,diagnosis,"
          "benign_malignant,target\n")  # fmt: skip
ROWS = (
    "A,IP_1,IL_1,male,45.0,torso,unknown,benign,0\nB,IP_1,IL_2,male,45,head/neck,nevus,benign,0\n"
    "C,IP_2,IL_3,female,,,melanoma,malignant,1\nD,IP_3,IL_4,,50,torso,unknown,benign,0\n"
)
DUPLICATES = "ISIC_2020_Training_Duplicates.csv"


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    write_text(tmp_path / V2, HEADER + ROWS)
    write_images(tmp_path / "train", *(f"{name}.jpg" for name in "ABCD"))
    return tmp_path


def test_rows_labels_and_patients_are_read(whole: Path) -> None:
    data = load_data(f"isic-2020:{whole}?rare=keep")
    assert data.sheet.labels == ("malignant", "diagnosis")
    assert column(data, "malignant") == ["benign", "benign", "malignant", "benign"]
    assert column(data, "diagnosis") == [None, "nevus", "melanoma", None]
    assert column(data, "group") == ["IP_1", "IP_1", "IP_2", "IP_3"]
    assert column(data, "lesion_id") == ["IL_1", "IL_2", "IL_3", "IL_4"]
    assert column(data, "age_approx")[:2] == [45, 45]
    assert set(data.withheld) == {"target", "benign_malignant"}
    assert [item.level for item in data.sheet.columns] == ["patient", "patient", "lesion"]
    assert data.sheet.notes[0] == "found 4 images, expected 33,126: a part or another release"
    assert data.choices == (f"{DUPLICATES} is not there: doubled images are not known",)


def test_too_rare_diagnoses_are_no_classes(whole: Path) -> None:
    data = load_data(f"isic-2020:{whole}")
    assert column(data, "diagnosis") == [None] * 4
    assert column(data, "malignant")[2] == "malignant"


@pytest.mark.parametrize(
    ("pairs", "left"), [("A,B", "ACD"), ("A,B\nB,C", "AD"), ("A,B\nB,A", "ACD"), ("Z,B", "ABCD")]
)
def test_doubled_images_are_left_out_once(pairs: str, left: str, whole: Path) -> None:
    write_text(whole / DUPLICATES, f"image_name_1,image_name_2\n{pairs}\n")
    data = load_data(f"isic-2020:{whole}")
    assert column(data, "image_id") == list(left)
    dropped = 4 - len(left)
    assert data.choices == (
        f"{dropped} of 4 images repeat another ({DUPLICATES}) and are left out (?duplicates=keep)",
    )
    expected = f"found {len(left)} images, expected {33_126 - dropped:,}"
    assert data.sheet.notes[0].startswith(expected)
    assert len(load_data(f"isic-2020:{whole}?duplicates=keep")) == 4


def test_tables_of_kaggle_and_without_lesions_are_read(whole: Path) -> None:
    text = "\n".join(",".join(cells[:2] + cells[3:]) for line in (HEADER + ROWS).splitlines()
                     if (cells := line.split(",")))  # fmt: skip
    (whole / V2).unlink()
    write_text(whole / "train.csv", text + "\n")
    write_text(whole / "test.csv", "image_name\nQ\n")
    assert suggest_id(str(whole)) == f"isic-2020:{whole}"
    data = load_data(f"isic-2020:{whole}")
    assert column(data, "lesion_id") == list("ABCD")
    assert "test.csv is not read: its labels are not public" in data.choices
    assert "4 of 4 images have no lesion id: each counts as a lesion of its own" in data.sheet.notes


def test_what_is_wrong_is_named(whole: Path) -> None:
    with pytest.raises(InputError, match=r"no ISIC_2020_Training_GroundTruth_v2.* or .*2020-ds01"):
        load_data(f"isic-2020:{whole}x")
    write_text(whole / V2, HEADER + ROWS.replace("malignant,1", "malignant,2"))
    with pytest.raises(InputError, match="target '2' of C is neither 0 nor 1"):
        load_data(f"isic-2020:{whole}")
    write_text(whole / V2, HEADER.replace("target", "goal") + ROWS)
    with pytest.raises(InputError, match="has no column 'target'"):
        load_data(f"isic-2020:{whole}")
