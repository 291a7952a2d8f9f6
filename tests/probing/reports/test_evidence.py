"""Figures of predictions: what they hold, read from their specifications."""

from dataclasses import replace

import numpy as np
import pytest
from markupsafe import Markup
from sklearn.metrics import recall_score, roc_curve

from toolkit_common.pages import charts
from toolkit_common.scores.metrics import Predictions
from toolkit_probing.reports import evidence
from toolkit_probing.reports.entries import Entry, differences_of, entries_of
from toolkit_probing.reports.recomputed import build_report

METRICS = ("auroc", "balanced_accuracy", "log_loss")


@pytest.fixture
def items(runs) -> list[Entry]:
    every = entries_of(build_report([runs / "a"], metrics=METRICS))
    return [item for item in every if item.kind == "probe"]


@pytest.fixture
def drawn(monkeypatch) -> list[dict]:
    """The specifications of figures, instead of their pictures."""
    specs = []

    def keep(spec, **texts):
        specs.append({**spec, **texts})
        return Markup("<figure></figure>")

    monkeypatch.setattr(charts, "figure", keep)
    return specs


def test_a_forest_ranks_the_best_first_and_losses_the_other_way(items, drawn):
    for metric in ("auroc", "log_loss"):
        evidence.forest(items, metric)
    for spec, sign in zip(drawn, (-1, 1), strict=True):
        means = [row["mean"] for row in spec["data"]["values"]]
        assert means == sorted(means, key=lambda mean: sign * mean)
        assert len(means) == 4
    assert drawn[0]["layer"][0]["data"]["values"] == [{"at": 0.5}]  # chance
    assert "chance" in drawn[0]["caption"]
    assert "chance" not in drawn[1]["caption"]


def test_what_is_undefined_is_named_below_the_forest(items, drawn):
    gone = replace(items[0].metrics["auroc"], mean=None, ci=None)
    items[0] = replace(items[0], metrics={**items[0].metrics, "auroc": gone})
    evidence.forest(items, "auroc")
    assert "Undefined, so not drawn: linear \u00b7 layer 2." in drawn[0]["caption"]


@pytest.mark.slow
def test_the_matrix_holds_row_minus_column_and_stars_by_holm(items, drawn):
    differences = differences_of(items, "auroc")
    evidence.difference_matrix(differences, "auroc")
    for cell in drawn[0]["data"]["values"]:
        one, other = (next(item for item in items if item.name == cell[at]) for at in ("y", "x"))
        if one is other:
            assert cell["text"] == ""
            continue
        means = [item.value("auroc") for item in (one, other)]
        assert cell["value"] == pytest.approx(means[0] - means[1])
        i, j = items.index(one), items.index(other)
        assert cell["text"].endswith("*") == (differences.p_holm[i][j] < 0.05)
    assert "Holm over 6 pairs" in drawn[0]["caption"]
    assert "The first sentence is of fewer pairs" in drawn[0]["caption"]
    evidence.difference_matrix(differences_of(items[:2], "auroc"), "auroc")
    assert "The first sentence" not in drawn[1]["caption"]


def test_the_front_holds_what_no_smaller_head_reaches(items, drawn):
    def sized(item: Entry, size: int, mean: float) -> Entry:
        metric = replace(item.metrics["auroc"], mean=mean)
        return replace(
            item,
            saved=replace(item.saved, row=replace(item.row, num_parameters=size)),
            metrics={"auroc": metric},
        )

    values = [(100, 0.8), (10, 0.6), (50, 0.5), (1000, 0.7)]
    sizes = [sized(item, *value) for item, value in zip(items, values, strict=True)]
    assert evidence.pareto(sizes, "auroc")
    front = drawn[0]["layer"][0]["data"]["values"]
    assert front == [{"x": 10, "y": 0.6}, {"x": 100, "y": 0.8}]
    assert evidence.pareto(sizes[:1], "auroc") is None


def test_names_of_points_on_each_other_are_one_text():
    ci = (0.4, 0.6)
    points = [(10, 0.5, "a", ci), (10, 0.5, "b", None), (10, 0.9, "c", ci), (99, 0.5, "d", ci)]
    rows = evidence._joined(points)
    assert [row["name"] for row in rows] == ["a, b", "", "c", "d"]
    assert [(row["low"], row["high"]) for row in rows] == [ci, (None, None), ci, ci]


def test_roc_curves_are_scikit_learns(items, drawn):
    assert len(list(evidence.roc_and_pr(items, ["dark", "light"]))) == 2
    part = items[0].saved.predictions[0]
    x, y, _ = roc_curve(part.targets == 1, part.probabilities[:, 1])
    mine = [row for row in drawn[0]["data"]["values"] if row["name"] == items[0].name]
    assert [(row["x"], row["y"]) for row in mine] == list(zip(x, y, strict=True))


def test_reliability_is_accuracy_over_confidence(items, drawn):
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    part = Predictions(probabilities, np.array([0, 1, 1]))
    item = replace(items[0], saved=replace(items[0].saved, predictions=[part]))
    assert len(list(evidence.calibration([item]))) == 1
    points = [(row["x"], row["y"]) for row in drawn[0]["data"]["values"]]
    assert points == [(0.6, 0.0), (0.8, 1.0), (0.9, 1.0)]


def test_confusions_and_recalls_are_of_each_true_class(items, drawn):
    classes = ["dark", "light"]
    assert len(list(evidence.confusions(items, classes))) == 4
    item = items[0]
    shares = {(c["y"], c["x"]): c["value"] for c in drawn[0]["data"]["values"]}
    part = item.saved.predictions[0]
    mean = np.mean(
        [recall_score(p.targets, p.predicted, average=None) for p in item.saved.predictions], axis=0
    )
    assert [shares[name, name] for name in classes] == pytest.approx(mean)
    evidence.recalls(items, classes)
    mine = [row for row in drawn[-1]["data"]["values"] if row["name"] == item.name]
    assert [row["mean"] for row in mine] == pytest.approx(mean)
    counts = np.bincount(part.targets)
    assert [row["group"] for row in mine] == [f"dark ({counts[0]})", f"light ({counts[1]})"]


def test_rows_without_finite_probabilities_have_no_curves(items, drawn):
    parts = [replace(p, probabilities=p.probabilities * np.nan) for p in items[0].saved.predictions]
    lost = [replace(items[0], saved=replace(items[0].saved, predictions=parts))]
    assert list(evidence.roc_and_pr(lost, ["a", "b"])) == list(evidence.calibration(lost)) == []
    assert list(evidence.confusions(lost, ["a", "b"])) == []
    assert evidence.recalls(lost, ["a", "b"]) is None
    assert drawn == []
