"""Figures of all folds from the runs of single ones, and how they are shown and compared."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from conftest import assert_bad_input
from helpers.saved_runs import forget_manifest, write_results
from helpers.snapshots import assert_fits
from toolkit_common.runs.files import read_json
from toolkit_probing.results.contents import read_results
from toolkit_probing.results.folds import pool_folds
from toolkit_probing.results.saved import is_fold, read_run


@pytest.mark.slow
def test_figures_follow_from_the_predictions_of_all_folds(folded):
    results = read_results(folded / "f")
    row = results.rows[0]
    table = pq.read_table(folded / "f" / row.predictions).to_pandas()
    positive = np.stack(table["probabilities"].to_numpy())[:, 1]
    areas = [
        roc_auc_score(table["target"][own], positive[own])
        for own in (table["fold"] == fold for fold in range(3))
    ]
    assert row.metrics["auroc"].mean == pytest.approx(np.mean(areas))
    assert row.metrics["auroc"].sd == pytest.approx(np.std(areas, ddof=1))
    predicted = (positive > 0.5).astype(int)
    assert row.metrics["top1"].pooled == pytest.approx((predicted == table["target"]).mean())
    singles = [read_results(folded / f"f/fold-{fold}").rows[0] for fold in range(3)]
    assert row.metrics["top1"].values == tuple(one.metrics["top1"].mean for one in singles)
    assert row.settings["C"] in (singles[0].settings["C"], [one.settings["C"] for one in singles])
    assert row.num_train == [one.num_train[0] for one in singles]


@pytest.mark.slow
def test_the_table_says_what_a_figure_and_what_its_interval_is_of(run_cli, folded, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    shown = run_cli("probe", "--resume", "--output", folded / "f").stdout
    assert "40 test images of 10 groups, each tested once in 3 folds" in shown
    assert "figures: mean \u00b1 sd over folds; intervals: of all folds' predictions" in shown
    assert_fits(shown, 80)
    metric = read_results(folded / "f").rows[0].metrics["balanced_accuracy"]
    assert f"{metric.mean:.3f} \u00b1 {metric.sd:.3f}" in shown
    assert f"pooled {metric.pooled:.3f}" in shown


@pytest.mark.slow
def test_a_report_counts_the_whole_once_with_its_own_figures(run_cli, folded):
    result = run_cli("report", folded, "--metric", "top1,auroc", "--by", "site", "--json")
    assert result.exit_code == 0, result.output
    reported = json.loads(result.stdout)
    assert [run["run"] for run in reported["runs"]] == [str(folded / "f"), str(folded / "g")]
    assert reported["runs"][0]["folds"] == ["fold-0", "fold-1", "fold-2"]
    whole = next(row for row in reported["rows"] if row["column"] is None)
    assert whole["metrics"]["auroc"]["sd"] is not None
    assert whole["num_images"] == 40
    arm = next(row for row in reported["rows"] if row["value"] == "arm")
    assert arm["num_images"] == 14
    rows = json.loads((folded / "f.json").read_text())["rows"]
    assert whole["metrics"]["top1"] == rows[0]["metrics"]["top1"]
    single = run_cli("report", folded / "f/fold-1", "--metric", "top1", "--json")
    assert len(json.loads(single.stdout)["runs"]) == 1


@pytest.mark.slow
def test_two_runs_are_compared_over_all_folds(run_cli, folded):
    result = run_cli("compare", folded / "f", folded / "g", "--metric", "top1,auroc", "--json")
    assert result.exit_code == 0, result.output
    compared = json.loads(result.stdout)
    assert (compared["num_images"], compared["num_groups"], compared["num_folds"]) == (40, 10, 3)
    one, other = (
        {row["method"]: row for row in read_json(folded / f"{name}/results.json")["rows"]}["knn"]
        for name in "fg"
    )
    top1, auroc = compared["comparisons"]
    assert (top1["first"], top1["second"]) == tuple(
        row["metrics"]["top1"]["pooled"] for row in (one, other)
    )
    assert auroc["difference"] == pytest.approx(
        other["metrics"]["auroc"]["mean"] - one["metrics"]["auroc"]["mean"]
    )
    assert "3 folds: figures are of all folds' predictions" in result.stderr


@pytest.mark.slow
def test_other_folds_and_a_single_split_are_not_compared(run_cli, folded, tmp_path):
    shutil.copytree(folded / "g", tmp_path / "g")
    for path in (tmp_path / "g/predictions").iterdir():
        table = pq.read_table(path).to_pandas()
        table["fold"] = (table["fold"] + 1) % 3
        pq.write_table(pa.Table.from_pandas(table, preserve_index=False), path)
    forget_manifest(tmp_path / "g")
    result = run_cli(
        "compare", folded / "f", tmp_path / "g", "--rows", "knn-layer6-cls,knn-layer6-cls"
    )
    assert_bad_input(result, "the fold of 40 test images differs", "0 against 1")
    result = run_cli("compare", folded / "f/fold-0", folded / "g", "--rows",
                     "knn-layer6-cls,knn-layer6-cls")  # fmt: skip
    assert_bad_input(result, f"{folded / 'g'} is of all folds, {folded / 'f/fold-0'} is not")


@pytest.mark.slow
def test_a_run_whose_folds_have_not_all_ended_is_not_reported(run_cli, folded, tmp_path):
    shutil.copytree(folded / "f", tmp_path / "f")
    for name in ("DONE", "results.json", "fold-2/DONE"):
        (tmp_path / "f" / name).unlink()
    for command in ("report", "compare"):
        result = run_cli(command, tmp_path / "f")
        assert_bad_input(result, f"go on with toolkit probe --resume --output {tmp_path / 'f'}")
    assert is_fold(tmp_path / "f/fold-0")
    assert not is_fold(tmp_path / "f")
    assert read_run(tmp_path / "f/fold-0").results.folds == []


@pytest.mark.slow
def test_what_is_true_of_some_folds_alone_says_of_which(folded, tmp_path):
    shutil.copytree(folded / "f", tmp_path / "f")
    for fold, remark, seen in ((0, "odd", "unseen"), (1, "even", "seen"), (2, "odd", "unknown")):
        run = tmp_path / f"f/fold-{fold}"
        results = read_json(run / "results.json")
        results["diverged"] = {"ep": 3} if fold == 1 else {}
        for row in results["rows"]:
            row |= {"remarks": ["all", remark], "seen": seen}
        write_results(run, results)
    pooled = pool_folds(tmp_path / "f", ["fold-0", "fold-1", "fold-2"])
    assert pooled.rows[0].remarks == ["all", "folds 0, 2: odd", "fold 1: even"]
    assert pooled.rows[0].seen == "seen"
    assert pooled.diverged == {"fold-1/ep": 3}


@pytest.mark.slow
@pytest.mark.parametrize("as_begun", [0, 1])
def test_a_fold_whose_head_stays_as_it_began_picks_no_rate(folded, tmp_path, as_begun):
    shutil.copytree(folded / "f", tmp_path / "f")
    for fold in range(3):
        run = tmp_path / f"f/fold-{fold}"
        results = read_json(run / "results.json")
        rate = {} if fold == as_begun else {"lr": 0.001}
        results["rows"][0]["settings"] = {"num_queries": 8} | rate
        write_results(run, results)
    pooled = pool_folds(tmp_path / "f", ["fold-0", "fold-1", "fold-2"])
    rates = [None if fold == as_begun else 0.001 for fold in range(3)]
    assert pooled.rows[0].settings == {"num_queries": 8, "lr": rates}


@pytest.mark.slow
def test_pictures_and_predictions_of_all_folds_are_asked_of_one(run_cli, folded, tmp_path):
    shutil.copytree(folded / "f", tmp_path / "f")
    result = run_cli("predict", "--from", tmp_path / "f", "--data", "digits", "-o", "p.csv")
    assert_bad_input(result, f"is a run of all folds: name one, such as {tmp_path / 'f/fold-0'}")
    result = run_cli("attention", "--from", tmp_path / "f")
    assert_bad_input(result, f"is a run of all folds: name one, such as {tmp_path / 'f/fold-0'}")
