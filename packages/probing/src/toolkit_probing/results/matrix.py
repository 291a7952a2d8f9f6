"""A comparison for humans: a matrix of differences, a table of pairs, or one sentence for two."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from toolkit_common.console import Column, print_columns, result_console
from toolkit_common.printable import counted
from toolkit_common.scores.metrics import LOWER_IS_BETTER, metric_name
from toolkit_common.scores.statistics import UNDEFINED
from toolkit_common.seen.check import EXPLAINED, MARKS, mark
from toolkit_probing.results.compare import MOST_PAIRED, Compared, Comparison
from toolkit_probing.results.layout import NO_INTERVAL, PAIR
from toolkit_probing.results.names import run_names, short_names, with_run
from toolkit_probing.results.saved import SavedRow
from toolkit_probing.results.summary import FOLDS_READ, why_no_intervals

ALPHA = 0.05
NOT_COMPUTED = "not computed"
BOLD = "bold where p is below 0.05"

Key = tuple[Path, str]  # of a row: its run and its full name


@dataclass(frozen=True)
class Names:
    """Short names of rows, and of the runs that they are of."""

    rows: Mapping[Key, str]
    runs: Mapping[Path, str]

    @classmethod
    def of(cls, comparison: Comparison) -> "Names":
        """Name all rows of the runs that are compared."""
        runs = [(run.path, run.results.backbone.shown) for run in comparison.runs]
        rows: dict[Key, str] = {}
        for run in comparison.runs:
            own = [*run.results.rows, *run.results.baselines]
            rows |= {
                (run.path, row.name): name for row, name in zip(own, short_names(own), strict=True)
            }
        return cls(rows, dict(zip([path for path, _ in runs], run_names(runs), strict=True)))

    def short(self, side: SavedRow) -> str:
        """Return a row's name without its run."""
        return self.rows[key_of(side)]

    def full(self, side: SavedRow) -> str:
        """Return a row's name, with its run where there are two."""
        return with_run(self.short(side), self.runs[side.run], list(self.runs))


def key_of(side: SavedRow) -> Key:
    """Return what tells a row from all others."""
    return side.run, side.row.name


def show_comparison(comparison: Comparison, *, as_json: bool) -> None:
    """Print a comparison for humans."""
    out = result_console(as_json=as_json)
    names = Names.of(comparison)
    pairs = {(key_of(item.first), key_of(item.second)) for item in comparison.compared}
    rows = {key for pair in pairs for key in pair}
    out.print(
        f"{counted(comparison.num_images, 'test image')} of "
        f"{counted(comparison.num_groups, 'group')}; 95 % intervals "
        f"and two-sided p by paired bootstrap over groups, {_adjustment(comparison, len(pairs))}",
        soft_wrap=True,
    )
    if comparison.num_folds:
        out.print(f"{comparison.num_folds} folds: figures are {FOLDS_READ}", soft_wrap=True)
    if len(comparison.runs) == 1 and len(rows) > MOST_PAIRED:
        out.print(
            f"{len(rows)} rows are more than the {MOST_PAIRED} of which each is compared with "
            "each: all with the first; any two: --rows FIRST,SECOND",
            soft_wrap=True,
        )
    for title, compared in comparison.tables():
        if title:
            out.print(f"\n{title}", soft_wrap=True)
        for metric in dict.fromkeys(item.metric for item in compared):
            mine = [item for item in compared if item.metric == metric]
            if len(pairs) == 1:
                out.print(_sentence(mine[0], names), soft_wrap=True)
            else:
                _show_metric(out, mine, names)
    out.print()
    _show_remarks(out, comparison)


def _adjustment(comparison: Comparison, num_pairs: int) -> str:
    if num_pairs > 1:
        return "p adjusted over the pairs of each table (Holm)"
    num_metrics = len({item.metric for item in comparison.compared})
    return f"p not adjusted for looking at {counted(num_metrics, 'metric')}"


def _show_remarks(out: Console, comparison: Comparison) -> None:
    for line in why_no_intervals(item.difference for item in comparison.compared):
        out.print(line, soft_wrap=True)
    for status in dict.fromkeys(item.seen for item in comparison.compared):
        if status in MARKS:
            out.print(f"{MARKS[status]}: {EXPLAINED[status]}", soft_wrap=True)
    sides = [side.row for item in comparison.compared for side in item.sides]
    if len(ways := {row.selected for row in sides}) > 1:
        out.print(f"NOT SELECTED ALIKE: {', '.join(sorted(ways))}", soft_wrap=True)
    if len(inputs := {row.inputs for row in sides}) > 1:
        out.print(f"NOT OF THE SAME INPUTS: {', '.join(sorted(inputs))}", soft_wrap=True)


def _show_metric(out: Console, compared: Sequence[Compared], names: Names) -> None:
    out.print()
    firsts, seconds = (
        {key_of(item.sides[at]): item.sides[at] for item in compared} for at in (0, 1)
    )
    lower = " (lower is better)" if compared[0].metric in LOWER_IS_BETTER else ""
    name = f"{metric_name(compared[0].metric)}{lower}"
    if len(firsts) > 1 and len(compared) > len(seconds):
        out.print(f"{name}: row minus column, {BOLD}", soft_wrap=True)
        sides = {"firsts": list(firsts.values()), "seconds": list(seconds.values())}
        _print_matrix(out, compared, names, **sides)
        return
    minus = "first"
    if len(firsts) == 1:
        minus = f"{names.full(compared[0].first)} ({_side(compared[0], 0, between=' ')})"
    out.print(f"{name}: second minus {minus}, {BOLD}", soft_wrap=True)
    _print_pairs(out, compared, names)


def _print_matrix(
    out: Console,
    compared: Sequence[Compared],
    names: Names,
    *,
    firsts: Sequence[SavedRow],
    seconds: Sequence[SavedRow],
) -> None:
    cells = {(key_of(item.second), key_of(item.first)): item for item in compared}
    columns = []
    for first in firsts:
        items = [cells.get((key_of(second), key_of(first))) for second in seconds]
        texts = ["" if item is None else _cell(item) for item in items]
        bold = {at for at, item in enumerate(items) if item is not None and _is_sure(item)}
        columns.append(Column(names.full(first), texts, bold))
    rows = Column("", [names.full(second) for second in seconds])
    print_columns(out, [rows], columns, breaks=range(1, len(seconds)))


def _print_pairs(out: Console, compared: Sequence[Compared], names: Names) -> None:
    """Print a line a pair: what one row is compared with all others by, or a row of two runs."""
    bold = {at for at, item in enumerate(compared) if _is_sure(item)}
    labels, headings = _sides(compared, names)
    figures = [
        *(
            Column(heading, [_side(item, at) for item in compared])
            for at, heading in headings.items()
        ),
        Column("difference", [_difference(item) for item in compared], bold),
        Column("p", [_p(item, item.p_holm) for item in compared], bold),
    ]
    print_columns(out, labels, figures)


def _sides(compared: Sequence[Compared], names: Names) -> tuple[list[Column], dict[int, str]]:
    """Return what names the pairs, in the fewest columns, and which figures stand beside it."""
    second = [names.full(item.second) for item in compared]
    if len({key_of(item.first) for item in compared}) == 1:
        return [Column("second", second)], {1: metric_name(compared[0].metric)}
    short = [[names.short(side) for side in item.sides] for item in compared]
    if all(one == other for one, other in short):
        sides = compared[0].sides
        runs = {at: names.runs[side.run] for at, side in enumerate(sides)}
        return [Column("method", [one for one, _ in short])], runs
    first = [names.full(item.first) for item in compared]
    return [Column("first", first), Column("second", second)], {0: "first", 1: "second"}


def _sentence(item: Compared, names: Names) -> str:
    """Return what is known of two rows by a metric."""
    first, second = (names.full(side) for side in item.sides)
    metric, value = metric_name(item.metric), item.difference.difference
    if value is None:
        return f"{metric}: {first} and {second} cannot be compared, it is {UNDEFINED}"
    figures = (
        f"{_side(item, 0, between=' ')} and {_side(item, 1, between=' ')}, "
        f"{_difference(item, between=' ')}, p {_p(item, item.difference.p)}"
    )
    if not _is_sure(item):
        return f"{metric}: no difference of {second} from {first} can be told: {figures}"
    is_better = (value > 0) != (item.metric in LOWER_IS_BETTER)
    verdict = "better" if is_better else "worse"
    return f"{metric}: {second} is {verdict} than {first}: {figures}"


def _is_sure(item: Compared) -> bool:
    return item.p_holm is not None and item.p_holm < ALPHA


def _cell(item: Compared) -> str:
    """Return the difference and its p, and below them the interval."""
    value = item.difference.difference
    if value is None:
        return UNDEFINED
    text = f"{value:+.3f}  p {_p(item, item.p_holm)}\n{_interval(item)}"
    return mark(text, item.seen)


def _difference(item: Compared, *, between: str = "\n") -> str:
    value = item.difference.difference
    if value is None:
        return UNDEFINED
    return mark(f"{value:+.3f} {_interval(item)}", item.seen, between=between)


def _interval(item: Compared) -> str:
    ci = item.difference.ci
    return NO_INTERVAL if ci is None else PAIR.format(*ci, form="+.3f")


def _side(item: Compared, at: int, *, between: str = "\n") -> str:
    """Return the figure of one of the rows."""
    value = (item.difference.first, item.difference.second)[at]
    text = UNDEFINED if value is None else f"{value:.3f}"
    return mark(text, item.sides[at].row.seen, between=between)


def _p(item: Compared, value: float | None) -> str:
    missing = UNDEFINED if item.difference.difference is None else NOT_COMPUTED
    return missing if value is None else f"{value:.3f}"
