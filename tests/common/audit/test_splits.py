"""The audit judges the splits that a run would use, and those that a run would refuse."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from conftest import write_image_folder
from helpers.small_data import build_data, image_bytes, write_text
from toolkit_common.audit.audit import Audit, audit_data
from toolkit_common.data.dataset import ImageData

ROWS = 40
IMAGES = [image_bytes(row) for row in range(ROWS)]
PATIENTS = [f"p{row // 2}" for row in range(ROWS)]


def data(**changes: Any) -> ImageData:
    given = {"groups": PATIENTS, "images": IMAGES} | changes
    return build_data(["a", "a", "b", "b"] * (ROWS // 4), **given)


def leaks(audit: Audit) -> list[str]:
    return [item.text for item in audit.findings if item.severity == "leak"]


def save_splits(splits: list[str]) -> Path:
    lines = ["image_id,split", *(f"i{row},{split}" for row, split in enumerate(splits))]
    return write_text(Path("splits.csv"), "\n".join(lines))


def test_saved_splits_are_audited() -> None:
    clean = save_splits(["train"] * 20 + ["val"] * 10 + ["test"] * 10)
    audit = audit_data(data(), splits_file=clean)
    assert (leaks(audit), audit.splits) == ([], "given by splits.csv")
    leaking = save_splits(["train"] * 21 + ["val"] * 9 + ["test"] * 10)
    images = [IMAGES[39], *IMAGES[1:]]
    audit = audit_data(data(images=images), splits_file=leaking, images=True)
    assert leaks(audit) == [
        "1 group values are in train and in val (first: p10): keep each on one side",
        "1 pairs, 1 across groups or splits, 1 across splits",
    ]


def test_an_image_that_is_left_out_of_the_splits_is_on_no_side() -> None:
    splits = save_splits(["train"] * 20 + ["val"] * 8 + ["test"] * 8)
    audit = audit_data(data(images=[IMAGES[39], *IMAGES[1:]]), splits_file=splits, images=True)
    assert leaks(audit) == []
    assert audit.pairs[0].sides == ("train", "no split")


def test_folds_are_those_of_a_run() -> None:
    audit = audit_data(data(splits=["train"] * 21 + ["test"] * 19), folds=4, fold=1)
    assert audit.splits == "made: grouped, stratified, fold 1 of 4, split seed 0"
    assert leaks(audit) == []


def test_a_patient_is_told_once_and_missing_names_are_no_name() -> None:
    splits = ["train"] * 21 + ["test"] * 19
    lesions = [None if row % 3 else f"l{row}" for row in range(ROWS)]
    audit = audit_data(data(splits=splits, patient_id=PATIENTS, lesion_id=lesions))
    assert leaks(audit) == [
        "1 patient_id values are in train and in test (first: p10): keep each on one side"
    ]


def test_patients_that_no_one_groups_by_are_found_in_made_splits() -> None:
    found = leaks(audit_data(data(groups=None, patient_id=PATIENTS)))
    assert any("patient_id values are in train and in test" in leak for leak in found)
    assert all("csv:FILE?group=patient_id splits by them" in leak for leak in found)


def test_data_that_cannot_be_split_are_audited_without() -> None:
    audit = audit_data(data(groups=["p"] * ROWS), images=True)
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
