"""What two splits, two data sets, or a data set and an encoder share is found, and no more."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import Result

from conftest import write_image_folder
from helpers import audited
from helpers.audited import run_audit
from helpers.seen_rows import export_seen, patients, record_of
from helpers.small_data import (
    build_data,
    encode,
    image_bytes,
    noise,
    write_images,
    write_text,
)
from toolkit_common.audit import duplicates
from toolkit_common.audit.audit import Audit
from toolkit_common.audit.duplicates import hash_images
from toolkit_common.audit.overlaps import find_overlaps, load_other
from toolkit_common.data.dataset import ImageData
from toolkit_common.errors import InputError
from toolkit_common.seen.record import unsalted_hash
from toolkit_common.sources.load import load_data

ROWS = 12
IMAGES = [image_bytes(row) for row in range(2 * ROWS)]


def data(**columns: Any) -> ImageData:
    return build_data(["a", "b"] * (ROWS // 2), **({"images": IMAGES[:ROWS]} | columns))


def names(prefix: str, first: int = 0) -> list[str]:
    return [f"{prefix}{first + row // 2}" for row in range(ROWS)]


def shared(own: ImageData, other: ImageData, *, images: bool = False) -> dict[str, bool]:
    hashes = hash_images(own) if images else None
    return {item.text: item.severity == "leak" for item in find_overlaps(own, other, hashes=hashes)}


def test_shared_patients_and_images_are_leaks() -> None:
    first, second = data(patient_id=names("p")), data(patient_id=["p3"] * ROWS)
    assert shared(first, second, images=True) == {
        "1 patient_id value is in both (first: p3)": True,
        "12 images are pixel by pixel in both": True,
    }


@pytest.mark.slow
def test_pairs_within_a_set_take_no_place_of_those_across(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "MOST_COMPARED", 1)
    image = noise((16, 16), seed=3).resize((256, 256))
    copies = [encode(image), *(encode(image, "JPEG", quality=quality) for quality in (95, 90, 85))]
    own, other = (build_data(list("ab"), images=part) for part in (copies[:2], copies[2:]))
    hashes = hash_images(own)
    findings = find_overlaps(own, other, hashes=hashes)
    (near,) = (item for item in findings if "near-duplicates" in item.text)
    assert near.text == "1 pair of near-duplicates, one image in each (by pixels)"
    (left,) = (item for item in findings if item.severity == "note")
    assert "further pairs are alike by their hashes and were not compared" in left.text


def test_patients_are_matched_under_any_name_and_reported_once() -> None:
    named = data(patient_id=names("p"), groups=names("p"), lesion_id=names("l"))
    assert list(shared(data(groups=names("p", 5)), data(patient_id=names("p")))) == [
        "1 group value is patient_id values there (first: p5)"
    ]
    assert list(shared(named, data(groups=names("l", 5)))) == [
        "1 lesion_id value is group values there (first: l5)"
    ]
    assert list(shared(named, data(groups=names("p", 5)))) == [
        "1 group value is in both (first: p5)"
    ]
    assert list(shared(data(groups=names("p")), data(groups=names("p", 4)))) == [
        "2 group values are in both (first: p4)"
    ]
    assert list(shared(named, data(patient_id=names("p"), groups=names("p")))) == [
        "6 patient_id values are in both (first: p0)"
    ]
    assert shared(data(patient_id=names("x")), data(lesion_id=names("x"))) == {}


def test_patients_that_csv_tables_name_their_groups_are_reported(tmp_path: Path) -> None:
    write_images(tmp_path, *(f"{row}.png" for row in range(4)))
    for name, first in (("one", 0), ("two", 1)):
        lines = [f"{row}.png,{'ab'[row % 2]},mrs {first + row}" for row in range(4)]
        write_text(tmp_path / f"{name}.csv", "\n".join(["image,label,who", *lines]))
    one, two = (load_data(f"csv:{tmp_path / name}.csv?group=who") for name in ("one", "two"))
    assert shared(one, two) == {"3 group values are in both (first: mrs 1)": True}


def test_bare_numbers_may_be_others_and_long_ones_are_not() -> None:
    short, long = names(""), names("12340")
    ((text, leak),) = shared(data(groups=short), data(groups=short)).items()
    assert "6 group values are in both (first: 0); they are bare numbers" in text
    assert not leak
    assert shared(data(groups=long), data(groups=long)) == {
        "6 group values are in both (first: 123400)": True
    }
    numbers = [float(row // 2) for row in range(ROWS)]
    assert list(shared(data(groups=numbers), data(groups=short))) == [text]


def test_equal_names_of_files_are_no_leak_where_pictures_differ(tmp_path: Path) -> None:
    write_images(tmp_path, *(f"{root}/{row % 2}/{row}.png" for root in "xy" for row in range(4)))
    first, second = (load_data(f"imagefolder:{tmp_path / root}") for root in "xy")
    assert set(first.table["image_id"]) == set(second.table["image_id"])
    assert shared(first, second, images=True) == {}


def test_the_archives_ids_are_compared_wherever_they_stand() -> None:
    ids = [f"ISIC_00{row:05d}" for row in range(ROWS)]
    first = data(image_id=ids)
    second = data(image_id=[f"part/{name}_downsampled.jpg" for name in ids[3:]] + ["a", "b", "c"],
                  images=IMAGES[ROWS:])  # fmt: skip
    names_shared = shared(first, second, images=True)
    assert names_shared == {
        "9 images of the ISIC archive are in both by their id (first: ISIC_0000003)": True
    }


def test_where_nothing_can_be_compared_that_is_reported() -> None:
    (text,) = shared(data(), data(groups=names("p")))
    assert "only ISIC ids were compared" in text


def seen_by(folder: Path, own: ImageData, **options: Any) -> dict[str, str]:
    findings = run_audit(own, against=str(folder), **options).findings
    return {item.text: item.severity for item in findings if item.kind.startswith("shared with")}


def test_patients_that_an_encoder_has_seen_are_a_leak_where_they_are_judged_on(
    tmp_path: Path,
) -> None:
    own = patients()
    folder = export_seen(tmp_path / "e", record_of(own))
    ((text, severity),) = seen_by(folder, own).items()
    assert "it has seen 24 of 24 train images and none of the others" in text
    assert severity == "note"
    ((text, severity),) = seen_by(folder, own, split_seed=1).items()
    assert re.match(r"it was pre-trained on patients or images of \d of 8 test images", text)
    assert severity == "leak"


def test_without_splits_all_rows_are_compared(tmp_path: Path) -> None:
    own = patients(groups=["p0"] * 40)
    folder = export_seen(tmp_path / "e", record_of(own, np.arange(40)))
    (text,) = (text for text, severity in seen_by(folder, own).items() if severity == "leak")
    assert "40 of 40 all images (1 of 1 groups)" in text


def test_an_encoder_of_before_is_compared_with_a_warning(tmp_path: Path) -> None:
    old = [unsalted_hash(f"p{number}") for number in range(20)]
    found = seen_by(export_seen(tmp_path / "e", groups_seen=old), patients())
    assert sorted(found.values()) == ["leak", "warning"]
    assert any("16 by group, by the hashes of an older export" in text for text in found)


def test_an_encoder_that_does_not_say_whom_it_has_seen_is_refused(tmp_path: Path) -> None:
    folder = export_seen(tmp_path / "e")
    with pytest.raises(InputError, match="e does not say which patients it has seen"):
        load_other(str(folder))


SPLIT_ROWS = 40
SPLIT_IMAGES = [image_bytes(row) for row in range(SPLIT_ROWS)]
PATIENTS = [f"p{row // 2}" for row in range(SPLIT_ROWS)]


def split_data(**changes: Any) -> ImageData:
    given = {"groups": PATIENTS, "images": SPLIT_IMAGES} | changes
    return build_data(["a", "a", "b", "b"] * (SPLIT_ROWS // 4), **given)


def test_a_patient_in_two_given_splits_is_a_leak() -> None:
    audit = run_audit(audited.data(splits=["train"] * 41 + ["test"] * 19))
    assert audited.kinds(audit)["group overlap"] == "leak"
    assert "first: p20" in audit.findings[0].text


def leaks(audit: Audit) -> list[str]:
    return [item.text for item in audit.findings if item.severity == "leak"]


def save_splits(splits: list[str]) -> Path:
    lines = ["image_id,split", *(f"i{row},{split}" for row, split in enumerate(splits))]
    return write_text(Path("splits.csv"), "\n".join(lines))


def test_saved_splits_are_audited() -> None:
    clean = save_splits(["train"] * 20 + ["val"] * 10 + ["test"] * 10)
    audit = run_audit(split_data(), splits=clean)
    assert (leaks(audit), audit.splits) == ([], "given by splits.csv")
    leaking = save_splits(["train"] * 21 + ["val"] * 9 + ["test"] * 10)
    images = [SPLIT_IMAGES[39], *SPLIT_IMAGES[1:]]
    audit = run_audit(split_data(images=images), splits=leaking, images=True)
    assert leaks(audit) == [
        "1 group value is in train and in val (first: p10): keep each on one side",
        "1 pair, 1 across groups or splits, 1 across splits",
    ]


def test_an_image_that_is_left_out_of_the_splits_is_on_no_side() -> None:
    splits = save_splits(["train"] * 20 + ["val"] * 8 + ["test"] * 8)
    audit = run_audit(
        split_data(images=[SPLIT_IMAGES[39], *SPLIT_IMAGES[1:]]), splits=splits, images=True
    )
    assert leaks(audit) == []
    assert audit.pairs[0].sides == ("train", "no split")


def test_folds_are_those_of_a_run() -> None:
    audit = run_audit(split_data(splits=["train"] * 21 + ["test"] * 19), folds=4, fold=1)
    assert audit.splits == "made: grouped, stratified, fold 1 of 4, split seed 0"
    assert leaks(audit) == []


def test_a_patient_is_reported_once_and_missing_names_are_no_name() -> None:
    splits = ["train"] * 21 + ["test"] * 19
    lesions = [None if row % 3 else f"l{row}" for row in range(SPLIT_ROWS)]
    audit = run_audit(split_data(splits=splits, patient_id=PATIENTS, lesion_id=lesions))
    assert leaks(audit) == [
        "1 patient_id value is in train and in test (first: p10): keep each on one side"
    ]


def test_patients_that_no_one_groups_by_are_reported_in_made_splits() -> None:
    leaking = leaks(run_audit(split_data(groups=None, patient_id=PATIENTS)))
    assert any("patient_id values are in train and in test" in leak for leak in leaking)
    assert all("csv:FILE?group=patient_id splits by them" in leak for leak in leaking)


def test_data_that_cannot_be_split_are_audited_without() -> None:
    audit = run_audit(split_data(groups=["p"] * SPLIT_ROWS), images=True)
    assert audit.splits == "none"
    assert any("cannot split 1 groups" in item.text for item in audit.findings)


@pytest.mark.parametrize("code", [0, 3])
def test_the_command_takes_saved_splits(
    run_cli: Callable[..., Result], tmp_path: Path, code: int
) -> None:
    root = write_image_folder(tmp_path / "images")
    names = [f"{name}/{row:03d}.png" for name in ("dark", "light") for row in range(12)]
    if code:
        (root / "light/011.png").write_bytes((root / "dark/000.png").read_bytes())
    lines = [f"{name},{('train', 'val', 'test')[row % 12 // 4]}" for row, name in enumerate(names)]
    file = write_text(tmp_path / "saved.csv", "\n".join(["image_id,split", *lines]))
    result = run_cli("data", "audit", f"imagefolder:{root}", "--splits", file)
    assert result.exit_code == code, result.output
    assert "splits: given by saved.csv" in result.stdout
    folded = run_cli("data", "audit", f"imagefolder:{root}", "--folds", 4, "--fold", 2)
    assert "fold 2 of 4" in folded.stdout
