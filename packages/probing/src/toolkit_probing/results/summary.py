"""A run's results for humans: one table, and what must be known to read it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from toolkit_common.console import Column, print_columns, result_console, with_room_for
from toolkit_common.printable import counted, placeless_id, shell_line
from toolkit_common.scores.metrics import metric_name
from toolkit_common.scores.remarks import alike, remarks_of
from toolkit_common.scores.statistics import UNDEFINED, Difference, Estimate
from toolkit_common.seen.check import mark
from toolkit_probing.probes import POOLS, AttentivePool
from toolkit_probing.results.contents import Results
from toolkit_probing.results.layout import NO_INTERVAL, best_rows, show_estimate
from toolkit_probing.results.names import reads_line, short_names
from toolkit_probing.results.retrieved import print_retrieval
from toolkit_probing.results.rows import Row
from toolkit_probing.task.subsets import ALL
from toolkit_probing.training.plan import Training, describe_training

SHOWN = ("top1", "balanced_accuracy", "auroc", "macro_f1")  # what does not fit first is the last
BASELINES_READ = (
    "baselines read no image: logistic regressions of the metadata, and of which are missing, "
    "fitted on train; the extrapolated ones read those of similar lesions"
)
FOLDS_READ = (
    "of all folds' predictions together (pooled); of what ranks images (AUROC, average precision, "
    "sensitivity) and of calibration error the mean over folds"
)
WHY_UNDEFINED = (
    "undefined: too few classes, a class without test images there, or a head that gave no number"
)
INTERVALS_OF_FOLDS = f"figures: mean \u00b1 sd over folds; intervals: {FOLDS_READ}"
TUNED = "TUNING (encoders trained with the head; not to be ranked with probes)"


def show_results(results: Results, run: Path, *, as_json: bool) -> None:
    """Show a run's results as a table, with what must be known to read it."""
    out = result_console(as_json=as_json)
    for line in _facts(results):
        out.print(line, soft_wrap=True)
    out.print()
    rows = [*results.rows, *results.baselines]
    print_figures(out, results.rows, results.baselines)
    named = zip(short_names(rows), rows, strict=True)
    print_retrieval(out, {name: row.retrieval for name, row in named if row.retrieval})
    out.print()
    for line in why_no_intervals(row.metrics[name] for row in rows for name in SHOWN):
        out.print(line, soft_wrap=True)
    for line in training_lines(results.rows):
        out.print(line, soft_wrap=True)
    for line in remark_lines(results.rows):
        out.print(line, soft_wrap=True)
    if results.baselines:
        out.print(BASELINES_READ, soft_wrap=True)
    if results.tuning:
        facts = ", ".join(f"{key} {value}" for key, value in results.tuning.items())
        out.print(f"TUNED ENCODERS ({facts}): tuning, not to be ranked with probes", soft_wrap=True)
    if results.diverged:
        out.print(_diverged_line(results.diverged), soft_wrap=True)
    if results.backbone.random_weights:
        out.print("RANDOM WEIGHTS: the figures judge no trained encoder")
    for note in results.notes:
        out.print(note, soft_wrap=True)
    out.print(f"run folder: {run}", soft_wrap=True)
    for command in _next_steps(results, run):  # a line each, to be copied
        out.print(f"next: {command}", soft_wrap=True)


def _facts(results: Results) -> Iterator[str]:
    """Yield what all rows share: it stands once, above them."""
    data, rows = results.data, results.rows
    yield f"{placeless_id(results.backbone.shown)} on {placeless_id(data.id)} ({data.label})"
    each = f"each tested once in {len(results.folds)} folds, " if results.folds else ""
    yield (
        f"{counted(data.sizes['test'], 'test image')} of "
        f"{counted(data.num_test_groups, 'group')}, {each}"
        f"{results.protocol.line}, {rows[0].selected}; 95 % intervals by bootstrap over groups"
    )
    labels, hidden = {row.labels for row in rows}, {row.hidden_metadata for row in rows}
    few = f"; learned from {min(labels)}" if len(labels) == 1 and labels != {ALL} else ""
    less = f"; {100 * max(hidden):g} % of metadata hidden at test" if len(hidden) == 1 else ""
    yield f"{reads_line(rows)}{few}{less if any(hidden) else ''}"
    if results.folds:
        yield INTERVALS_OF_FOLDS


def print_figures(out: Console, probed: Sequence[Row], baselines: Sequence[Row] = ()) -> None:
    """Print figures and, as far as there is room, what was picked; results.json has the rest."""
    rows, count = [*probed, *baselines], len(probed)
    kinds = [
        (at >= count, row.is_tuned, row.labels, row.hidden_metadata) for at, row in enumerate(rows)
    ]
    names = [Column("method", short_names(rows))]
    figures = [
        Column(
            metric_name(metric),
            [mark(show_estimate(row.metrics[metric]), row.seen) for row in rows],
            set(best_rows([row.metrics[metric].mean for row in rows], kinds, metric)),
        )
        for metric in SHOWN
    ]
    more = [
        Column("parameters", [f"{row.num_parameters:,}" for row in rows]),
        Column("picked", [_picked(row) for row in rows]),
    ]
    shown = with_room_for(out, names, figures, more=more)
    # An empty line apart: they are not ranked with each other.
    breaks = [at for at in range(1, len(rows)) if kinds[at][:2] != kinds[at - 1][:2]]
    print_columns(out, names, shown, breaks=breaks)
    left = ", ".join(column.heading for column in more if column not in shown)
    if left:
        out.print(f"(in results.json, for want of room: {left})", soft_wrap=True)


def _picked(row: Row) -> str:
    return ", ".join(f"{key} {_short(value)}" for key, value in row.settings.items())


def _next_steps(results: Results, run: Path) -> Iterator[str]:
    """Yield the commands that make sense for a run."""
    folder = shell_line([str(run)])
    yield f"toolkit report {folder} -o report.html"
    if len(results.rows) > 1:
        yield f"toolkit compare {folder}"
    has_maps = any(issubclass(POOLS.get(row.method, object), AttentivePool) for row in results.rows)
    if has_maps and any((run / "heads").glob("*")):
        yield f"toolkit attention --from {folder}"


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
    """Return what must be known to trust rows, alike ones once with the rows they are about."""
    named = zip(short_names(rows), rows, strict=True)
    pairs = ((name, remark) for name, row in named for remark in row.remarks)
    return list(map(str, alike(remarks_of(pairs))))


def why_no_intervals(metrics: Iterable[Estimate | Difference]) -> list[str]:
    """Return why some figures have no interval, a line a reason; runs of before do not know."""
    reasons = dict.fromkeys(item.why_no_ci for item in metrics)
    # Each reason once, however many figures share it.
    known = [reason for reason in reasons if reason not in (None, UNDEFINED)]
    lines = [f"{NO_INTERVAL}: {str(reason).removeprefix('not computed: ')}" for reason in known]
    return [*lines, WHY_UNDEFINED] if UNDEFINED in reasons else lines


def _diverged_line(heads: Mapping[str, int]) -> str:
    names = ", ".join(f"{name} from epoch {epoch}" for name, epoch in heads.items())
    count = counted(len(heads), "head")
    return (
        f"DIVERGED: {count} ended without finite probabilities; the best epoch before is judged, "
        f"and a head without one is undefined (lower --lr): {names}"
    )


def _short(value: Any) -> str:
    if isinstance(value, list):  # one a repeat
        texts = list(map(_short, value))
        return texts[0] if len(set(texts)) == 1 else "/".join(texts)
    if value is None:  # of a fold that picked none
        return "-"
    return f"{value:g}" if isinstance(value, float) else str(value)
