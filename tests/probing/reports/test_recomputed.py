"""Metrics recomputed from saved predictions, for all test images and by subgroup."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import confusion_matrix, recall_score, roc_auc_score

from conftest import assert_bad_input
from helpers.saved_runs import forget_manifest
from helpers.shown_results import plain_rows, report, results
from toolkit_common.runs.files import read_json
from toolkit_probing.reports.recomputed import subgroups


def test_metrics_are_recomputed_from_the_predictions(run_cli, runs):
    metrics = "auroc,sensitivity_at_80_specificity"
    result = run_cli("report", runs / "a", "--metric", metrics, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    results = read_json(runs / "a/results.json")
    rows = {row["name"]: row for row in [*results["rows"], *results["baselines"]]}
    assert [entry["name"] for entry in report["rows"]] == list(rows)
    for entry in report["rows"]:
        assert entry["metrics"]["auroc"] == rows[entry["name"]]["metrics"]["auroc"]
        assert 0 <= entry["metrics"]["sensitivity_at_80_specificity"]["mean"] <= 1


def test_baselines_that_runs_share_stand_once_and_others_as_they_are():
    made = report({f"runs/{name}": results(plain_rows()) for name in "abc"}, by="gender")
    shown = [(item.run.name, item.row.name, item.images) for item in made.shown_rows]
    baselines = [
        ("a", f"baseline-{name}", images)
        for name in ("missingness", "metadata")
        for images in ("all", "gender: FEMALE", "gender: MALE")
    ]
    assert len(made.rows) == 45
    assert len(shown) == 3 * 3 * 3 + 6
    assert shown[-6:] == baselines
    # One that differs, though in a subgroup alone, is kept of every run.
    changed = next(
        item for item in made.rows if item.row.name == "baseline-metadata" and item.value
    )
    changed.metrics["top1"] = made.rows[0].metrics["auroc"]
    other = replace(made)
    assert list(other.shared_baselines) == ["baseline-missingness"]
    assert [item.row.name for item in other.shown_rows].count("baseline-metadata") == 9


@pytest.mark.slow
def test_subgroups_are_those_of_the_column(run_cli, runs, monkeypatch):
    monkeypatch.setattr("toolkit_probing.reports.recomputed.MAX_VALUES", 4)
    options = ["--by", "site,age", "--metric", "auroc,macro_f1", "--json"]
    report = json.loads(run_cli("report", runs / "a", *options).stdout)
    mine = [entry for entry in report["rows"] if entry["name"] == "knn-layer6-cls"]
    whole, sites = mine[0], [entry for entry in mine if entry["column"] == "site"]
    table = pq.read_table(runs / "a/test_rows.parquet").to_pandas()
    values = table["site"].fillna("missing")
    assert [entry["value"] for entry in sites] == sorted(values.unique())
    predictions = pq.read_table(runs / "a/predictions/knn-layer6-cls.parquet").to_pandas()
    assert table["image_id"].tolist() == predictions["image_id"].tolist()
    assert [entry["num_images"] for entry in sites] == list(values.value_counts().sort_index())
    quarters = [entry for entry in mine if entry["column"] == "age"]
    assert 2 <= len(quarters) <= 4
    assert quarters[0]["value"].startswith(f"{table['age'].astype(int).min()} to below ")
    assert sum(entry["num_images"] for entry in quarters) == whole["num_images"]
    back = predictions[(table["site"] == "back").to_numpy()]
    scores = np.stack(back["probabilities"].to_numpy())[:, 1]
    figure = next(item for item in sites if item["value"] == "back")["metrics"]["auroc"]["mean"]
    if back["target"].nunique() == 2:
        assert figure == pytest.approx(roc_auc_score(back["target"], scores))
    else:
        assert figure is None


@pytest.mark.slow
def test_what_is_undefined_in_a_subgroup_is_reported(run_cli, copied):
    path = copied / "a/test_rows.parquet"
    frame = pq.read_table(path).to_pandas()
    frame["site"] = frame["label"]
    pq.write_table(pa.Table.from_pandas(frame), path)
    forget_manifest(copied / "a")
    metrics = ["--metric", "balanced_accuracy,auroc"]
    result = run_cli("report", copied / "a", "--by", "site", *metrics, "--json")
    entry = next(item for item in json.loads(result.stdout)["rows"] if item["value"] == "dark")
    nothing = {"mean": None, "sd": None, "ci": None, "values": [None] * 2}
    reason = {"resamples": 1000, "why_no_ci": "undefined", "pooled": None}
    assert entry["metrics"]["auroc"] == nothing | reason
    predictions = pq.read_table(copied / "a" / f"predictions/{entry['name']}.parquet").to_pandas()
    dark = predictions[predictions["target"] == 0]
    predicted = np.stack(dark["probabilities"].to_numpy()).argmax(1)
    seeds = [dark["seed"] == seed for seed in (0, 1)]
    expected = [recall_score(dark["target"][of], predicted[of], pos_label=0) for of in seeds]
    assert entry["metrics"]["balanced_accuracy"]["values"] == pytest.approx(expected)
    assert "undefined" in run_cli("report", copied / "a", "--by", "site", *metrics).stdout


@pytest.mark.slow
def test_the_confusion_is_counted_for_every_repeat_and_subgroup(run_cli, runs):
    options = ["--metric", "confusion,top1", "--by", "site"]
    result = run_cli("report", runs / "a", *options, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["metrics"] == ["top1"]
    mine = [entry for entry in report["rows"] if entry["name"] == "linear-layer6-cls"]
    table = pq.read_table(runs / "a/predictions/linear-layer6-cls.parquet").to_pandas()
    predicted = np.stack(table["probabilities"].to_numpy()).argmax(1)
    for seed, counts in enumerate(mine[0]["confusion"]):
        of = (table["seed"] == seed).to_numpy()
        assert (
            counts == confusion_matrix(table["target"][of], predicted[of], labels=[0, 1]).tolist()
        )
    assert len(mine[0]["confusion"]) == 2
    parts = [np.array(entry["confusion"]) for entry in mine[1:]]
    assert (sum(parts) == np.array(mine[0]["confusion"])).all()
    assert "confusion" not in json.loads(run_cli("report", runs / "a", "--json").stdout)["rows"][0]
    alone = run_cli("report", runs / "a", "--metric", "confusion")
    assert "true classes down" in alone.stdout
    assert "intervals" not in alone.stdout
    shown = run_cli("report", runs / "a", *options).stdout
    assert "confusion of linear \u00b7 layer 6: true classes down" in shown
    assert "confusion of linear \u00b7 layer 6, site: back" in shown


def test_a_column_that_is_not_there_is_answered_with_the_nearest(run_cli, runs):
    result = run_cli("report", runs / "a", "--by", "sight")
    assert_bad_input(result, "no column 'sight'", "'site'")


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (["b", None, "a"], ["a", "b", "missing"]),
        (["2", "10", "2"], ["2", "10"]),
        ([*map(str, range(12)), None], ["0 to below 2.75", "2.75 to below 5.5",
                                        "5.5 to below 8.25", "8.25 to 11", "missing"]),
    ],
)  # fmt: skip
def test_a_column_is_cut_by_value_or_into_quarters_and_every_row_is_somewhere(values, names):
    parts = dict(subgroups(pd.Series(values, dtype=object)))
    assert list(parts) == names
    assert (sum(mask.astype(int) for mask in parts.values()) == 1).all()
