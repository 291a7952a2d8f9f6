"""Pictures of results: curves over layers and labels, reliability, confusion.

Drawn on figures of their own, without pyplot's global state, so that they need no display.
"""

import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from toolkit_common.scores.metrics import (
    CALIBRATION_BINS,
    Predictions,
    calibration_bins,
    confusion_matrix,
)
from toolkit_common.scores.statistics import Estimate

MAX_NAMED_CLASSES, MAX_COUNTED_CLASSES = 30, 12
MAX_COLUMNS = 4
AXES = {"layer": "layer", "num_train": "training images"}

Points = Sequence[tuple[float, Estimate]]  # where on the axis, and the metric there


def draw_curves(curves: Mapping[str, Points], axis: str, metric: str) -> Figure:
    """Draw a metric along an axis: a panel a method, a line a curve, 95 % intervals as bands."""
    methods = list(dict.fromkeys(name.partition("-")[0] for name in curves))
    columns = min(len(methods), MAX_COLUMNS)
    rows = -(-len(methods) // columns)
    figure = Figure(figsize=(0.5 + 3.6 * columns, 0.5 + 3.4 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flatten()
    for panel in panels[len(methods) :]:
        panel.set_visible(False)
    for method, panel in zip(methods, panels, strict=False):
        for name, points in curves.items():
            if name.partition("-")[0] == method:
                _draw_curve(panel, name.removeprefix(f"{method}-"), points)
        panel.set(title=method, xlabel=AXES[axis])
        panel.grid(alpha=0.3)
        panel.legend(fontsize="x-small")
    ticks = sorted({at for points in curves.values() for at, _ in points})
    # Shots and shares grow by factors, not by steps.
    if axis == "num_train":
        panels[0].set_xscale("log")
    panels[0].set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    # A logarithmic axis would label values between, at which nothing was measured.
    panels[0].minorticks_off()
    figure.supylabel(metric.replace("_", " "))
    return figure


def _draw_curve(axes: Axes, name: str, points: Points) -> None:
    # Undefined ones leave a gap, not a 0.
    known = [(at, estimate.mean) for at, estimate in points if estimate.mean is not None]
    xs, means = [at for at, _ in known], [mean for _, mean in known]
    (line,) = axes.plot(xs, means, marker="o", label=name)
    bands = [(at, *estimate.ci) for at, estimate in points if estimate.ci]
    if bands:
        axes.fill_between(*np.transpose(bands), color=line.get_color(), alpha=0.15, lw=0)


def draw_reliability(runs: Sequence[Predictions], title: str) -> Figure:
    """Draw accuracy over confidence in bins, and how many rows are in each, over all repeats."""
    confidence = np.concatenate([run.probabilities.max(axis=1) for run in runs])
    hit = np.concatenate([run.predicted == run.targets for run in runs])
    bins = calibration_bins(confidence)
    counts = np.bincount(bins, minlength=CALIBRATION_BINS)
    used = counts > 0
    # Empty bins have no accuracy.
    accuracy = np.bincount(bins, hit, CALIBRATION_BINS)[used] / counts[used]
    middle = (np.arange(CALIBRATION_BINS) + 0.5) / CALIBRATION_BINS
    figure = Figure(figsize=(4.2, 4.6), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    top.plot([0, 1], [0, 1], color="grey", lw=1, ls="--")
    top.bar(middle[used], accuracy, width=1 / CALIBRATION_BINS, alpha=0.8, edgecolor="white")
    top.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy", title=title)
    bottom.bar(middle, counts / counts.sum(), width=1 / CALIBRATION_BINS, edgecolor="white")
    bottom.set(xlabel="confidence", ylabel="share of images")
    return figure


def draw_confusion(runs: Sequence[Predictions], classes: Sequence[str], title: str) -> Figure:
    """Draw the confusion matrix as shares of each true class; counts are means over repeats."""
    counts = np.mean([confusion_matrix(run) for run in runs], axis=0)
    totals = counts.sum(axis=1, keepdims=True)
    # A class without test images: 0 / 0.
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    side = 3.6 + 0.3 * min(len(classes), MAX_NAMED_CLASSES)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, shrink=0.7, label="share of the true class")
    if len(classes) <= MAX_NAMED_CLASSES:
        axes.set_xticks(range(len(classes)), classes, rotation=90)
        axes.set_yticks(range(len(classes)), classes)
    if len(classes) <= MAX_COUNTED_CLASSES:
        for (row, column), count in np.ndenumerate(counts):
            color = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{count:.3g}", ha="center", va="center", color=color)
    axes.set(xlabel="predicted", ylabel="true", title=title)
    return figure


def to_png(figure: Figure) -> bytes:
    """Return a figure as the bytes of a PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
