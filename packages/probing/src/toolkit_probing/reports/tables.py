"""A report on the console: tables, confusions, and what must be known to read them."""

from collections.abc import Iterator, Sequence

import numpy as np
from rich.console import Console
from rich.table import Table

from toolkit_common.console import result_console
from toolkit_common.scores.statistics import UNDEFINED
from toolkit_common.seen.check import MARKS, mark
from toolkit_probing.reports.recomputed import Recomputed, Report, inputs_of, selected_in
from toolkit_probing.results.saved import SavedRun
from toolkit_probing.results.summary import (
    INTERVALS_OF_FOLDS,
    TUNED,
    format_estimate,
    remark_lines,
    why_no_intervals,
)

MAX_PRINTED_CLASSES = 12  # of a confusion; JSON has all


def show_report(report: Report, *, as_json: bool) -> None:
    """Print a report for humans."""
    out = result_console(as_json=as_json)
    for run in report.runs:
        out.print(run_line(run), soft_wrap=True)
    for title, rows in sections(report.rows):
        if title:
            out.print(title, soft_wrap=True)
        out.print(_table(report, rows))
        for row in rows:
            _show_confusion(out, row, report.runs)
    for line in interval_lines(report) if report.metrics else ():
        out.print(line, soft_wrap=True)


def interval_lines(report: Report) -> list[str]:
    """Return how intervals were made, why some figures have none, and remarks on rows."""
    metrics = [metric for row in report.rows for metric in row.metrics.values()]
    remarks = [
        f"{run.path}, {line}" if len(report.runs) > 1 else line
        for run in report.runs
        for line in remark_lines(run.results.rows)
    ]
    of_folds = [INTERVALS_OF_FOLDS] if any(run.results.folds for run in report.runs) else []
    return [
        "95 % intervals by bootstrap over groups",
        *of_folds,
        *why_no_intervals(metrics),
        *remarks,
    ]


def sections(rows: Sequence[Recomputed]) -> Iterator[tuple[str, list[Recomputed]]]:
    """Yield probing and tuning apart, each with its title: they are never ranked together."""
    tuned = [item for item in rows if item.row.is_tuned]
    probed = [item for item in rows if not item.row.is_tuned]
    if probed:
        yield "PROBING (frozen encoders)" if tuned else "", probed
    if tuned:
        yield TUNED, tuned


def run_line(run: SavedRun) -> str:
    """Return a run in one line: what was probed, on what, under which protocol."""
    results = run.results
    random = "; RANDOM WEIGHTS" if results.backbone.random_weights else ""
    folds = f", {len(results.folds)} folds" if results.folds else ""
    return (
        f"{run.path}: {results.backbone.shown} on {results.data.id} ({results.data.label}){folds}, "
        f"inputs {', '.join(inputs_of(run))}, {results.protocol.line}, "
        f"{', '.join(selected_in(run))}{random}{_seen(run)}"
    )


def _seen(run: SavedRun) -> str:
    """Return what a reader must know of whom the encoder has seen: nothing where that is nobody."""
    words = {MARKS[row.seen]: None for row in run.results.rows if row.seen in MARKS}
    return "".join(f"; {word} IN PRE-TRAINING" for word in words)


def _table(report: Report, rows: Sequence[Recomputed]) -> Table:
    several = len(report.runs) > 1
    table = Table(show_lines=True)
    for heading in (*(["run"] if several else []), "row", *(["images of"] if report.by else [])):
        table.add_column(heading, overflow="fold")
    for heading in ("images", "groups", *report.metrics):
        table.add_column(heading.replace("_", " "), justify="right")
    for item in rows:
        label = [*([str(item.run)] if several else []), item.row.name]
        label += [item.images] if report.by else []
        figures = [
            mark(format_estimate(item.metrics[name]), item.row.seen) for name in report.metrics
        ]
        table.add_row(*label, str(item.num_images), str(item.num_groups), *figures)
    return table


def _show_confusion(out: Console, item: Recomputed, runs: Sequence[SavedRun]) -> None:
    """Print counts of true and predicted classes, means over the repeats that have some."""
    if item.confusion is None:
        return
    classes = next(run.results.data.classes for run in runs if run.path == item.run)
    name = f"{item.row.name}, {item.images}" if item.column else item.row.name
    known = [counts for counts in item.confusion if counts is not None]
    if not known or len(classes) > MAX_PRINTED_CLASSES:
        why = f"{len(classes)} classes are too many to print, --json has it" if known else UNDEFINED
        out.print(f"confusion of {name}: {why}", soft_wrap=True)
        return
    name = mark(name, item.row.seen, between=", ")
    out.print(f"confusion of {name}: true classes down, predicted across", soft_wrap=True)
    table = Table()
    table.add_column("")
    for label in classes:
        table.add_column(str(label), justify="right")
    for label, counts in zip(classes, np.mean(known, axis=0), strict=True):
        table.add_row(str(label), *(f"{count:.4g}" for count in counts))
    out.print(table)
