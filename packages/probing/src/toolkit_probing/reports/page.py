"""A report as one HTML file that needs nothing beside it: tables, and pictures as data.

How it looks stands in `page.html`, what it shows is put together here.
"""

import base64
from collections.abc import Iterator
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from toolkit_common.runs.files import write_text
from toolkit_common.seen.check import mark
from toolkit_probing.reports.curves import AXES, curves_of
from toolkit_probing.reports.figures import (
    draw_confusion,
    draw_curves,
    draw_reliability,
    to_png,
)
from toolkit_probing.reports.recomputed import Report
from toolkit_probing.reports.tables import interval_lines, run_line, sections
from toolkit_probing.results.rows import Row
from toolkit_probing.results.saved import SavedRun
from toolkit_probing.results.summary import format_estimate
from toolkit_probing.training.plan import describe_training

CURVE_METRIC = "balanced_accuracy"
MAX_PICTURED = 12  # rows of a run that get pictures of their own


def write_html(path: Path, report: Report) -> None:
    """Write a report with pictures of its runs."""
    templates = Environment(
        loader=PackageLoader("toolkit_probing", "reports"),
        autoescape=True,
        undefined=StrictUndefined,  # a name that is misspelt in the page is an error, not a blank
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"estimate": format_estimate, "picked": _picked, "mark": mark}
    text = templates.get_template("page.html").render(
        runs=[run_line(run) for run in report.runs],
        intervals=interval_lines(report),
        metrics=report.metrics,
        sections=sections(report.rows),
        pictures=((run.path, _pictures(run)) for run in report.runs),
        notes=dict.fromkeys(note for run in report.runs for note in run.results.notes),
    )
    write_text(path, text)


def _picked(row: Row) -> str:
    settings = ", ".join(f"{key} {value}" for key, value in row.settings.items())
    if row.training is not None:
        settings += f"; {describe_training([row.training])}"
    return f"{settings} ({row.picked})"


def _pictures(run: SavedRun) -> Iterator[tuple[str, str]]:
    """Yield what a picture shows and its PNG in base64; why there is none, and nothing."""
    for axis in AXES:
        curves = curves_of(run.results.rows, axis, CURVE_METRIC)
        if curves:
            figure = draw_curves(curves, axis, CURVE_METRIC)
            yield f"{CURVE_METRIC} over {axis}", _encoded(figure)
    saved = list(run.rows.values())
    for side in saved[:MAX_PICTURED]:
        predictions = side.predictions
        name = mark(side.row.name, side.row.seen, between=", ")
        if not all(item.is_finite for item in predictions):
            yield f"No pictures of {name}: it predicts no finite probabilities.", ""
            continue
        yield f"reliability of {name}", _encoded(draw_reliability(predictions, name))
        confusion = draw_confusion(predictions, run.results.data.classes, name)
        yield f"confusion of {name}", _encoded(confusion)
    if len(saved) > MAX_PICTURED:
        yield f"Pictures of the first {MAX_PICTURED} of {len(saved)} rows.", ""


def _encoded(figure: Figure) -> str:
    return base64.b64encode(to_png(figure)).decode()
