"""MILK10k: two images of each lesion, answers by lesion, scores of a network."""

from pathlib import Path

import pytest

from helpers.small_data import column, write_images, write_text
from toolkit_common.errors import InputError
from toolkit_common.sources.lesions.milk10k import MONET
from toolkit_common.sources.load import load_data

NAMES = ",".join(item.name for item in MONET)
METADATA = (
    f"lesion_id,image_type,isic_id,attribution,copyright_license,image_manipulation,age_approx,sex,"
    f"skin_tone_class,site,{NAMES}\n"
)
SCORES = ",".join(["0.25"] * len(MONET))
TRUTH = "lesion_id,AKIEC,BCC,BEN_OTH,BKL,DF,INF,MAL_OTH,MEL,NV,SCCKA,VASC\n"


def rows(lesion: str, number: int, known: str) -> str:
    return "".join(
        f"{lesion},{kind},ISIC_{number}{end},MILK,CC-BY-NC,altered,{known},{SCORES}\n"
        for kind, end in (("clinical: close-up", "c"), ("dermoscopic", "d"))
    )


def write(root: Path, names: tuple[str, str, str]) -> Path:
    known = ("45.0,male,3,trunk", ",female,1,head_neck_face", "60,male,5,foot")
    text = "".join(rows(f"IL_{at}", at, words) for at, words in enumerate(known))
    write_text(root / names[0], METADATA + text)
    write_text(root / names[1], TRUTH + "IL_0,1.0,0,0,0,0,0,0,0,0,0,0\n"
               "IL_1,0,0,0,0,0,0,1,0,0,0,0\nIL_2,0,0,0,0,0,1,0,0,0,0,0\n")  # fmt: skip
    write_text(root / names[2], "isic_id,diagnosis_full,diagnosis_confirm_type,"
               "invasion_thickness_interval\nISIC_0d,Benign,histopathology,\n")  # fmt: skip
    for at in range(3):
        write_images(
            root / "MILK10k_Training_Input" / f"IL_{at}", f"ISIC_{at}c.jpg", f"ISIC_{at}d.jpg"
        )
    return root


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    return write(tmp_path, ("MILK10k_Training_Metadata.csv", "MILK10k_Training_GroundTruth.csv",
                            "MILK10k_Training_Supplement.csv"))  # fmt: skip


def test_dermoscopic_images_are_read_by_default(whole: Path) -> None:
    data = load_data(f"milk10k:{whole}")
    assert column(data, "image_id") == ["ISIC_0d", "ISIC_1d", "ISIC_2d"]
    assert column(data, "diagnosis") == ["AKIEC", "MAL_OTH", "INF"]
    assert column(data, "malignant") == ["benign", "malignant", "benign"]
    assert column(data, "group") == ["IL_0", "IL_1", "IL_2"]
    assert column(data, "age_approx") == [45, None, 60]
    assert column(data, "skin_tone_class") == ["3", "1", "5"]
    assert data.sheet.notes[0] == "found 3 images, expected 5,240: a part or another release"
    assert data.choices == ("dermoscopic images are read (?image=derm|clinic|both)",)
    assert {"diagnosis_full", "MONET_hair", "invasion_thickness_interval"} < set(data.withheld)


def test_both_images_of_a_lesion_are_one_group(whole: Path) -> None:
    data = load_data(f"milk10k:{whole}?image=both")
    assert column(data, "group") == ["IL_0", "IL_0", "IL_1", "IL_1", "IL_2", "IL_2"]
    assert column(data, "image_type")[:2] == ["clinical: close-up", "dermoscopic"]
    assert "expected 10,480" in data.sheet.notes[0]
    assert len(load_data(f"milk10k:{whole}?image=clinic")) == 3


def test_scores_of_the_network_can_be_inputs(whole: Path) -> None:
    data = load_data(f"milk10k:{whole}?criteria=inputs")
    assert column(data, "MONET_hair") == [0.25] * 3
    assert "MONET_hair" not in data.withheld
    assert {item.name for item in MONET} < {item.name for item in data.sheet.columns}


def test_actinic_keratoses_count_as_requested(whole: Path) -> None:
    data = load_data(f"milk10k:{whole}?premalignant_as=malignant")
    assert column(data, "malignant")[0] == "malignant"


def test_the_layout_of_the_archive_is_read(tmp_path: Path) -> None:
    names = ("input", "gt", "supp")
    root = write(tmp_path, tuple(f"supplements/training_{end}.csv" for end in names))  # type: ignore[arg-type]
    write_text(root / "supplements" / "test_input.csv", METADATA)
    data = load_data(f"milk10k:{root}")
    assert len(data) == 3
    assert "test_input.csv is not read: its answers are not public" in data.choices


def test_what_is_wrong_is_named(whole: Path) -> None:
    with pytest.raises(InputError, match=r"no MILK10k_Training_Metadata.* in .*10.34970/648456"):
        load_data(f"milk10k:{whole}x")
    path = whole / "MILK10k_Training_Metadata.csv"
    path.write_text(path.read_text().replace("IL_2,dermoscopic", "IL_2,overview"))
    with pytest.raises(InputError, match="image_type 'overview' is none of dermoscopic, clinical:"):
        load_data(f"milk10k:{whole}")
    (whole / "MILK10k_Training_GroundTruth.csv").unlink()
    with pytest.raises(InputError, match=r"no MILK10k_Training_GroundTruth.csv"):
        load_data(f"milk10k:{whole}")
