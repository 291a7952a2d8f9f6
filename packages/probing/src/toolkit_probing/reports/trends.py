"""Figures of what varies: subgroups, layers, amounts of labels, epochs."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from markupsafe import Markup

from toolkit_common.pages import charts
from toolkit_common.runs.files import METRICS_LOG, read_log
from toolkit_common.runs.manifest import refuse_changed
from toolkit_common.scores.metrics import LOWER_IS_BETTER, metric_name
from toolkit_probing.reports.curves import AXES, curves_of
from toolkit_probing.reports.entries import Entry
from toolkit_probing.reports.recomputed import Report
from toolkit_probing.results.saved import SavedRun

MOST_PANELS = 6
MOST_DOTS = 8  # names a group of a dot plot
HEAD = re.compile(r"(?P<variant>.+)-lr(?P<lr>\d+(p\d+)?(e-?\d+)?)-seed\d+$")
PICTURED = 0.75  # of the values of a loss
SPARE = ("balanced_accuracy", "top1")  # defined where a class has no image


def subgroups(report: Report, entries: Sequence[Entry], metric: str) -> Iterator[Markup]:
    """Yield a dot plot a column, a row a value."""
    names = {(item.saved.run, item.row.name): item.name for item in entries[:MOST_DOTS]}
    metric = _mostly_defined(report, metric)
    for column in report.by:
        rows = []
        for item in report.rows:
            name, estimate = names.get((item.run, item.row.name)), item.metrics[metric]
            if name is None or item.column not in (None, column) or estimate.mean is None:
                continue
            low, high = estimate.ci or (None, None)
            group = "all" if item.column is None else str(item.value)
            group = f"{group} ({item.num_images})"
            rows.append(
                {"group": group, "name": name, "mean": estimate.mean, "low": low, "high": high}
            )
        spec = charts.dots(rows, x=metric_name(metric)) | {"title": column}
        yield charts.figure(
            spec,
            label=f"{metric_name(metric)} by {column}",
            caption="In brackets: test images; what is undefined is not drawn. Many subgroups are "
            "compared: some differ by chance.",
        )


def _mostly_defined(report: Report, metric: str) -> str:
    """Return a metric that most subgroups have: those without a class have no AUROC."""
    parts = [item for item in report.rows if item.column is not None]
    for name in (metric, *SPARE):
        known = [item.metrics[name].mean is not None for item in parts if name in item.metrics]
        if sum(known) > len(known) / 2:
            return name
    return metric


def curves(report: Report, run: SavedRun, metric: str) -> Iterator[Markup]:
    """Yield curves over layers, labels and hidden metadata, where a run has them: a panel a method.

    Of hidden metadata with the baselines, which are hidden as much.
    """
    rows = [
        replace(item.row, metrics=item.metrics)  # as recomputed
        for item in report.rows
        if item.run == run.path and item.column is None
    ]
    for axis in AXES:
        panels: dict[str, list[dict[str, Any]]] = {}
        for name, points in curves_of(rows, axis, metric).items():
            method, _, rest = name.partition("-")
            panels.setdefault(method, []).extend(
                {
                    "name": rest or method, "x": at, "y": estimate.mean,
                    "low": estimate.ci[0] if estimate.ci else None,
                    "high": estimate.ci[1] if estimate.ci else None,
                }
                for at, estimate in points
                if estimate.mean is not None
            )  # fmt: skip
        ticks = sorted({row["x"] for panel in panels.values() for row in panel})
        form = ".0%" if axis == "hidden_metadata" else "d"
        across: charts.Spec = {"title": AXES[axis], "axis": {"values": ticks, "format": form}}
        if axis == "num_train":
            across["scale"] = {"type": "log"}  # shots and shares grow by factors
        for method, drawn in panels.items():
            spec = charts.lines(
                drawn, x=across, y={"title": metric_name(metric)}, title=method, points=True
            )
            yield charts.figure(
                spec,
                label=f"{metric_name(metric)} of {method} by {AXES[axis]}",
                caption="Bands: 95 % intervals.",
            )


def learning(run: SavedRun, entries: Sequence[Entry]) -> Iterator[Markup]:
    """Yield what heads scored on the selection split, epoch by epoch: a panel a row.

    Of all folds nothing: the run of each has its own.
    """
    if run.folds:
        return
    metric, scores = _logged(run)
    mine = [item for item in entries if item.saved.run == run.path]
    drawn = [item for item in mine if item.row.name in scores][:MOST_PANELS]
    for item in drawn:
        rates = scores[item.row.name]
        points = [
            (f"{lr:g}", epoch, float(np.mean(values)))
            for lr in sorted(rates)
            for epoch, values in sorted(rates[lr].items())
        ]
        spec = charts.lines(
            [{"name": name, "x": x, "y": y} for name, x, y in points],
            x=charts.whole_numbers("epoch", [epoch for _, epoch, _ in points]),
            y={
                "title": f"{metric_name(metric)} on {item.row.selected.split()[-1]}",
                "scale": _scale([y for _, _, y in points], metric),
            },
            title=item.name,
            hue="learning rate",
        )
        settings = item.row.settings
        picked = f"learning rate {settings['lr']:g}, " if "lr" in settings else ""
        caption = f"Picked: {picked}epoch {_listed(settings['epoch'])}."
        if metric in LOWER_IS_BETTER:
            caption += " The worst quarter may leave the panel."
        yield charts.figure(spec, label=f"Learning curves of {item.name}", caption=caption)


def _scale(values: Sequence[float], metric: str) -> charts.Spec:
    """Return a scale on which the better epochs can be told apart: losses have no upper bound."""
    low, high = min(values), max(values)
    if metric in LOWER_IS_BETTER:
        high = float(np.quantile(values, PICTURED))
    pad = 0.05 * (high - low) or 0.05
    return {"domain": [low - pad, high + pad], "nice": False}


Scores = dict[str, dict[float, dict[int, list[float]]]]  # variant, learning rate, epoch, repeats


def _logged(run: SavedRun) -> tuple[str, Scores]:
    """Return by which metric heads were followed, and what they scored with all labels."""
    scores: Scores = {}
    metric = ""
    refuse_changed(run.path, METRICS_LOG)
    for line in read_log(run.path):
        key = next((name for name in line if name.startswith(("val_", "test_"))), "")
        scored, epoch = line.get(key), line.get("epoch")
        if not isinstance(scored, dict) or not isinstance(epoch, int):  # what is spoilt: no line
            continue
        if not str(line.get("part")).startswith("all-"):
            continue
        metric = key.partition("_")[2]
        for head, value in scored.items():
            parts = HEAD.match(head)
            if parts is None or not isinstance(value, int | float):
                continue
            lr = float(parts["lr"].replace("p", "."))
            epochs = scores.setdefault(parts["variant"], {}).setdefault(lr, {})
            epochs.setdefault(epoch, []).append(value)
    return metric, scores


def _listed(value: Any) -> str:
    return "/".join(map(str, value)) if isinstance(value, list) else str(value)
