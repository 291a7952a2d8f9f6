"""Methods of vectors: settings are tried, and one is picked for all draws."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from helpers.probe_problem import RecordedSource, make_problem
from helpers.waiting import counting
from toolkit_probing.methods.vectors import pick_setting, read_vectors


@pytest.mark.slow
def test_several_settings_of_knn_and_logreg_are_tried_and_recorded(probe):
    options = ["--set", "knn.k=1,3", "--set", "knn.temperature=0.1,plain",
               "--set", "logreg.c=0.1,1", "--json"]  # fmt: skip
    knn, logreg = json.loads(probe("--method", "knn,logreg", *options).stdout)["rows"]
    tried = [(item["k"], item["temperature"]) for item in knn["grid"]]
    assert tried == [(1, 0.1), (1, "plain"), (3, 0.1), (3, "plain")]
    assert knn["picked"] == "k and temperature by balanced_accuracy"
    assert knn["settings"] == {name: knn["grid"][0][name] for name in ("k", "temperature")}
    assert [item["C"] for item in logreg["grid"]] == [0.1, 1.0]
    assert logreg["picked"] == "C by log_loss"
    assert logreg["num_parameters"] == 64 + 1


@pytest.mark.slow
def test_few_labels_are_drawn_several_times_and_named_apart(probe, tmp_path):
    options = ["--shots", "1,3", "--label-fraction", "0.5,1", "--draws", "2", "--num-seeds", "2"]
    # Fitted classifiers have no seed.
    options += ["--classifier", "trained"]
    result = probe("--method", "linear,knn,logreg", *options, "--json")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["rows"]
    labels = ["1 shot", "3 shots", "50 % of labels", "all labels"]
    assert [row["labels"] for row in rows] == labels * 3
    assert [row["num_train"] for row in rows[:2]] == [[2, 2], [6, 6]]
    few, whole = rows[0], rows[3]
    assert (few["seeds"], few["draws"]) == ([0, 1, 0, 1], [0, 0, 1, 1])
    assert (whole["seeds"], whole["draws"]) == ([0, 1], [0, 0])
    assert few["metrics"]["top1"]["sd"] is not None
    table = pq.read_table(tmp_path / "run" / few["predictions"])
    assert set(zip(table["draw"].to_pylist(), table["seed"].to_pylist(), strict=True)) == {
        (0, 0), (0, 1), (1, 0), (1, 1),
    }  # fmt: skip
    names = {path.stem for path in (tmp_path / "run/heads").iterdir()}
    assert sum("-3shot-draw1" in name for name in names if name.startswith("linear")) == 2
    assert "50 % of labels" in result.stderr


def test_a_setting_is_picked_by_its_mean_over_draws_and_the_first_wins_a_tie():
    targets = np.array([0, 1])
    sure, wrong = np.eye(2), np.eye(2)[::-1]
    first = {("a",): sure, ("b",): wrong, ("c",): sure}
    draws = [first, {**first, ("a",): wrong}]
    best, scores = pick_setting(draws, targets, "top1")
    assert best == ("c",)
    assert scores == {("a",): 0.5, ("b",): 0.0, ("c",): 1.0}
    tied, _ = pick_setting(draws[:1], targets, "top1")
    assert tied == ("a",)


def test_less_of_a_loss_is_better_and_what_is_undefined_is_worst():
    targets = np.array([0, 1])
    low, high = np.array([[0.9, 0.1], [0.1, 0.9]]), np.full((2, 2), 0.5)
    best, scores = pick_setting([{("high",): high, ("low",): low}], targets, "log_loss")
    assert best == ("low",)
    assert scores[("low",)] == pytest.approx(np.log(0.9))
    undefined = {("nan",): np.full((2, 2), np.nan), ("high",): high}
    best, scores = pick_setting([undefined], targets, "log_loss")
    assert (best, scores[("nan",)]) == (("high",), -np.inf)


def test_vectors_of_all_places_come_from_one_pass_that_reads_no_tokens():
    store, _ = make_problem()
    source, rows = RecordedSource(store), np.array([7, 0, 39])
    read = read_vectors(source, rows, [(1, "mean"), (1, "cls")])
    assert source.read_patches == [False]
    (features,) = store.iterate([rows])
    assert all(values.equal(features[1].vectors[name]) for (_, name), values in read.items())
    assert list(read) == [(1, "mean"), (1, "cls")]


def test_vectors_come_to_the_cpu_once_a_place():
    """An encoder that runs online on a GPU gives them there, and what reads them is numpy."""
    store, _ = make_problem()
    with counting() as (waits, _):
        read_vectors(store, np.arange(9), [(1, "mean"), (1, "cls")])
    assert waits["cpu"] == 2
