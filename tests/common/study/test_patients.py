"""Figures over patients are those of a run of all folds; what cannot be paired is refused."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from helpers.predicted import NUM_ROWS, groups_of, joined, record_of
from toolkit_common.errors import InputError
from toolkit_common.runs.files import sha256_of
from toolkit_common.scores.folds import estimate_fold_difference, estimate_folds
from toolkit_common.study.patients import over_patients
from toolkit_common.study.records import Record


@pytest.fixture
def folds(tmp_path) -> tuple[list[list[Record]], list[list[Record]]]:
    return tuple(
        [[record_of(tmp_path / f"{name}-{fold}.parquet", fold, skill=skill)] for fold in range(3)]
        for name, skill in (("mine", 0.6), ("theirs", 0.1))
    )


def test_all_folds_are_what_one_run_of_all_folds_has(folds):
    mine, theirs = folds
    sides = [joined(skill) for skill in (0.1, 0.6)]
    groups = np.concatenate([groups_of(fold) for fold in range(3)])
    numbers = np.repeat(np.arange(3), NUM_ROWS)
    names = ["auroc", "balanced_accuracy"]
    whole = estimate_folds(sides[1], groups, numbers, names=names)
    gaps = estimate_fold_difference(sides, groups, numbers, names=names)
    for name in names:
        pooled = whole[name].pooled
        mean = whole[name].mean if pooled is None else pooled
        assert over_patients(mine, name) == pytest.approx((mean, pytest.approx(whole[name].ci)))
        gap, interval = over_patients(mine, name, against=theirs)
        assert (gap, interval) == (pytest.approx(gaps[name].difference), gaps[name].ci)
        assert gap > 0


def test_what_is_averaged_within_a_fold_is_one_value(folds):
    mine, theirs = folds
    once = over_patients(mine, "auroc", against=theirs)
    twice = over_patients([fold * 2 for fold in mine], "auroc", against=[f * 2 for f in theirs])
    assert twice == (pytest.approx(once[0]), pytest.approx(once[1]))


def test_predictions_that_another_has_changed_are_refused(folds):
    (record,) = folds[0][0]
    manifest = record.cell.place / "manifest.json"
    manifest.write_text(json.dumps({record.predictions.name: sha256_of(record.predictions)}))
    assert over_patients(folds[0], "auroc") is not None
    change(record, "target", 0).predictions.replace(record.predictions)
    with pytest.raises(InputError, match=f"{record.predictions} is not as the run wrote it"):
        over_patients(folds[0], "auroc")


def test_other_images_are_refused(folds):
    mine, theirs = folds
    with pytest.raises(InputError, match=r"mine-0 and judge/theirs-1 were not judged on the same"):
        over_patients(mine, "auroc", against=theirs[1:] + theirs[:1])


def change(record: Record, column: str, value: object) -> Record:
    """Return a record whose first image has another value in a column."""
    frame = pd.read_parquet(record.predictions)
    frame.loc[frame["image_id"] == frame["image_id"].min(), column] = value
    path = record.predictions.with_name("changed.parquet")
    frame.to_parquet(path)
    return replace(record, predictions=path)


@pytest.mark.parametrize(
    ("column", "value", "what"),
    [
        ("target", 2, "classes of their test images"),
        ("group", "p", "patients of their test images"),
    ],
)
def test_other_classes_and_patients_are_refused(folds, column, value, what):
    mine, theirs = folds
    others = [[change(theirs[0][0], column, value)], *theirs[1:]]
    with pytest.raises(InputError, match=f"mine-0 and judge/theirs-0 .* the same {what}"):
        over_patients(mine, "auroc", against=others)


def test_classes_in_another_order_are_refused(folds):
    mine, theirs = folds
    others = [[replace(theirs[0][0], classes=("b", "a"))], *theirs[1:]]
    with pytest.raises(InputError, match="the same classes of their test images"):
        over_patients(mine, "auroc", against=others)


def test_repeats_of_other_images_are_refused(folds):
    (record,) = folds[0][0]
    frame = pd.read_parquet(record.predictions)
    frame = frame[(frame["seed"] == 0) | (frame["image_id"] > "image-0-00")]
    path = record.predictions.with_name("uneven.parquet")
    frame.to_parquet(path)
    with pytest.raises(InputError, match=r"uneven.parquet: its repeats are of other images"):
        over_patients([[replace(record, predictions=path)]], "auroc")


def test_folds_that_share_patients_are_refused(folds):
    mine, _ = folds
    with pytest.raises(InputError, match=r"mine-0 and judge/mine-0 share test patients"):
        over_patients([mine[0], mine[0]], "auroc")


def test_without_predictions_there_is_no_interval(folds):
    mine, theirs = folds
    without = [[replace(theirs[0][0], predictions=None)], *theirs[1:]]
    assert over_patients(mine, "auroc", against=without) is None


def test_folds_of_different_numbers_of_repeats_have_none(folds):
    mine, _ = folds
    assert over_patients([mine[0] * 2, *mine[1:]], "auroc") is None


def test_a_file_that_cannot_be_read_is_named(folds):
    (record,) = folds[0][0]
    broken = record.predictions.with_name("broken.parquet")
    broken.write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"cannot read .*broken.parquet: .*run the cell again"):
        over_patients([[replace(record, predictions=broken)]], "auroc")
