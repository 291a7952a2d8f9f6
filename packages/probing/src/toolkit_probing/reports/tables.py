"""A report on the console: tables, confusions, and what must be known to read them."""

from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from toolkit_common.console import Column, print_columns, result_console
from toolkit_common.printable import counted, placeless_id
from toolkit_common.scores.metrics import metric_name
from toolkit_common.scores.remarks import alike, remarks_of
from toolkit_common.scores.statistics import UNDEFINED
from toolkit_common.seen.check import MARKS, mark
from toolkit_probing.reports.recomputed import Recomputed, Report, inputs_of, selected_in
from toolkit_probing.results.layout import best_rows, show_estimate
from toolkit_probing.results.names import encoder_name, is_baseline, short_names, with_run
from toolkit_probing.results.saved import SavedRun
from toolkit_probing.results.summary import (
    INTERVALS_OF_FOLDS,
    TUNED,
    why_no_intervals,
)

MAX_PRINTED_CLASSES = 12  # of a confusion; JSON has all

Names = dict[tuple[Path, str], str]  # run and full name of a row -> its short name


def show_report(report: Report, *, as_json: bool, answer: str = "") -> None:
    """Print a report for humans.

    Args:
        report: The report.
        as_json: Whether stdout is for programs.
        answer: What it leads with, of a study.
    """
    out = result_console(as_json=as_json)
    if answer and report.arms.study is not None:
        out.print(report.arms.study.spec.question, soft_wrap=True)
        out.print(answer, soft_wrap=True, style="bold")
        out.print()
    for line in report.arms.missing:
        out.print(line, soft_wrap=True)
    names = names_of_rows(report)
    for run in report.runs:
        place = f"{report.names[run.path]} = " if len(report.runs) > 1 else ""
        out.print(f"{place}{run_line(run)}", soft_wrap=True)
    for title, rows in sections(report.shown_rows):
        out.print()
        if title:
            out.print(title, soft_wrap=True)
        _print_table(out, report, rows, names=names)
        for row in rows:
            _show_confusion(out, row, report.runs, name=names[row.run, row.row.name])
    out.print()
    for line in interval_lines(report) if report.metrics else ():
        out.print(line, soft_wrap=True)


def interval_lines(report: Report) -> list[str]:
    """Return how intervals were made, why some figures have none, and remarks on rows."""
    metrics = [metric for row in report.rows for metric in row.metrics.values()]
    names = names_of_rows(report)
    remarks = remarks_of(
        (names[run.path, row.name], text)
        for run in report.runs
        for row in run.results.rows
        for text in row.remarks
    )
    of_folds = [INTERVALS_OF_FOLDS] if any(run.results.folds for run in report.runs) else []
    return [
        "95 % intervals by bootstrap over groups",
        *of_folds,
        *why_no_intervals(metrics),
        *map(str, alike(remarks)),
    ]


def sections(rows: Sequence[Recomputed]) -> Iterator[tuple[str, list[Recomputed]]]:
    """Yield probing and tuning apart, each with its title: they are never ranked together."""
    tuned = [item for item in rows if item.row.is_tuned]
    probed = [item for item in rows if not item.row.is_tuned]
    is_baselines = all(is_baseline(item.row) for item in probed)
    title = "BASELINES (no image is read)" if is_baselines else "PROBING (frozen encoders)"
    if probed:
        yield title if tuned else "", probed
    if tuned:
        yield TUNED, tuned


def run_line(run: SavedRun) -> str:
    """Return a run in one line: what was probed, on what, under which protocol."""
    results = run.results
    random = "; RANDOM WEIGHTS" if results.backbone.random_weights else ""
    folds = f", {len(results.folds)} folds" if results.folds else ""
    # Of a study the name says which; its encoders are known by what they were made from.
    of = encoder_name(results.backbone.shown) if run.name else results.backbone.shown
    place = "" if run.name else f"{run.path}: "
    return (
        f"{place}{placeless_id(of)} on {placeless_id(results.data.id)} ({results.data.label})"
        f"{folds}, inputs {', '.join(inputs_of(run))}, {results.protocol.line}, "
        f"{', '.join(selected_in(run))}{random}{_seen(run)}"
    )


def _seen(run: SavedRun) -> str:
    """Return what a reader must know of whom the encoder has seen: nothing where that is nobody."""
    words = {MARKS[row.seen]: None for row in run.results.rows if row.seen in MARKS}
    return "".join(f"; {word} IN PRE-TRAINING" for word in words)


def names_of_rows(report: Report) -> Names:
    """Return the short name of every row, with that of its run where there are several."""
    names: Names = {}
    for run in report.runs:
        rows = [*run.results.rows, *run.results.baselines]
        for row, name in zip(rows, short_names(rows), strict=True):
            is_shared = row.name in report.shared_baselines
            names[run.path, row.name] = (
                name if is_shared else with_run(name, report.names[run.path], report.runs)
            )
    return names


def _print_table(out: Console, report: Report, rows: Sequence[Recomputed], *, names: Names) -> None:
    kinds = [_kind(report, item) for item in rows]
    labels = [Column("method", [names[item.run, item.row.name] for item in rows])]
    if report.by:
        labels.append(Column("images of", [item.images for item in rows]))
    sizes = [f"{item.num_images:,} ({item.num_groups:,})" for item in rows]
    counts = [Column("images (groups)", sizes)]
    if len({(item.num_images, item.num_groups) for item in rows}) == 1:
        line = (
            f"{counted(rows[0].num_images, 'test image')} of {counted(rows[0].num_groups, 'group')}"
        )
        out.print(line, soft_wrap=True)
        counts = []
    figures = [
        Column(
            metric_name(metric),
            [mark(show_estimate(item.metrics[metric]), item.row.seen) for item in rows],
            set(best_rows([item.metrics[metric].mean for item in rows], kinds, metric)),
        )
        for metric in report.metrics
    ]
    apart = [is_baseline(item.row) for item in rows]
    # An empty line where baselines begin, where they end, and between runs of several rows.
    runs = [item.run if len(rows) >= 2 * len(report.runs) else None for item in rows]
    parts = list(zip(apart, runs, strict=True))
    breaks = [at for at in range(1, len(rows)) if parts[at] != parts[at - 1]]
    print_columns(out, labels, [*counts, *figures], breaks=breaks)


def _kind(report: Report, item: Recomputed) -> tuple[Hashable, ...]:
    """Return what rows share among which one is the best: one task, one protocol, one kind."""
    results = next(run.results for run in report.runs if run.path == item.run)
    data, protocol, row = results.data, results.protocol, item.row
    task = (data.id, data.label, tuple(data.classes), item.images, item.num_images)
    how = (protocol.name, protocol.version, row.selected, row.labels, row.seen)
    return (
        *task,
        *how,
        row.hidden_metadata,
        row.is_tuned,
        is_baseline(row),
        results.backbone.random_weights,
    )


def _show_confusion(out: Console, item: Recomputed, runs: Sequence[SavedRun], *, name: str) -> None:
    """Print counts of true and predicted classes, means over the repeats that have some."""
    if item.confusion is None:
        return
    classes = next(run.results.data.classes for run in runs if run.path == item.run)
    name = f"{name}, {item.images}" if item.column else name
    known = [counts for counts in item.confusion if counts is not None]
    if not known or len(classes) > MAX_PRINTED_CLASSES:
        why = f"{len(classes)} classes are too many to print, --json has it" if known else UNDEFINED
        out.print(f"confusion of {name}: {why}", soft_wrap=True)
        return
    name = mark(name, item.row.seen, between=", ")
    out.print(f"\nconfusion of {name}: true classes down, predicted across", soft_wrap=True)
    counts = np.mean(known, axis=0)
    predicted = [
        Column(str(label), [f"{count:.4g}" for count in column])
        for label, column in zip(classes, counts.T, strict=True)
    ]
    print_columns(out, [Column("", list(map(str, classes)))], predicted)
