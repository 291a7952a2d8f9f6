"""A report as a table to paste: Markdown, LaTeX, CSV; above it what forbids to believe it."""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence

from toolkit_common.pages.paste import latex, latex_table, markdown_table
from toolkit_common.printable import markdown, placeless
from toolkit_common.scores.metrics import metric_name
from toolkit_common.scores.statistics import UNDEFINED, Estimate
from toolkit_common.seen.check import mark
from toolkit_probing.reports.claim import warnings
from toolkit_probing.reports.entries import entries_of
from toolkit_probing.reports.recomputed import Report
from toolkit_probing.reports.tables import names_of_rows, run_line
from toolkit_probing.results.layout import show_interval
from toolkit_probing.results.names import run_places
from toolkit_probing.results.saved import SavedRun

INTERVALS = "In brackets: 95 % intervals by bootstrap over groups."


def to_markdown(report: Report) -> str:
    """Return a table of Markdown, its warnings in bold above it."""
    lines = [f"**{markdown(text)}**\n" for text in _warnings(report)]
    lines += [f"{markdown(_named_line(run))}.\n" for run in report.runs]
    table = markdown_table(_heads(report), _rows(report), align=_align(report))
    return "\n".join([*lines, table, f"\n{INTERVALS}"]) + "\n"


def to_latex(report: Report) -> str:
    """Return a LaTeX table (booktabs), its warnings in bold in its caption."""
    caption = " ".join(
        [
            *(rf"\textbf{{{latex(text)}}}" for text in _warnings(report)),
            *(f"{latex(_named_line(run))}." for run in report.runs),
            latex(INTERVALS),
        ]
    )
    return latex_table(_heads(report), _rows(report), caption=caption, align=_align(report))


def to_csv(report: Report) -> str:
    """Return a row a row and subgroup: names, sizes, every metric with its interval, warnings."""
    buffer = io.StringIO()
    ends = [f"{name}{end}" for name in report.metrics for end in ("", "_low", "_high")]
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(
        ["run", "row", "column", "value", "images", "groups", "parameters", "labels",
         "hidden_metadata", "selected", "seen", *ends, "warnings"]
    )  # fmt: skip
    said = "; ".join(_warnings(report))
    paths = [run.path for run in report.runs]
    # An arm's folder is that of its first fold, of which alone its figures are not.
    places = {
        run.path: run.name or place
        for run, place in zip(report.runs, run_places(paths), strict=True)
    }
    for item in report.rows:
        row = item.row
        figures = [value for name in report.metrics for value in _ends(item.metrics[name])]
        names = [places[item.run], row.name, item.column, item.value]
        sizes = [item.num_images, item.num_groups, row.num_parameters]
        writer.writerow(
            [
                *names,
                *sizes,
                row.labels,
                row.hidden_metadata,
                row.selected,
                row.seen,
                *figures,
                said,
            ]
        )
    return buffer.getvalue()


FORMATS: Mapping[str, Callable[[Report], str]] = {
    "md": to_markdown,
    "csv": to_csv,
    "latex": to_latex,
}


def _warnings(report: Report) -> list[str]:
    texts = warnings(report.runs, entries_of(report), report.arms.missing)
    return [placeless(text) for text in texts]


def _named_line(run: SavedRun) -> str:
    return placeless(f"{run.name} = {run_line(run)}" if run.name else run_line(run))


def _heads(report: Report) -> list[str]:
    named = [metric_name(name) for name in report.metrics]
    return ["method", *(["images of"] if report.by else []), *named, "parameters"]


def _align(report: Report) -> str:
    return "l" * (2 if report.by else 1) + "r" * (len(report.metrics) + 1)


def _rows(report: Report) -> Iterator[Sequence[str]]:
    names = names_of_rows(report)
    for item in report.shown_rows:
        yield [
            mark(names[item.run, item.row.name], item.row.seen, between=" "),
            *([item.images] if report.by else []),
            *(_figure(item.metrics[key]) for key in report.metrics),
            f"{item.row.num_parameters:,}",
        ]


def _figure(estimate: Estimate) -> str:
    if estimate.mean is None:
        return UNDEFINED
    value = estimate.mean if estimate.pooled is None else estimate.pooled
    interval = "" if estimate.ci is None else f" {show_interval(value, *estimate.ci)}"
    return f"{value:.3f}{interval}"


def _ends(estimate: Estimate) -> tuple[float | None, float | None, float | None]:
    value = estimate.mean if estimate.pooled is None else estimate.pooled
    return (value, *(estimate.ci or (None, None)))
