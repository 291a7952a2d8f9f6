"""Curves of results over layers, labels and hidden metadata, and their files in the run folder."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from toolkit_common.console import console
from toolkit_common.extras import is_installed
from toolkit_common.runs.files import atomic_path, write_text
from toolkit_common.scores.statistics import Estimate
from toolkit_common.seen.check import mark
from toolkit_probing.results.rows import Row
from toolkit_probing.task.subsets import ALL

AXES = {
    "layer": "layer",
    "num_train": "training images",
    "hidden_metadata": "share of the metadata hidden at test",
}

Point = tuple[float, Estimate]  # where on the axis, and the metric there


def curves_of(rows: Sequence[Row], axis: str, metric: str) -> dict[str, list[Point]]:
    """Return rows as curves: what varies along the axis leaves the name.

    Args:
        rows: Rows of one run.
        axis: One of `AXES`.
        metric: Which metric.

    Returns:
        Curve's name -> points, ascending; only curves of at least two points.
    """
    curves: dict[str, list[Point]] = {}
    for row in rows:
        at, name = float(np.mean(getattr(row, axis))), row.name
        if axis == "layer":
            name = name.replace(f"-layer{row.layer}-", "-")
        elif axis == "hidden_metadata":
            name = row.head_name
        elif row.labels != ALL:
            name = name.rpartition("-")[0]
        name = mark(name, row.seen, between=" ")
        curves.setdefault(name, []).append((at, row.metrics[metric]))
    return {
        name: sorted(points, key=lambda point: point[0])
        for name, points in curves.items()
        if len({at for at, _ in points}) > 1
    }


def write_curves(folder: Path, rows: Sequence[Row], metric: str) -> None:
    """Write curves over all axes, where there are any, as PNG and CSV.

    Without matplotlib there are no PNGs, which one line says.
    """
    for axis in AXES:
        curves = curves_of(rows, axis, metric)
        if not curves:
            continue
        if is_installed("matplotlib"):
            # Here: matplotlib takes a second to import, and most runs have no curve.
            from toolkit_probing.reports.figures import draw_curves, to_png

            with atomic_path(folder / f"{metric}-by-{axis}.png") as temporary:
                temporary.write_bytes(to_png(draw_curves(curves, axis, metric, title=AXES[axis])))
        else:
            console.print(
                f"{folder.name}: no picture by {axis}, as matplotlib is not installed: "
                "pip install 'toolkit-probing[plots]'",
                markup=False,
            )
        lines = [f"curve,{axis},mean,low,high"]
        for name, points in curves.items():
            for at, estimate in points:
                low, high = estimate.ci or ("", "")
                mean = "" if estimate.mean is None else estimate.mean
                lines.append(f"{name},{at:g},{mean},{low},{high}")
        write_text(folder / f"{metric}-by-{axis}.csv", "\n".join(lines) + "\n")
