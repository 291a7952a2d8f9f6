"""What readers of lesion data sets share: levels without patients, absent images."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from helpers.small_data import write_images
from toolkit_common.data.sheet import Column, Sheet
from toolkit_common.errors import InputError
from toolkit_common.sources.lesions.build import malignancy
from toolkit_common.sources.lesions.folder import (
    NO_PATIENTS,
    add_images,
    find_images,
    finish,
    read_request,
)

SHEET = Sheet(
    "small", classes={"a": "a"}, columns=(Column("age", "patient", "numeric"),), notes=("known",)
)


def frame(**columns: list[str]) -> pd.DataFrame:
    ids = ["0", "1"]
    return pd.DataFrame({"image": ids, "image_id": ids, "lesion_id": ids, "diagnosis": "a",
                         "age": ["50", "60"]} | columns)  # fmt: skip


def test_without_patients_their_columns_are_the_lesions(tmp_path: Path) -> None:
    request = read_request("small:x", str(tmp_path), {}, own={})
    alone = finish(frame(), SHEET, request, path=tmp_path)
    assert [column.level for column in alone.sheet.columns] == ["lesion"]
    assert alone.sheet.notes == (NO_PATIENTS, "known")
    known = finish(frame(patient_id=["p", "p"]), SHEET, request, path=tmp_path)
    assert [column.level for column in known.sheet.columns] == ["patient"]
    assert known.sheet.notes == ("known", "age: 1 patient had several values, their median counts")
    assert known.table["age"].tolist() == [55.0, 55.0]


@pytest.mark.parametrize("allow", ["0", "1"])
def test_a_folder_without_any_image_is_no_part(allow: str, tmp_path: Path) -> None:
    request = read_request("small:x", str(tmp_path), {"allow_partial": allow}, own={})
    with pytest.raises(InputError, match=r"2 of 2 images .* \(first: 0\): unpack them$"):
        add_images(frame(), {}, request, hint="unpack them")


def notes_of(sheet: Sheet, root: Path, **columns: list[str | None]) -> tuple[str, ...]:
    request = read_request("small:x", str(root), {}, own={})
    rows = frame(patient_id=["p", "q"], **columns)  # type: ignore[arg-type]
    return finish(rows, sheet, request, path=root).sheet.notes


def test_rows_that_are_left_out_are_counted(tmp_path: Path) -> None:
    request = read_request("small:x", str(tmp_path), {"allow_partial": "1"}, own={})
    kept, notes = add_images(frame(), {"1": "1.png"}, request, hint="unpack them")
    assert kept["image_id"].tolist() == ["1"]
    assert notes == ("1 of 2 rows are left out, their image is not there (allow_partial)",)
    assert add_images(frame(), {"0": "a", "1": "b"}, request, hint="unpack them")[1] == ()


def test_two_pictures_of_one_name_are_refused_where_they_are_read(tmp_path: Path) -> None:
    write_images(tmp_path, "a/0.png", "b/0.jpg", "a/1.png", "a/2.png")
    assert find_images(tmp_path, ["1"])["1"] == tmp_path / "a" / "1.png"
    message = f"two pictures are called 0, {tmp_path}/a/0.png and {tmp_path}/b/0.jpg: move those"
    with pytest.raises(InputError, match=message):
        find_images(tmp_path, ["0"])


def test_copies_of_a_picture_are_one(tmp_path: Path) -> None:
    write_images(tmp_path, "part_1/0.png")
    write_images(tmp_path, "part_2/0.png", "part_2/1.png")
    images = find_images(tmp_path, ["0", "1"])
    assert {key: path.parent.name for key, path in images.items()} == {"0": "part_1", "1": "part_2"}


@pytest.mark.parametrize("folder", ["masks", "IMD1_lesion", "ISIC_Segmentations", "my mask"])
def test_masks_are_no_images(folder: str, tmp_path: Path) -> None:
    write_images(tmp_path, "0.png", f"{folder}/0.png", f"{folder}/more/1.png")
    assert find_images(tmp_path, ["0", "1"]) == {"0": tmp_path / "0.png"}
    assert list(find_images(tmp_path / folder, ["0"])) == ["0", "1"]


@pytest.mark.parametrize("folder", ["skin_lesion", "unmask", "lesions", "IMD_lesions"])
def test_other_folders_hold_images(folder: str, tmp_path: Path) -> None:
    write_images(tmp_path, f"{folder}/0.png")
    assert list(find_images(tmp_path, ["0"])) == ["0"]


def test_images_without_ids_are_counted(tmp_path: Path) -> None:
    notes = notes_of(SHEET, tmp_path, lesion_id=["l", None])
    assert notes[0] == "1 of 2 images have no lesion id"


COUNTED = Sheet(
    "small",
    classes={"a": "a", "b": "b"},
    binary=malignancy("b"),
    counts={"images": 2, "patients": 2, "A": 1, "b": 1, "malignant": 1, "undiagnosed": 0,
            "malignant patients": 1},
    lesion_counts={"b": 1},
)  # fmt: skip


def test_labels_of_a_full_copy_are_counted(tmp_path: Path) -> None:
    assert notes_of(COUNTED, tmp_path, diagnosis=["a", "b"]) == ()
    assert notes_of(COUNTED, tmp_path, diagnosis=["b", None]) == (
        "labels differ from the published ones: found A 0 (expected 1), undiagnosed 1 (expected 0)",
    )
    assert notes_of(COUNTED, tmp_path, diagnosis=["b", "b"]) == (
        "labels differ from the published ones: found A 0 (expected 1), b 2 (expected 1), "
        "malignant 2 (expected 1), malignant patients 2 (expected 1), b lesions 2 (expected 1)",
    )


def test_labels_of_a_part_are_not_compared(tmp_path: Path) -> None:
    sheet = replace(COUNTED, counts={**COUNTED.counts, "images": 3})
    notes = notes_of(sheet, tmp_path, diagnosis=["b", "b"])
    assert notes == ("found 2 images, expected 3: a part or another release",)


def test_the_answer_of_a_file_is_counted_where_the_sheet_has_none(tmp_path: Path) -> None:
    sheet = replace(COUNTED, binary=malignancy(), counts={"malignant": 1}, lesion_counts={})
    answers: list[str | None] = ["malignant", "malignant"]
    assert notes_of(sheet, tmp_path, malignant=answers) == (
        "labels differ from the published ones: found malignant 2 (expected 1)",
    )
