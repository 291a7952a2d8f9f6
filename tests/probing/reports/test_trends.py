"""Figures of what varies: subgroups, layers, epochs."""

import json
import re

import pytest
from markupsafe import Markup

from helpers.saved_runs import forget_manifest
from toolkit_common.errors import InputError
from toolkit_common.pages import charts
from toolkit_probing.reports import trends
from toolkit_probing.reports.entries import entries_of
from toolkit_probing.reports.recomputed import build_report


@pytest.fixture
def drawn(monkeypatch) -> list[dict]:
    """The specifications of figures, instead of their pictures."""
    specs = []

    def keep(spec, **texts):
        specs.append({**spec, **texts})
        return Markup("<figure></figure>")

    monkeypatch.setattr(charts, "figure", keep)
    return specs


def test_subgroups_are_rows_of_dots_with_their_images(runs, drawn):
    report = build_report([runs / "b"], metrics=["auroc", "top1"], by=["site"])
    assert len(list(trends.subgroups(report, entries_of(report), "top1"))) == 1
    rows = drawn[0]["data"]["values"]
    assert {"linear", "knn"} < {row["name"] for row in rows}
    wanted = [item for item in report.rows if item.row.method == "linear"]
    means = [row["mean"] for row in rows if row["name"] == "linear"]
    assert means == [item.metrics["top1"].mean for item in wanted]
    assert rows[0]["group"] == f"all ({wanted[0].num_images})"


def test_subgroups_without_a_class_are_shown_by_a_metric_that_they_have(runs, drawn):
    report = build_report([runs / "b"], metrics=["auroc", "top1"], by=["age"])
    assert trends._mostly_defined(report, "auroc") == "top1"
    report = build_report([runs / "b"], metrics=["auroc", "top1"], by=["site"])
    assert trends._mostly_defined(report, "auroc") == "auroc"


def test_curves_over_layers_are_those_of_the_report(runs, drawn):
    report = build_report([runs / "a"], metrics=["sensitivity_at_80_specificity"])
    figures = list(trends.curves(report, report.runs[0], "sensitivity_at_80_specificity"))
    assert [spec["title"] for spec in drawn] == ["linear", "knn"]
    assert len(figures) == 2
    mine = {item.row.layer: item for item in report.rows if item.row.method == "knn"}
    points = [(row["x"], row["y"]) for row in drawn[1]["data"]["values"]]
    metric = "sensitivity_at_80_specificity"
    assert points == [(layer, mine[layer].metrics[metric].mean) for layer in (2, 6)]


def test_learning_curves_are_means_over_seeds_a_line_a_learning_rate(runs, drawn):
    report = build_report([runs / "a"], metrics=["top1"])
    list(trends.learning(report.runs[0], entries_of(report)))
    assert [spec["title"] for spec in drawn] == ["linear \u00b7 layer 2", "linear \u00b7 layer 6"]
    assert drawn[0]["layer"][0]["encoding"]["y"]["title"] == "log-loss on val"
    log = (runs / "a/metrics.jsonl").read_text().splitlines()
    last = json.loads(log[-1])
    heads = [last["val_log_loss"][f"linear-layer2-cls-lr0p03-seed{seed}"] for seed in (0, 1)]
    (row,) = [
        row
        for row in drawn[0]["data"]["values"]
        if row["name"] == "0.03" and row["x"] == last["epoch"]
    ]
    assert row["y"] == pytest.approx(sum(heads) / 2)
    assert drawn[0]["caption"].startswith("Picked: learning rate ")


def test_a_run_without_a_log_has_no_learning_curves(copied, drawn):
    (copied / "b/metrics.jsonl").unlink()
    report = build_report([copied / "b"], metrics=["top1"])
    assert list(trends.learning(report.runs[0], entries_of(report))) == []


def test_spoilt_lines_of_a_log_are_left_out_of_learning_curves(copied, drawn):
    report = build_report([copied / "a"], metrics=["top1"])
    list(trends.learning(report.runs[0], entries_of(report)))
    whole = [spec["data"] for spec in drawn]
    drawn.clear()
    path = copied / "a/metrics.jsonl"
    lines = path.read_text().splitlines()
    spoilt = ['{"step": 1}', lines[0].replace('"part"', '"pbrt"'), lines[0].replace("-lr", "-lrx"),
              re.sub(r'"epoch": \d+', '"epoch": "x"', lines[0]), lines[0][:40]]  # fmt: skip
    path.write_text("\n".join([*spoilt, *lines, *spoilt]))
    with pytest.raises(InputError, match=f"{path} is not as the run wrote it"):
        list(trends.learning(report.runs[0], entries_of(report)))
    forget_manifest(copied / "a")
    list(trends.learning(report.runs[0], entries_of(report)))
    assert [spec["data"] for spec in drawn] == whole
    assert drawn[0]["layer"][0]["encoding"]["y"]["title"] == "log-loss on val"


def test_the_worst_losses_leave_the_panel_and_accuracies_do_not():
    values = [1.0, 1.1, 1.2, 60.0]
    assert trends._scale(values, "log_loss")["domain"][1] < 20
    assert trends._scale(values, "top1")["domain"][1] > 60
    assert trends._scale([0.5], "top1")["domain"] == [0.45, 0.55]
