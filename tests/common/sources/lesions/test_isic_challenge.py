"""What the challenges of the ISIC share: tables found, answers read, columns joined."""

from pathlib import Path

import pandas as pd
import pytest

from helpers.small_data import write_images, write_text
from toolkit_common.data.sheet import Sheet
from toolkit_common.errors import InputError
from toolkit_common.sources.lesions.build import malignancy
from toolkit_common.sources.lesions.folder import Request
from toolkit_common.sources.lesions.isic_challenge import (
    Part,
    find_table,
    finish_challenge,
    join_table,
    read_answers,
    read_parts,
)

SHEET = Sheet("toy", labels=("diagnosis", "malignant"), counts={"train": 3, "test": 1},
              classes={"MEL": "melanoma", "NV": "nevus"}, binary=malignancy({"MEL"}),
              source="nowhere")  # fmt: skip
PARTS = (
    Part("train", ("train.csv",), (("more.csv",),), {"MEL": 1, "NV": 2}),
    Part("test", ("test.csv",), (("more_test.csv",),)),
)
TRAIN = "image,MEL,NV\na,1.0,0.0\nb,0.0,1.0\nc,0,1\n"


def request(root: Path, *, allow_partial: bool = False) -> Request:
    return Request("toy:x", root, "benign", allow_partial, {})


def test_a_table_is_found_in_the_folder_or_one_below_it(tmp_path: Path) -> None:
    assert find_table(tmp_path, ("a.csv", "b.csv")) is None
    below = write_text(tmp_path / "b" / "b.csv", "x\n")
    assert find_table(tmp_path, ("a.csv", "b.csv")) == below
    write_text(tmp_path / "c" / "b.csv", "x\n")
    with pytest.raises(InputError, match=r"b/b.csv and .*c/b.csv: which one is meant"):
        find_table(tmp_path, ("b.csv",))
    own = write_text(tmp_path / "b.csv", "x\n")
    assert find_table(tmp_path, ("b.csv",)) == own


def test_the_column_that_is_marked_is_the_diagnosis(tmp_path: Path) -> None:
    path = write_text(tmp_path / "t.csv", "image,MEL,NV,weight\na,1.0,0.0,0.5\nb,0,1,1\nc,0,0,1\n")
    table = read_answers(path, ("MEL", "NV", "UNK"), key="image")
    assert list(table) == ["image", "weight", "diagnosis"]
    assert table["diagnosis"].dropna().tolist() == ["MEL", "NV"]
    assert table["diagnosis"].isna().tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a,1,1\n", "row 2 is marked as MEL and NV"),
        ("a,1,0\nb,0.3,0.7\n", "row 3, column 'MEL': '0.3' is neither 0 nor 1: is it a submission"),
        ("a,1,\n", "row 2, column 'NV': None is neither 0 nor 1"),
        ("a,1,0\na,1,0\n", "image 'a' has two rows"),
        (",1,0\n", "row 2 has no image"),
        ("", "has a header and no rows"),
    ],
)
def test_answers_that_are_none_are_named(rows: str, message: str, tmp_path: Path) -> None:
    path = write_text(tmp_path / "t.csv", f"image,MEL,NV\n{rows}")
    with pytest.raises(InputError, match=f"t.csv:? {message}"):
        read_answers(path, ("MEL", "NV"), key="image")


def test_a_table_without_classes_is_named(tmp_path: Path) -> None:
    path = write_text(tmp_path / "t.csv", "image,target\na,1\n")
    with pytest.raises(InputError, match="has no column 'MEL', 'NV'; it has: image, target"):
        read_answers(path, ("MEL", "NV"), key="image")


def test_new_columns_are_joined_by_their_key(tmp_path: Path) -> None:
    frame = pd.DataFrame({"image": ["a", "b"], "sex": ["f", "m"]})
    path = write_text(tmp_path / "m.csv", "image_id,sex,age\nb,x,50\nz,x,60\n")
    joined = join_table(frame, path, key="image")
    assert joined["image"].tolist() == ["a", "b"]
    assert joined["sex"].tolist() == ["f", "m"]
    assert joined["age"].isna().tolist() == [True, False]
    with pytest.raises(InputError, match=r"m.csv has none of the 1 rows beside it, such as q"):
        join_table(pd.DataFrame({"image": ["q"]}), path, key="image")


def test_parts_become_splits_and_their_counts_are_checked(tmp_path: Path) -> None:
    write_text(tmp_path / "train.csv", TRAIN)
    write_text(tmp_path / "more.csv", "image,lesion_id\na,L1\nb,L1\n")
    write_text(tmp_path / "test.csv", "image,MEL,NV\nd,1,0\n")
    write_images(tmp_path / "images", *(f"{name}.jpg" for name in "abcd"))
    challenge = read_parts(request(tmp_path), SHEET, PARTS)
    data = finish_challenge(challenge, SHEET, request(tmp_path))
    assert data.table["split"].tolist() == ["train"] * 3 + ["test"]
    assert data.table["lesion_id"].tolist() == ["L1", "L1", "c", "d"]
    assert data.table["malignant"].tolist() == ["malignant", "benign", "benign", "malignant"]
    assert data.choices == ()
    assert not [note for note in data.sheet.notes if note.startswith("found")]
    assert "2 of 4 images have no lesion id: each counts as a lesion of its own" in data.sheet.notes


def test_a_part_without_answers_or_images_is_not_read_which_is_told(tmp_path: Path) -> None:
    write_text(tmp_path / "train.csv", TRAIN)
    write_text(tmp_path / "more_test.csv", "image,age\nd,50\n")
    write_images(tmp_path / "images", "a.jpg", "b.jpg", "c.jpg")
    challenge = read_parts(request(tmp_path), SHEET, PARTS)
    assert challenge.choices == (
        "more_test.csv is not read: its answers, test.csv, are not there",
        "train.csv alone is read: splits are made",
    )
    assert "split" not in challenge.frame
    write_text(tmp_path / "test.csv", "image,MEL,NV\nd,1,0\n")
    challenge = read_parts(request(tmp_path), SHEET, PARTS)
    assert challenge.choices[0] == f"test.csv is not read: none of its images is in {tmp_path}"
    rewritten = TRAIN.replace("c,0,1", "c,1,0")
    write_text(tmp_path / "train.csv", rewritten)
    data = finish_challenge(read_parts(request(tmp_path), SHEET, PARTS), SHEET, request(tmp_path))
    assert data.sheet.notes[0].startswith("labels differ from the published ones: found MEL 2")


def test_what_is_missing_altogether_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no train.csv in .*: download toy \(nowhere\)"):
        read_parts(request(tmp_path), SHEET, PARTS)
    write_text(tmp_path / "train.csv", TRAIN)
    challenge = read_parts(request(tmp_path), SHEET, PARTS)
    with pytest.raises(
        InputError, match=r"3 of 3 images are not under .*: unpack the images of tr"
    ):
        finish_challenge(challenge, SHEET, request(tmp_path, allow_partial=True))
    write_text(tmp_path / "train.csv", "image_id,dx\na,scc\n")
    with pytest.raises(InputError, match=r"train.csv: diagnosis 'scc' is none of MEL, NV"):
        read_parts(request(tmp_path), SHEET, PARTS)
