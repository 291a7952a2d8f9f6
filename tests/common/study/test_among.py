"""A part of the test images is judged as if there were no others."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from helpers.predicted import NUM_ROWS, groups_of, ids_of, joined, predictions_of, record_of
from helpers.tiny_study import STUDY, study_of, table_of
from toolkit_common.errors import InputError
from toolkit_common.runs.files import sha256_of
from toolkit_common.runs.manifest import write_manifest
from toolkit_common.scores.folds import estimate_fold_difference
from toolkit_common.scores.metrics import Predictions, compute_metrics
from toolkit_common.study.among import among
from toolkit_common.study.patients import over_patients
from toolkit_common.study.records import Record

COMPLETE = {"metadata": ("complete",)}
FOLDS = range(3)


def is_complete(fold: int) -> np.ndarray:
    """Whole patients, of whom every third is not."""
    return (np.arange(NUM_ROWS) // 2 + fold) % 3 > 0


def cell_of(folder: Path, fold: int, *, skill: float) -> Record:
    """A record whose cell has test rows, in another order than its predictions."""
    place = folder / f"{skill}-{fold}"
    place.mkdir()
    words = np.where(is_complete(fold), "complete", "incomplete")
    rows = pd.DataFrame({"image_id": ids_of(fold), "metadata": words, "size": None})
    rows[::-1].to_parquet(place / "test_rows.parquet")
    record = record_of(place / "predictions.parquet", fold, skill=skill)
    whole = dict.fromkeys(("auroc", "top1", "precision_at_1"), 0.5)
    return replace(record, metrics=whole, test_to_train=0.5, intervals={"auroc": (0.1, 0.9)})


def kept(runs: list[Predictions], keep: np.ndarray) -> list[Predictions]:
    return [Predictions(run.probabilities[keep], run.targets[keep]) for run in runs]


def test_metrics_are_means_over_repeats_on_these_images(tmp_path):
    part = among(cell_of(tmp_path, 1, skill=0.3), COMPLETE)
    runs = [compute_metrics(run) for run in
            kept(predictions_of(1, skill=0.3), is_complete(1))]  # fmt: skip
    means = {name: np.mean([run[name] for run in runs]) for name in ("auroc", "top1")}
    assert part.metrics == pytest.approx(means)  # what no prediction tells is left out
    assert part.intervals == {}
    assert part.test_to_train == pytest.approx(0.5 * is_complete(1).mean())
    assert part.kept == frozenset(ids_of(1)[is_complete(1)])


def test_differences_over_patients_are_those_of_these_images_alone(tmp_path):
    sides = [
        [[among(cell_of(tmp_path, fold, skill=skill), COMPLETE)] for fold in FOLDS]
        for skill in (0.1, 0.6)
    ]
    keep = np.concatenate([is_complete(fold) for fold in FOLDS])
    groups = np.concatenate([groups_of(fold) for fold in FOLDS])[keep]
    folds = np.repeat(FOLDS, NUM_ROWS)[keep]
    runs = [kept(joined(skill), keep) for skill in (0.1, 0.6)]
    gap = estimate_fold_difference(runs, groups, folds, names=["auroc"])["auroc"]
    assert over_patients(sides[1], "auroc", against=sides[0]) == (gap.difference, gap.ci)


def test_all_values_are_all_images(tmp_path):
    record = cell_of(tmp_path, 0, skill=0.3)
    part = among(record, {"metadata": ("complete", "incomplete")})
    assert over_patients([[part]], "auroc") == over_patients([[record]], "auroc")


def test_one_class_has_no_ranking(tmp_path):
    record = cell_of(tmp_path, 0, skill=0.3)
    targets = predictions_of(0, skill=0.3)[0].targets
    rows = pd.DataFrame({"image_id": ids_of(0), "metadata": targets.astype(str)})
    rows.to_parquet(record.predictions.with_name("test_rows.parquet"))
    part = among(record, {"metadata": ("1",)})
    assert part.metrics["auroc"] is None
    assert part.metrics["top1"] is not None
    assert part.remarks == ("NO TEST ROW of this part is a",)


@pytest.mark.parametrize(
    ("wanted", "remark"),
    [
        ({"metadata": ("whole",)}, "metadata whole: there are complete, incomplete"),
        ({"gender": ("female",)}, "gender female: there are no values"),
        ({"size": (1,)}, "size 1: there are no values"),
    ],
)
def test_what_is_not_there_is_undefined_and_said(tmp_path, wanted, remark):
    part = among(cell_of(tmp_path, 0, skill=0.3), {**COMPLETE, **wanted})
    assert part.metrics == {"auroc": None, "top1": None}
    assert part.remarks == (f"NO TEST ROW has {remark}",)


def test_without_predictions_nothing_can_be_chosen(tmp_path):
    record = replace(cell_of(tmp_path, 0, skill=0.3), predictions=None)
    with pytest.raises(InputError, match="judge/predictions has no predictions"):
        among(record, COMPLETE)


def test_a_study_file_names_them():
    study = study_of(
        STUDY.replace("metrics: auroc", "metrics: auroc\n  test_rows: {metadata: complete}")
    )
    assert study.tables[""].test_rows == COMPLETE


def test_what_does_not_follow_from_predictions_is_refused_in_the_file():
    text = STUDY.replace(
        "metrics: auroc", "metrics: precision_at_1\n  test_rows: {metadata: complete}"
    )
    with pytest.raises(InputError, match="precision_at_1 does not follow from predictions"):
        table_of(text)


def test_test_rows_that_another_has_changed_are_no_part(tmp_path):
    record = cell_of(tmp_path, 1, skill=0.3)
    path = record.cell.place / "test_rows.parquet"
    write_manifest(record.cell.place, {path.name: sha256_of(path)})
    among(record, COMPLETE)
    pd.read_parquet(path).assign(metadata="complete").to_parquet(path)
    with pytest.raises(InputError, match=f"{path} is not as the run wrote it"):
        among(record, COMPLETE)
