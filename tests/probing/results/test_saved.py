"""Finished runs, read back with their predictions."""

import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conftest import assert_bad_input
from helpers.saved_runs import change_test_rows, forget_manifest
from toolkit_common.errors import InputError
from toolkit_common.runs.files import read_json, write_json
from toolkit_common.scores.metrics import compute_metrics
from toolkit_probing.results.saved import FOLDS, choose_row, find_runs, read_run


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


@pytest.mark.parametrize("text", ["{", "{}"])
def test_a_damaged_fold_is_named_beside_the_figures_of_all(copied, capsys, text):
    whole = copied / "a"
    (copied / "b").rename(whole / "fold-0")
    write_json(whole / "run.json", {**read_json(whole / "run.json"), "kind": FOLDS})
    assert [run.path for run in find_runs([copied])] == [whole]
    assert capsys.readouterr().err == ""
    (whole / "fold-0/results.json").write_text(text)
    assert [run.path for run in find_runs([copied])] == [whole]
    said = " ".join(capsys.readouterr().err.split())
    assert said.startswith(f"a fold of {whole}: {whole}/fold-0/results.json")


def test_what_is_not_there_or_damaged_says_why(run_cli, copied):
    a = copied / "a"
    assert_bad_input(run_cli("report", copied / "none"), "no run folder at")
    (copied / "empty").mkdir()
    assert_bad_input(run_cli("report", copied / "empty"), "holds no finished probe run")
    (a / "predictions/knn-layer6-cls.parquet").write_bytes(b"broken")
    assert_bad_input(run_cli("report", a), "cannot read", "knn-layer6-cls.parquet", "again")
    (copied / "b/test_rows.parquet").unlink()
    assert_bad_input(run_cli("report", copied / "b", "--by", "site"), "cannot read", "test_rows")


def test_a_damaged_run_of_folds_is_named_once(copied, capsys):
    for fold in range(3):
        shutil.copytree(copied / "b", copied / f"a/fold-{fold}")
    (copied / "a/run.json").write_text("{")
    assert [run.path for run in find_runs([copied])] == [copied / "b"]
    assert capsys.readouterr().err.count("left out:") == 1


def test_a_run_that_has_lost_its_results_is_named_and_left_out(run_cli, copied):
    (copied / "a/results.json").unlink()
    line = f"{copied}/a is damaged: it has DONE and no results.json; put that file back, or run it"
    for command in (["report"], ["runs", "ls"]):
        result = run_cli(*command, copied)
        assert result.exit_code == 0
        assert f"left out: {line}" in result.stderr
    for command in (["report"], ["compare"], ["attention", "--from"]):
        assert_bad_input(run_cli(*command, copied / "a"), line)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &x 1\nb: *x\n", "aliases (& and *) are not read"),
        ("- 1\n", "got a list"),
        ("a: " + "[" * 20 + "]" * 20, "nested deeper than 12"),
    ],
)
def test_a_run_whose_settings_are_none_is_named_and_left_out(run_cli, copied, text, message):
    (copied / "a/config.yaml").write_text(text)
    result = run_cli("report", copied)
    assert result.exit_code == 0
    (line,) = [line for line in result.stderr.splitlines() if "left out:" in line]
    assert line.startswith(f"left out: {copied}/a/config.yaml")
    assert message in line
    for command in ("report", "compare"):
        assert_bad_input(run_cli(command, copied / "a"), f"{copied}/a/config.yaml", message)


def test_a_run_without_a_kind_is_named_and_left_out(run_cli, copied):
    (copied / "a/run.json").write_text("{}")
    result = run_cli("report", copied)
    assert result.exit_code == 0
    assert f"left out: {copied}/a/run.json is damaged: kind: field required" in result.stderr
    assert_bad_input(run_cli("report", copied / "a"), "a/run.json is damaged: kind: field required")


def test_one_bad_run_among_others_is_named_and_left_out(run_cli, copied):
    path = copied / "a/results.json"
    forget_manifest(copied / "a")
    path.write_text(path.read_text().replace('"top1"', '"top\x1b1"', 1)[:-40])
    assert [run.path for run in find_runs([copied])] == [copied / "b"]
    result = run_cli("report", copied)
    assert result.exit_code == 0
    left_out = [line for line in result.stderr.splitlines() if "left out:" in line]
    assert len(left_out) == 1
    assert "\x1b" not in left_out[0]
    assert_bad_input(run_cli("report", copied / "a"), "a/results.json is damaged")


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (lambda s: s + "x", "lacks an image of predictions"),
        (lambda s: range(len(s)), "lacks an image of predictions"),
        (lambda s: [s.iloc[0]] * len(s), "holds an image_id twice"),
        (lambda s: [[1]] * len(s), "holds an image_id twice"),
    ],
)
def test_test_images_that_are_not_those_of_predictions_are_refused(run_cli, copied, ids, message):
    change_test_rows(copied / "a", image_id=ids)
    result = run_cli("report", copied / "a", "--by", "site")
    assert_bad_input(result, f"{copied / 'a/test_rows.parquet'} is damaged: it {message}")


@pytest.mark.parametrize("command", [["report"], ["compare"], ["report", "--leaderboard"]])
def test_a_figure_that_another_has_changed_is_refused_within_all_bounds(run_cli, copied, command):
    path = copied / "a/results.json"
    results = read_json(path)
    results["rows"][0]["metrics"]["top1"]["mean"] = 0.9
    write_json(path, results)
    result = run_cli(*command, copied / "a")
    assert_bad_input(result, f"{path} is not as the run wrote it (manifest.json")


def test_splits_that_another_has_changed_are_told(run_cli, copied):
    path = copied / "a/splits.csv"
    path.write_text(path.read_text().replace("train", "test", 1))
    message = f"{path} is not as the run wrote it (manifest.json has another sha256)"
    page = run_cli("report", copied / "a", "--no-pictures", "-o", "page.html")
    assert_bad_input(page, message)
    assert not (copied / "page.html").exists()
    among_others = run_cli("report", copied)
    assert among_others.exit_code == 0
    assert f"left out: {message}" in among_others.stderr.replace("\n", " ")


def test_test_rows_that_another_has_changed_are_no_subgroups(run_cli, copied):
    path = copied / "a/test_rows.parquet"
    frame = pq.read_table(path).to_pandas()
    frame["site"] = frame["site"].to_numpy()[::-1]
    pq.write_table(pa.Table.from_pandas(frame), path)
    assert run_cli("report", copied / "a").exit_code == 0
    result = run_cli("report", copied / "a", "--by", "site")
    assert_bad_input(result, f"{path} is not as the run wrote it (manifest.json")
    among_others = run_cli("report", copied, "--by", "site")
    assert among_others.exit_code == 0
    assert f"left out: {path} is not as the run wrote it" in among_others.stderr.replace("\n", " ")
