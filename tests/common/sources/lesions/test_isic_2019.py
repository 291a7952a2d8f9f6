"""ISIC 2019: training and test, the unknown class, weights, collections."""

from pathlib import Path

import pytest

from helpers.small_data import column, write_images, write_text
from toolkit_common.data.splits import keep_labelled, make_splits
from toolkit_common.errors import InputError
from toolkit_common.sources.load import load_data

CLASSES = "MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK"
TRAIN = ("T1,1.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0\nT2,0,0,0,1,0,0,0,0,0\n"
         "T3_downsampled,0,1,0,0,0,0,0,0,0\nT4,0,1,0,0,0,0,0,0,0\nT5,1,0,0,0,0,0,0,0,0\n"
         "T6,0,0,0,1,0,0,0,0,0\n")  # fmt: skip
TEST = "E1,0,1,0,0,0,0,0,0,0,0.0,1.0\nE2,0,0,0,0,0,0,0,0,1,1.0,0.0\nE3,1,0,0,0,0,0,0,0,0,1,0\n"


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    stem = tmp_path / "ISIC_2019_"
    write_text(Path(f"{stem}Training_GroundTruth.csv"), f"image,{CLASSES}\n{TRAIN}")
    write_text(
        Path(f"{stem}Training_Metadata.csv"),
        "image,age_approx,anatom_site_general,lesion_id,sex\n"
        "T1,55.0,anterior torso,BCN_0000001,female\nT2,30,,HAM_0000002,male\n"
        "T3_downsampled,,head/neck,MSK4_0000003,\nT4,40,,,\nT5,40,,BCN_0000001,\nT6,4,,BCN_0000006,\n",
    )
    write_text(
        Path(f"{stem}Test_GroundTruth.csv"),
        f"image,{CLASSES},score_weight,validation_weight\n{TEST}",
    )
    write_text(
        Path(f"{stem}Test_Metadata.csv"), "image,age_approx,anatom_site_general,sex\nE1,20,,male\n"
    )
    names = [line.split(",")[0] for line in (TRAIN + TEST).splitlines()]
    write_images(tmp_path / "ISIC_2019_Training_Input", *(f"{name}.jpg" for name in names[:6]))
    write_images(tmp_path / "ISIC_2019_Test_Input", *(f"{name}.jpg" for name in names[6:]))
    return tmp_path


def test_training_and_test_are_the_splits(whole: Path) -> None:
    data = load_data(f"isic-2019:{whole}")
    assert data.table["split"].tolist() == ["train"] * 6 + ["test"] * 3
    assert column(data, "diagnosis") == ["MEL", "AK", "NV", "NV", "MEL", "AK", "NV", None, "MEL"]
    assert column(data, "malignant")[:3] == ["malignant", "benign", "benign"]
    assert column(data, "age_approx")[0] == 55
    assert column(data, "group")[3:5] == ["T4", "BCN_0000001"]
    assert column(data, "source")[:4] == ["BCN", "HAM", "MSK", None]
    notes = data.sheet.notes
    assert notes[0] == "found 9 images, expected 33,569: a part or another release"
    assert any("4 of 9 images have no lesion id" in note for note in notes)
    assert "1 test image is of none of the eight classes (UNK): they have no label" in notes
    assert any(note.startswith("1 test image has score_weight 0") for note in notes)


def test_an_image_of_the_unknown_class_is_in_no_split(whole: Path) -> None:
    data = load_data(f"isic-2019:{whole}")
    labels = data.labels("malignant")
    assert labels.targets[7] == -1
    splits = keep_labelled(make_splits(data), data, labels)
    assert splits.test.tolist() == [6, 8]
    assert "UNK" not in data.labels("diagnosis").classes


def test_training_alone_has_splits_made(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (whole / "ISIC_2019_Test_GroundTruth.csv").unlink()
    data = load_data(f"isic-2019:{whole}")
    assert "split" not in data.table
    assert len(data) == 6
    printed = capsys.readouterr().err
    assert "data: ISIC_2019_Test_Metadata.csv is not read: its answers" in printed
    assert "data: ISIC_2019_Training_GroundTruth.csv alone is read: splits are made" in printed
    assert data.sheet.notes[0] == "found 6 images, expected 25,331: a part or another release"


def test_an_image_that_is_not_there_is_asked_for_or_left_out(whole: Path) -> None:
    (whole / "ISIC_2019_Training_Input" / "T1.jpg").unlink()
    with pytest.raises(InputError, match=r"1 of 9 images .*first: T1.*or add .allow_partial=1"):
        load_data(f"isic-2019:{whole}")
    assert len(load_data(f"isic-2019:{whole}?allow_partial=1")) == 8
