"""Finished runs, read back with their predictions."""

import numpy as np
import pytest

from conftest import assert_bad_input
from toolkit_common.errors import InputError
from toolkit_common.runs.files import read_json
from toolkit_common.scores.metrics import compute_metrics
from toolkit_probing.results.saved import choose_row, find_runs, read_run


def test_every_repeat_of_a_row_is_read_with_its_images(runs):
    run = read_run(runs / "a")
    row = run.rows["linear-layer6-cls"]
    assert len(row.predictions) == len(row.row.seeds) == 2
    tops = [compute_metrics(item)["top1"] for item in row.predictions]
    assert tuple(tops) == row.row.metrics["top1"].values
    assert run.column("label", row.image_ids).tolist() == [
        run.results.data.classes[target] for target in row.predictions[0].targets
    ]
    assert not np.array_equal(*(item.probabilities for item in row.predictions))


def test_runs_are_found_at_any_depth_and_those_of_pretraining_passed_over(runs, copied):
    other = copied / "pretrained"
    other.mkdir()
    (other / "results.json").write_text('{"version": 1, "held_out": {}}')
    (other / "DONE").touch()
    assert [run.path for run in find_runs([copied])] == [copied / "a", copied / "b"]
    with pytest.raises(InputError, match="pretrained is no finished probe run"):
        read_run(other)
    with pytest.raises(InputError, match="pretrained holds no finished probe run"):
        find_runs([other])


def test_a_run_given_twice_counts_once(runs):
    assert len(find_runs([runs, runs / "a"])) == 2


def test_a_row_that_is_not_there_is_answered_with_the_nearest(runs):
    with pytest.raises(InputError, match=r"unknown row of .*'knn-layer5-cls'; did you mean 'knn-l"):
        choose_row(read_run(runs / "a"), "knn-layer5-cls")


def test_what_is_not_there_or_damaged_says_why(run_cli, copied):
    a = copied / "a"
    assert_bad_input(run_cli("report", copied / "none"), "no run folder at")
    (copied / "empty").mkdir()
    assert_bad_input(run_cli("report", copied / "empty"), "holds no finished probe run")
    (a / "predictions/knn-layer6-cls.parquet").write_bytes(b"broken")
    assert_bad_input(run_cli("report", a), "cannot read", "knn-layer6-cls.parquet", "again")
    (copied / "b/test_rows.parquet").unlink()
    assert_bad_input(run_cli("report", copied / "b", "--by", "site"), "cannot read", "test_rows")


def test_a_run_writes_the_predictions_that_its_rows_name(runs):
    results = read_json(runs / "a/results.json")
    named = {row["predictions"] for row in [*results["rows"], *results["baselines"]]}
    written = {f"predictions/{path.name}" for path in (runs / "a/predictions").iterdir()}
    assert named == written
