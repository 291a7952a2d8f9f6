"""Figures of what was predicted: each returns what stands in a page, or None or nothing.

Shapes: n test images, c classes.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from toolkit_common.pages import charts
from toolkit_common.pages.rank_charts import scatter
from toolkit_common.printable import counted
from toolkit_common.scores.metrics import (
    CALIBRATION_BINS,
    LOWER_IS_BETTER,
    Predictions,
    calibration_bins,
    confusion_matrix,
    metric_name,
)
from toolkit_common.scores.statistics import NUM_RESAMPLES
from toolkit_probing.reports.entries import NO_IMAGE, Differences, Entry
from toolkit_probing.results.retrieved import heading_of

MOST_PANELS = 6  # of small multiples; the table and the files hold the rest
MOST_CLASSES = 12
MOST_CELLS = 12  # rows of the matrix of differences
STEPS = 60  # points of a drawn ROC or PR curve
ALPHA = 0.05
ZERO_TO_ONE = {"domain": [0, 1]}

Point = tuple[int, float, str, tuple[float, float] | None]  # parameters, metric, name, interval


def forest(entries: Sequence[Entry], metric: str) -> Markup:
    """Return all rows with intervals, best first."""
    rows = []
    for item in ranked(entries, metric):
        low, high = item.metrics[metric].ci or (None, None)
        mean = item.value(metric)
        rows.append({"name": item.name, "kind": item.kind, "mean": mean, "low": low, "high": high})
    chance = chance_of(metric, entries[0].saved.predictions[0].num_classes)
    undefined = [item.name for item in entries if item.value(metric) is None]
    caption = "Points: on all test images; lines: 95 % intervals by bootstrap over groups"
    caption += "; dashed: chance." if chance is not None else "."
    if undefined:
        caption += f" Undefined, so not drawn: {', '.join(undefined)}."
    text = ", ".join(f"{row['name']} {row['mean']:.3f}" for row in rows)
    spec = charts.forest(rows, metric=metric_name(metric), reference=chance)
    return charts.figure(
        spec, label=f"{metric_name(metric)} of every method: {text}", caption=caption
    )


def retrieval(entries: Sequence[Entry]) -> Iterator[Markup]:
    """Yield how well test images find training images of their label, where it was measured."""
    found = [(item.name, item.row.retrieval) for item in entries if item.row.retrieval]
    if not found:
        return
    rows = []
    for name, each in found:
        for metric, estimate in each.metrics.items():
            low, high = estimate.ci or (None, None)
            if estimate.mean is not None:
                rows.append({"group": heading_of(metric), "name": name, "mean": estimate.mean,
                             "low": low, "high": high})  # fmt: skip
    labels = "; ".join(
        f"{name}: {', '.join(_average(*item) for item in each.average_precision.items())}"
        for name, each in found
    )
    yield charts.figure(
        charts.dots(rows, x="mean over labels"),
        label="Retrieval of training images of the same label",
        caption="Test images search training images by cosine. mAP of each label: "
        f"{labels}. Chance is the label's share of the training images.",
    )


def _average(label: str, value: float | None) -> str:
    return f"{label} {'undefined' if value is None else f'{value:.2f}'}"


def chance_of(metric: str, num_classes: int) -> float | None:
    """Return what a guess reaches, where that is one number."""
    known = {"auroc": 0.5, "balanced_accuracy": 1.0 / num_classes}
    return known.get(metric)


def difference_matrix(differences: Differences, metric: str) -> Markup:
    """Return how far each row lies above each column."""
    cells, widest = [], 0.01
    shown = differences.entries[:MOST_CELLS]
    for i, one in enumerate(shown):
        for j, other in enumerate(shown):
            value, p = differences.values[i][j].difference, differences.p_holm[i][j]
            cell = {"x": other.name, "y": one.name, "value": 0.0, "text": ""}
            if i != j and value is not None:
                widest = max(widest, abs(value))
                star = "*" if p is not None and p < ALPHA else ""
                cell |= {"value": value, "text": f"{value:+.2f}{star}"}
            cells.append(cell)
    spec = charts.matrix(cells, x="", y="", limits=(-widest, widest), diverging=True)
    count = len(differences.entries)
    pairs = count * (count - 1) // 2
    caption = (
        f"Row minus column, {metric_name(metric)}, on the same test images; * p < 0.05 after Holm "
        f"over {counted(pairs, 'pair')} (paired bootstrap over groups)."
    )
    if pairs > 1:
        caption += " The first sentence is of fewer pairs: it may be sure where no star stands."
    if pairs * 2 / (NUM_RESAMPLES + 1) >= ALPHA:
        caption += f" Of so many pairs, {NUM_RESAMPLES} resamples can show hardly any to differ."
    if count > MOST_CELLS:
        caption += f" The first {MOST_CELLS} of {count}."
    label = f"Paired differences in {metric_name(metric)} of every two methods"
    return charts.figure(spec, label=label, caption=caption)


def pareto(entries: Sequence[Entry], metric: str) -> Markup | None:
    """Return the metric over trained parameters, with the front that nothing beats."""
    points = [
        (item.row.num_parameters, float(mean), item.name, item.metrics[metric].ci)
        for item in entries
        if item.kind == "probe"
        and item.row.num_parameters
        and (mean := item.value(metric)) is not None
    ]
    if len(points) < 2:
        return None
    sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
    front: list[tuple[int, float]] = []
    for x, y, *_ in sorted(points, key=lambda point: (point[0], -sign * point[1])):
        if not front or sign * y > sign * front[-1][1]:
            front.append((x, y))
    spec = scatter(
        _joined(points),
        x="trained parameters",
        y=metric_name(metric),
        front=[{"x": x, "y": y} for x, y in front],
    )
    line = (
        "The line joins what no smaller head reaches (the Pareto front of these figures, not of "
        "what can be told from chance)."
        if len(front) > 1
        else "No head reaches more than the smallest one (of these figures, not of what can be "
        "told from chance)."
    )
    return charts.figure(
        spec,
        label=f"{metric_name(metric)} against trained parameters",
        caption=f"{line} Upright lines: 95 % intervals.",
    )


def _joined(points: Sequence[Point]) -> list[dict[str, Any]]:
    """Return points with their names, of those that lie on each other in one text."""
    ys = [end for _, y, _, ci in points for end in (y, *(ci or ()))]
    near = (max(ys) - min(ys)) / 20
    rows: list[dict[str, Any]] = []
    for x, y, name, ci in sorted(points, key=lambda point: point[:2]):
        beside = [row for row in rows if x < 1.3 * row["x"] and abs(y - row["y"]) < near]
        if beside:
            beside[0]["name"] += f", {name}"
        low, high = ci or (None, None)
        rows.append({"x": x, "y": y, "low": low, "high": high, "name": "" if beside else name})
    return rows


def roc_and_pr(entries: Sequence[Entry], classes: Sequence[str]) -> Iterator[Markup]:
    """Yield ROC and precision-recall curves: of two classes, or of each class against the rest."""
    panels = [1] if len(classes) == 2 else range(min(len(classes), MOST_PANELS))
    for kind, x, y in (("ROC", "false positives", "true positives"), ("PR", "recall", "precision")):
        for number in panels:
            rows = [
                {"name": item.name, "x": float(at), "y": float(value)}
                for item in _finite(entries)[:MOST_PANELS]
                for at, value in _curve(item.saved.predictions[0], number, kind)
            ]
            if not rows:  # the test split has none of the class
                continue
            spec = charts.lines(
                rows,
                x={"title": x, "scale": ZERO_TO_ONE},
                y={"title": y, "scale": ZERO_TO_ONE},
                title=f"{kind}: {classes[number]}",
                diagonal=kind == "ROC",
            )
            caption = (
                "All folds' predictions together." if entries[0].saved.folds is not None else ""
            )
            label = f"{kind} curves of {classes[number]}"
            yield charts.figure(spec, label=label, caption=caption)


def calibration(entries: Sequence[Entry]) -> Iterator[Markup]:
    """Yield a reliability panel a method: accuracy over confidence, in the bins of the metric."""
    for item in _finite(entries)[:MOST_PANELS]:
        parts = item.saved.predictions
        confidence = np.concatenate([part.probabilities.max(1) for part in parts])
        hit = np.concatenate([part.predicted == part.targets for part in parts])
        bins = calibration_bins(confidence)
        rows = [
            {
                "name": item.name,
                "x": float(confidence[bins == at].mean()),
                "y": float(hit[bins == at].mean()),
            }
            for at in range(CALIBRATION_BINS)
            if (bins == at).any()
        ]
        spec = charts.lines(
            rows,
            x={"title": "confidence", "scale": ZERO_TO_ONE},
            y={"title": "accuracy", "scale": ZERO_TO_ONE},
            title=item.name,
            hue=None,
            diagonal=True,
            points=True,
        )
        yield charts.figure(spec, label=f"Reliability of {item.name}")


def confusions(entries: Sequence[Entry], classes: Sequence[str]) -> Iterator[Markup]:
    """Yield a confusion matrix a method: counts, coloured by shares of the true class."""
    if len(classes) > MOST_CLASSES:
        return
    for item in _finite(entries)[:MOST_PANELS]:
        counts = mean_confusion(item)
        totals = counts.sum(axis=1, keepdims=True)
        # A class without test images: 0 / 0.
        shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
        cells = [
            {
                "x": str(predicted), "y": str(true), "value": float(shares[i, j]),
                "text": f"{counts[i, j]:.3g}",
            }
            for i, true in enumerate(classes)
            for j, predicted in enumerate(classes)
        ]  # fmt: skip
        spec = charts.matrix(cells, x="predicted", y="true", limits=(0, 1))
        yield charts.figure(spec | {"title": item.name}, label=f"Confusion of {item.name}")


def recalls(entries: Sequence[Entry], classes: Sequence[str]) -> Markup | None:
    """Return the recall of each class by method."""
    rows = []
    for item in _finite(entries)[:MOST_PANELS]:
        counts = mean_confusion(item)
        for at, name in enumerate(classes[: 2 * MOST_CLASSES]):
            if total := counts[at].sum():
                group, recall = f"{name} ({total:.0f})", float(counts[at, at] / total)
                rows.append(
                    {"group": group, "name": item.name, "mean": recall, "low": None, "high": None}
                )
    if not rows:
        return None
    label, caption = "Recall of each class by method", "In brackets: test images."
    return charts.figure(
        charts.dots(rows, x="recall", domain=(0.0, 1.0)), label=label, caption=caption
    )


def mean_confusion(item: Entry) -> np.ndarray:
    """Return counts `(c, c)` of true and predicted classes, the mean over repeats."""
    counts = [confusion_matrix(part) for part in item.saved.predictions]
    return np.asarray(np.mean(counts, axis=0), dtype=float)


def ranked(entries: Sequence[Entry], metric: str) -> list[Entry]:
    """Return the rows by a metric, best first, without those that have none."""
    sign = 1.0 if metric in LOWER_IS_BETTER else -1.0
    known = [item for item in entries if item.value(metric) is not None]
    return sorted(known, key=lambda item: sign * (item.value(metric) or 0.0))


def how_many(entries: Sequence[Entry]) -> str:
    """Return how many rows small multiples show, nothing where these are all."""
    count = len(_finite(entries))
    return f": {MOST_PANELS} of {count} rows" if count > MOST_PANELS else ""


def _finite(entries: Sequence[Entry]) -> list[Entry]:
    return [
        item
        for item in entries
        if item.kind != NO_IMAGE and all(part.is_finite for part in item.saved.predictions)
    ]


def _curve(part: Predictions, number: int, kind: str) -> Iterator[tuple[float, float]]:
    from sklearn.metrics import precision_recall_curve, roc_curve

    positive = part.targets == number
    if not positive.any() or positive.all():
        return
    score = part.probabilities[:, number]
    if kind == "ROC":
        x, y, _ = roc_curve(positive, score)
    else:
        y, x, _ = precision_recall_curve(positive, score)
    at = np.unique(np.linspace(0, len(x) - 1, STEPS).astype(int))
    yield from zip(x[at], y[at], strict=True)
