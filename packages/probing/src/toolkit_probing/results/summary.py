"""A run's results for humans: one table, and what must be known to read it."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from toolkit_common.console import result_console
from toolkit_common.scores.statistics import UNDEFINED, Difference, Estimate
from toolkit_common.seen.check import mark
from toolkit_probing.heads.inputs import NO_LAYER, WITH_METADATA, describe_place
from toolkit_probing.results.contents import Results
from toolkit_probing.results.rows import Row
from toolkit_probing.task.subsets import ALL
from toolkit_probing.training.plan import Training, describe_training

SHOWN = {
    "top1": "top-1",
    "balanced_accuracy": "balanced acc.",
    "macro_f1": "macro F1",
    "auroc": "AUROC",
}
SHOWN_NARROW = ("top1", "balanced_accuracy", "auroc")
WIDE = 120  # characters that all columns need
NO_INTERVAL = "no interval"
BASELINES_READ = (
    "baselines read no image: logistic regressions of the metadata, and of which are missing, "
    "fitted on train; the extrapolated ones read those of similar lesions"
)
FOLDS_READ = (
    "of all folds' predictions together (pooled); of what ranks images (AUROC, average precision, "
    "sensitivity) and of calibration error the mean over folds"
)
INTERVALS_OF_FOLDS = f"figures: mean \u00b1 sd over folds; intervals: {FOLDS_READ}"
TUNED = "TUNING (encoders trained with the head; not to be ranked with probes)"


def show_results(results: Results, run: Path, *, as_json: bool) -> None:
    """Show a run's results as a table, with what must be known to read it."""
    data, out = results.data, result_console(as_json=as_json)
    each = f"each tested once in {len(results.folds)} folds, " if results.folds else ""
    out.print(
        f"{results.backbone.shown} on {data.id} ({data.label}): "
        f"{data.sizes['test']} test images of {data.num_test_groups} groups, {each}"
        f"{results.protocol.line}, {results.rows[0].selected}, 95 % intervals "
        "by bootstrap over groups",
        soft_wrap=True,
        markup=False,  # names of the user's files may hold brackets
    )
    if results.folds:
        out.print(INTERVALS_OF_FOLDS, soft_wrap=True)
    rows = [*results.rows, *results.baselines]
    out.print(results_table(rows, width=out.width))
    for line in why_no_intervals(row.metrics[name] for row in rows for name in SHOWN):
        out.print(line, soft_wrap=True)
    for line in training_lines(results.rows):
        out.print(line, soft_wrap=True)
    for line in remark_lines(results.rows):
        out.print(line, soft_wrap=True, markup=False)
    if results.baselines:
        out.print(BASELINES_READ)
    if results.tuning:
        facts = ", ".join(f"{key} {value}" for key, value in results.tuning.items())
        out.print(f"TUNED ENCODERS ({facts}): tuning, not to be ranked with probes", soft_wrap=True)
    if results.diverged:
        out.print(_diverged_line(results.diverged), soft_wrap=True)
    if results.backbone.random_weights:
        out.print("RANDOM WEIGHTS: the figures judge no trained encoder")
    for note in results.notes:
        out.print(note, soft_wrap=True, markup=False)
    out.print(f"run folder: {run}", soft_wrap=True, markup=False)


def results_table(rows: Sequence[Row], *, width: int = WIDE) -> Table:
    """Return the results as a table for humans: figure and 95 % interval.

    Below `WIDE` characters what names a row stands in one column, and only what is looked at first
    is shown; results.json has the rest.
    """
    table = Table(show_lines=True)
    limited = len({row.labels for row in rows}) > 1 or rows[0].labels != ALL
    is_wide = width >= WIDE
    shown = SHOWN if is_wide else {name: SHOWN[name] for name in SHOWN_NARROW}
    headings = ["method", "reads", *(("labels",) if limited else ()), "picked"]
    for heading in headings if is_wide else ["method"]:
        # Names may break over lines, figures must not.
        table.add_column(heading, overflow="fold")
    for heading in (*shown.values(), *(("parameters",) if is_wide else ())):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        figures = [mark(format_estimate(row.metrics[name]), row.seen) for name in shown]
        picked = ", ".join(f"{key} {_short(value)}" for key, value in row.settings.items())
        reads = _reads(row)
        names = [row.method, reads, *((row.labels,) if limited else ()), picked]
        if is_wide:
            table.add_row(*names, *figures, f"{row.num_parameters:,}")
        else:
            table.add_row("\n".join(names), *figures)
    return table


def training_lines(rows: Sequence[Row]) -> list[str]:
    """Return how the heads of a run were trained, a line for each amount of labels."""
    trained: dict[str, list[Training]] = {}
    for row in rows:
        if row.training is not None:
            trained.setdefault(row.labels, []).append(row.training)
    lines = [f"heads trained with {describe_training(each)}" for each in trained.values()]
    if len(lines) == 1:
        return lines
    return [f"{labels}: {line}" for labels, line in zip(trained, lines, strict=True)]


def remark_lines(rows: Sequence[Row]) -> list[str]:
    """Return what must be known to trust rows, a line for each and what it is about."""
    return [
        f"{row.method} ({_reads(row)}, {row.labels}): {remark}"
        for row in rows
        for remark in row.remarks
    ]


def format_estimate(metric: Estimate) -> str:
    """Format a metric, its sd over repeats or folds, what all folds give together, its interval.

    Undefined is a word, never 0.
    """
    if metric.mean is None and metric.pooled is None:
        return UNDEFINED
    text = UNDEFINED if metric.mean is None else f"{metric.mean:.3f}"
    if metric.sd is not None:
        text += f" \u00b1 {metric.sd:.3f}"
    if metric.pooled is not None:
        text += f"\npooled {metric.pooled:.3f}"
    if metric.ci:
        return f"{text}\n{metric.ci[0]:.2f} to {metric.ci[1]:.2f}"
    return f"{text}\n{NO_INTERVAL}" if metric.why_no_ci else text


def why_no_intervals(metrics: Iterable[Estimate | Difference]) -> list[str]:
    """Return why some figures have no interval, a line a reason; runs of before do not know."""
    reasons = dict.fromkeys(item.why_no_ci for item in metrics)
    # Each reason once, however many figures share it.
    return [f"{NO_INTERVAL}: {reason}" for reason in reasons if reason not in (None, UNDEFINED)]


def _diverged_line(heads: Mapping[str, int]) -> str:
    names = ", ".join(f"{name} from epoch {epoch}" for name, epoch in heads.items())
    count = "1 head" if len(heads) == 1 else f"{len(heads)} heads"
    return (
        f"DIVERGED: {count} ended without finite probabilities; the best epoch before is judged, "
        f"and a head without one is undefined (lower --lr): {names}"
    )


def _reads(row: Row) -> str:
    """Return what a row has read: extrapolated metadata are never shown as the true ones."""
    if "extrapolated" not in row.inputs:
        return describe_place(row.layer, row.source)
    source = row.source.replace(WITH_METADATA, "+extrapolated")
    return row.inputs if row.layer == NO_LAYER else describe_place(row.layer, source)


def _short(value: Any) -> str:
    if isinstance(value, list):
        return "/".join(map(_short, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
