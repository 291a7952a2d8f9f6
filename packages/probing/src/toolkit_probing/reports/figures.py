"""Pictures of curves over layers, labels and hidden metadata.

Drawn on figures of their own, without pyplot's global state, so that they need no display.
"""

import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from toolkit_common.scores.statistics import Estimate

MAX_COLUMNS = 4

Points = Sequence[tuple[float, Estimate]]  # where on the axis, and the metric there


def draw_curves(curves: Mapping[str, Points], axis: str, metric: str, *, title: str) -> Figure:
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
        panel.set(title=method, xlabel=title)
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


def to_png(figure: Figure) -> bytes:
    """Return a figure as the bytes of a PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
