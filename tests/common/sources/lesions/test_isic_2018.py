"""ISIC 2018, task 3: the challenge's files and the Dataverse's."""

from pathlib import Path

import pytest

from helpers.small_data import column, write_images, write_text
from toolkit_common.data.splits import make_splits
from toolkit_common.sources.load import load_data

HEADER = "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC\n"
ROWS = {
    "Training": "T1,1.0,0.0,0.0,0.0,0.0,0.0,0.0\nT2,0,0,0,1,0,0,0\nT3,0,1,0,0,0,0,0\n",
    "Validation": "V1,0,1,0,0,0,0,0\n",
    "Test": "E1,0,0,1,0,0,0,0\n",
}
HAM = "lesion_id,image_id,dx,dx_type,age,sex,localization,dataset\n"


@pytest.fixture
def challenge(tmp_path: Path) -> Path:
    for part, rows in ROWS.items():
        stem = f"ISIC2018_Task3_{part}_GroundTruth"
        write_text(tmp_path / stem / f"{stem}.csv", HEADER + rows)
        names = [line.split(",")[0] for line in rows.splitlines()]
        write_images(tmp_path / f"ISIC2018_Task3_{part}_Input", *(f"{name}.jpg" for name in names))
    groupings = "image,lesion_id,diagnosis_confirm_type\nT1,HAM_1,histopathology\nT2,HAM_1,confocal"
    write_text(tmp_path / "ISIC2018_Task3_Training_LesionGroupings.csv", groupings + "\n")
    return tmp_path


def test_the_three_parts_are_the_splits(challenge: Path) -> None:
    data = load_data(f"isic-2018:{challenge}")
    assert data.table["split"].tolist() == ["train"] * 3 + ["val", "test"]
    assert column(data, "diagnosis") == ["MEL", "AKIEC", "NV", "NV", "BCC"]
    assert column(data, "malignant") == ["malignant", "benign", "benign", "benign", "malignant"]
    assert column(data, "group") == ["HAM_1", "HAM_1", "T3", "V1", "E1"]
    assert list(data.withheld) == ["diagnosis_confirm_type"]
    assert data.sheet.columns[0].level == "lesion"
    notes = data.sheet.notes
    assert notes[0] == "found 5 images, expected 11,720: a part or another release"
    assert "no age, sex and site: HAM10000_metadata.csv is not there" in notes
    splits = make_splits(data)
    assert [len(splits[name]) for name in ("train", "val", "test")] == [3, 1, 1]


def test_actinic_keratoses_count_as_requested(challenge: Path) -> None:
    data = load_data(f"isic-2018:{challenge}?premalignant_as=malignant")
    assert column(data, "malignant")[1] == "malignant"


def test_ham10000_beside_it_gives_age_sex_and_site(challenge: Path) -> None:
    write_text(
        challenge / "HAM10000_metadata.csv", HAM + "H,T2,akiec,histo,45,male,back,rosendahl\n"
    )
    data = load_data(f"isic-2018:{challenge}")
    assert column(data, "age")[1] == 45
    assert column(data, "localization")[:2] == [None, "back"]
    assert column(data, "lesion_id")[1] == "HAM_1"
    assert {"dx", "dx_type", "diagnosis_confirm_type"} == set(data.withheld)


def test_the_files_of_the_dataverse_are_read(tmp_path: Path) -> None:
    write_text(tmp_path / "HAM10000_metadata", HAM + "H1,T1,mel,histo,50,female,back,rosendahl\n"
               "H1,T2,mel,histo,50,female,back,rosendahl\n")  # fmt: skip
    write_text(tmp_path / "ISIC2018_Task3_Test_GroundTruth.csv",
               HAM + "X1,E1,bkl,consensus,60,male,unknown,vidir_modern\n")  # fmt: skip
    write_images(tmp_path / "HAM10000_images_part_1", "T1.jpg", "T2.jpg")
    write_images(tmp_path / "ISIC2018_Task3_Test_Images", "E1.jpg")
    data = load_data(f"isic-2018:{tmp_path}")
    assert data.table["split"].tolist() == ["train", "train", "test"]
    assert column(data, "diagnosis") == ["MEL", "MEL", "BKL"]
    assert column(data, "group") == ["H1", "H1", "X1"]
    assert column(data, "age") == [50, 50, 60]
    assert column(data, "dataset")[2] == "vidir_modern"
