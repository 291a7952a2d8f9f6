"""`toolkit compare`: two rows on the same test images."""

import json
import shutil
from itertools import combinations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conftest import assert_bad_input
from helpers.saved_runs import change_predictions, forget_manifest, one_group, write_results
from toolkit_common.runs.files import read_json
from toolkit_common.scores import statistics


def test_each_row_of_a_run_is_compared_with_each(run_cli, runs):
    result = run_cli("compare", runs / "a", "--metric", "top1,auroc", "--json")
    assert result.exit_code == 0, result.output
    results = json.loads(result.stdout)
    names = [
        (entry["first_row"]["name"], entry["second_row"]["name"])
        for entry in results["comparisons"]
    ]
    own = ["linear-layer2-cls", "linear-layer6-cls", "knn-layer2-cls", "knn-layer6-cls"]
    assert names[::2] == list(combinations(own, 2))
    rows = {row["name"]: row for row in read_json(runs / "a/results.json")["rows"]}
    for entry in results["comparisons"]:
        first = rows[entry["first_row"]["name"]]["metrics"][entry["metric"]]["mean"]
        second = rows[entry["second_row"]["name"]]["metrics"][entry["metric"]]["mean"]
        assert (entry["first"], entry["second"]) == (first, second)
        assert entry["difference"] == pytest.approx(second - first)
        assert entry["ci"][0] <= entry["difference"] <= entry["ci"][1]
        assert entry["p"] <= entry["p_holm"] <= 1


def test_two_runs_are_compared_by_the_names_of_their_rows(run_cli, runs):
    result = run_cli("compare", runs / "a", runs / "b", "--metric", "top1")
    assert result.exit_code == 0, result.output
    assert "linear \u00b7 layer 6" in result.stdout
    assert "linear \u00b7 layer 2" not in result.stdout
    assert "NOT SELECTED ALIKE: selected on test, selected on val" in result.stdout
    assert result.stderr == f"next: toolkit report {runs / 'a'} {runs / 'b'} -o report.html\n"


def test_two_rows_can_be_chosen(run_cli, runs):
    rows = "knn-layer2-cls,linear-layer6-cls"
    result = run_cli("compare", runs / "a", runs / "b", "--rows", rows, "--json")
    names = {
        (entry["first_row"]["name"], entry["second_row"]["name"])
        for entry in json.loads(result.stdout)["comparisons"]
    }
    assert names == {("knn-layer2-cls", "linear-layer6-cls")}


def test_the_order_of_the_images_does_not_matter(run_cli, runs, copied):
    expected = run_cli("compare", runs / "a", runs / "b", "--json").stdout
    for path in (copied / "b/predictions").iterdir():
        table = pq.read_table(path)
        pq.write_table(table.take(np.arange(len(table))[::-1]), path)
    forget_manifest(copied / "b")
    actual = run_cli("compare", runs / "a", copied / "b", "--json").stdout
    for entry, other in zip(
        *(json.loads(x)["comparisons"] for x in (expected, actual)), strict=True
    ):
        assert (entry["difference"], entry["p"]) == (other["difference"], other["p"])


def test_encoders_of_other_depth_are_matched_by_method(run_cli, copied):
    shutil.copytree(copied / "b", copied / "c")
    results = read_json(copied / "c/results.json")
    for row in results["rows"]:
        row |= {"layer": 12, "source": "mean", "name": f"{row['method']}-layer12-mean"}
    write_results(copied / "c", results)
    result = run_cli("compare", copied / "b", copied / "c", "--metric", "top1", "--json")
    pairs = [
        (entry["first_row"]["name"], entry["second_row"]["name"])
        for entry in json.loads(result.stdout)["comparisons"]
    ]
    assert pairs == [
        ("linear-layer6-cls", "linear-layer12-mean"),
        ("knn-layer6-cls", "knn-layer12-mean"),
    ]


def test_a_row_that_is_not_there_is_answered_with_the_nearest(run_cli, runs):
    result = run_cli("compare", runs / "a", "--rows", "knn-layer6-cls,knn-layer5-cls")
    assert_bad_input(result, "unknown row of", "'knn-layer5-cls'; did you mean 'knn-layer")


@pytest.mark.parametrize(
    ("columns", "parts"),
    [
        (
            {"image_id": lambda ids: ids.str.replace("dark/", "night/")},
            ["test images only in", "pictures/dark/", "pictures/night/"],
        ),
        ({"target": lambda targets: 1 - targets}, ["the class of", "differs, such as", "against"]),
        ({"group": lambda groups: groups + "x"}, ["the group of", "differs, such as", "against p"]),
    ],
)
def test_other_test_images_are_refused_and_named(run_cli, copied, columns, parts):
    change_predictions(copied / "b", **columns)
    result = run_cli("compare", copied / "a", copied / "b")
    assert_bad_input(result, "cannot be compared", *parts)


@pytest.mark.parametrize(
    ("column", "part"),
    [
        ("image_id", "test images only in knn-layer2-cls (such as 'pictures/dark/"),
        ("target", "the class of "),
    ],
)
def test_rows_of_a_run_that_differ_say_that_it_is_damaged_and_name_it_once(
    run_cli, copied, column, part
):
    path = copied / "a/predictions/knn-layer2-cls.parquet"
    frame = pq.read_table(path).to_pandas()
    frame[column] = frame[column] + "x" if column == "image_id" else 1 - frame[column]
    pq.write_table(pa.Table.from_pandas(frame), path)
    forget_manifest(copied / "a")
    result = run_cli("compare", copied / "a")
    assert_bad_input(result, f"the predictions of {copied}/a are damaged: of ", part)
    assert result.stderr.count(f"{copied}/a") == 1


def test_another_label_is_refused(run_cli, copied):
    results = read_json(copied / "b/results.json")
    results["data"]["label"] = "other"
    write_results(copied / "b", results)
    result = run_cli("compare", copied / "a", copied / "b")
    assert_bad_input(result, "the labels differ: label against other")


def test_what_cannot_be_compared_says_why(run_cli, copied):
    a, b = copied / "a", copied / "b"
    assert_bad_input(run_cli("compare", a, b, a), "one run or two, got 3")
    assert_bad_input(run_cli("compare", a, "--rows", "x"), "--rows takes two names, got 1: x")
    assert_bad_input(run_cli("compare", a, "--metric", "confusion"), "no number", "toolkit report")
    assert_bad_input(run_cli("compare", a, "--metric", "auc"), "unknown metric 'auc'", "'auroc'")
    assert_bad_input(run_cli("compare", copied / "none"), "none is no finished probe run")
    (b / "DONE").unlink()
    assert_bad_input(run_cli("compare", a, b), "b is no finished probe run")
    results = read_json(a / "results.json")
    results["rows"] = results["rows"][:1]
    write_results(a, results)
    assert_bad_input(run_cli("compare", a), "has one row, 'linear-layer2-cls'")


def test_runs_without_a_shared_row_name_both_sides(run_cli, copied):
    results = read_json(copied / "b/results.json")
    for row in results["rows"]:
        row["name"] = f"other-{row['name']}"
    write_results(copied / "b", results)
    result = run_cli("compare", copied / "a", copied / "b")
    assert_bad_input(result, "knn-layer2-cls", "other-knn-layer6-cls", "choose two with --rows")


def test_what_was_not_computed_is_not_called_undefined(run_cli, copied, monkeypatch):
    monkeypatch.setattr(statistics, "RANKING_LIMIT", 1)
    options = ["compare", copied / "a", "--metric", "auroc,top5"]
    shown = run_cli(*options).stdout
    assert "no interval: more than" in shown
    assert shown.count("undefined") == 6 + 1  # of top5: each of four rows with each; and why
    assert shown.count("p not computed") == 6
    monkeypatch.undo()
    monkeypatch.setenv("COLUMNS", "200")
    one_group(copied / "a")
    shown = run_cli("compare", copied / "a", "--metric", "top1").stdout
    assert "no interval: all images are of one group" in shown
    assert "undefined" not in shown
