"""Figures of a table: what they are the mean of, and their intervals; over patients elsewhere."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from helpers.tiny_study import STUDY, change, table_of
from toolkit_common.runs.files import read_json, write_json
from toolkit_common.scores.corrected_t import corrected_t

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def done(runs) -> None:
    runs()


def test_a_figure_is_the_mean_over_folds_with_the_corrected_interval():
    figure = table_of().figures[("good", "ep"), "auroc"]
    values = [0.8, 0.85, 0.9]
    mean, half = corrected_t(values, test_to_train=1 / 3)
    assert figure.mean == pytest.approx(np.mean(values)) == pytest.approx(mean)
    assert figure.interval == pytest.approx((mean - half, mean + half))


def test_differences_are_taken_fold_by_fold():
    change("judge/encoder=good,fold=2", mean=0.95)
    gap = table_of().figures[("good", "ep"), "auroc"].gap
    gaps = [0.15, 0.15, 0.2]
    mean, half = corrected_t(gaps, test_to_train=1 / 3)
    assert (gap.mean, gap.units) == (pytest.approx(mean), 3)
    assert gap.interval == pytest.approx((mean - half, mean + half))
    assert table_of().figures[("poor", "ep"), "auroc"].gap is None


def test_what_is_undefined_in_one_fold_is_undefined():
    change("judge/encoder=good,fold=1", mean=None, ci=None)
    figure = table_of().figures[("good", "ep"), "auroc"]
    assert (figure.mean, figure.interval, figure.gap) == (None, None, None)


def test_one_cell_alone_has_its_own_interval():
    text = STUDY.replace("[0, 1, 2]", "[1]")
    figure = table_of(text).figures[("good", "ep"), "auroc"]
    assert (figure.mean, figure.interval_of) == (pytest.approx(0.85), "own")
    assert figure.interval == pytest.approx((0.75, 0.95))


def test_seeds_of_one_fold_are_one_value():
    grid = "grid: {seed: {a: {}, b: {fails: false}}}"
    text = STUDY.replace("needs: train", f"needs: train\n    {grid}")
    for path in list(Path("runs/judge").iterdir()):
        for seed in "ab":
            shutil.copytree(path, path.with_name(f"{path.name},seed={seed}"))
    change("judge/encoder=good,fold=0,seed=b", mean=0.9)
    figure = table_of(text).figures[("good", "ep"), "auroc"]
    mean, half = corrected_t([0.85, 0.85, 0.9], test_to_train=1 / 3)
    assert (figure.mean, figure.interval[0]) == (pytest.approx(mean), pytest.approx(mean - half))


def beside_a_control(axis: str) -> str:
    """Return a study whose cells have another axis, a and b, that its control lacks; all done."""
    judge = STUDY[STUDY.index("  judge:") : STUDY.index("table:")]
    grid = f"    grid: {{kind: {{ours: {{}}}}, {axis}: {{a: {{}}, b: {{fails: false}}}}}}\n"
    control = judge.replace("judge:", "control:") + "    grid: {kind: {start: {}}}\n"
    for path in list(Path("runs/judge").iterdir()):
        shutil.copytree(path, Path("runs/control", f"{path.name},kind=start"))
        for value in "ab":
            shutil.copytree(path, path.with_name(f"{path.name},kind=ours,{axis}={value}"))
    text = STUDY.replace(judge, judge + grid + control).replace("[encoder, m", "[kind, encoder, m")
    return text.replace("{encoder: poor}", "{kind: start}")


def test_a_control_without_seeds_stands_against_each_seed():
    text = beside_a_control("seed")
    for fold, value in ((0, 0.9), (1, 0.87), (2, 1.0)):
        change(f"judge/encoder=good,fold={fold},kind=ours,seed=b", mean=value)
    figure = table_of(text).figures[("ours", "good", "ep"), "auroc"]
    gaps = [0.05, 0.01, 0.05]  # means of a, which is as the control, and b: 0.1, 0.02, 0.1 above it
    mean, half = corrected_t(gaps, test_to_train=1 / 3)
    assert (figure.gap.mean, figure.gap.units) == (pytest.approx(mean), 6)
    assert figure.gap.interval == pytest.approx((mean - half, mean + half))


def test_cells_stand_against_each_seed_of_a_control():
    text = beside_a_control("seed").replace("{kind: start}", "{kind: ours}")
    change("judge/encoder=good,fold=0,kind=ours,seed=b", mean=0.6)
    gap = table_of(text).figures[("start", "good", "ep"), "auroc"].gap
    assert (gap.mean, gap.units) == (pytest.approx((0.1 + 0.0 + 0.0) / 3), 3)


def test_a_control_of_other_splits_is_no_reference():
    text = beside_a_control("split_seed")
    table = table_of(text)
    assert table.figures[("ours", "good", "ep"), "auroc"].gap is None
    assert table.figures[("ours", "good", "ep"), "auroc"].mean == pytest.approx(0.85)


def test_what_does_not_follow_from_predictions_has_differences_over_folds_and_says_so():
    for number, path in enumerate(sorted(Path("runs/judge").iterdir())):
        results = read_json(path / "results.json")
        row = results["rows"][0]
        row["predictions"] = "predictions/ep.parquet"
        row["retrieval"] = {"metrics": {"precision_at_5": {"mean": 0.1 * number, "ci": None}}}
        write_json(path / "results.json", results)
    table = table_of(STUDY.replace("metrics: auroc", "metrics: precision_at_5"))
    figure = table.figures[("good", "ep"), "precision_at_5"]
    assert figure.mean == pytest.approx(0.1)  # of 0, 0.1 and 0.2; those of poor lie 0.3 higher
    assert (figure.gap.mean, figure.gap.interval_of) == (pytest.approx(-0.3), "folds")
    why = "NOT OVER PATIENTS: good ep: precision_at_5 does not follow from predictions"
    assert why in map(str, table.remarks)
