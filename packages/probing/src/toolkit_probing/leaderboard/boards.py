"""Boards: rows of one data set and one protocol, and no others, ranked.

What may stand together is settled by what runs have recorded: data set and its contents, label,
classes, splits and test images, protocol with all that differs from it, inputs, amount of labels,
share of the metadata hidden at test, and whether the encoder was tuned. Runs that differ in any of
it stand in boards of their own.
"""

import hashlib
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf

from toolkit_common.printable import counted
from toolkit_common.scores.metrics import LOWER_IS_BETTER, metric_name
from toolkit_common.seen.check import EXPLAINED, MARKS
from toolkit_probing.leaderboard.standings import (
    Figure,
    Judged,
    Standing,
    figure_of,
    from_published,
    known_pretraining,
    measured,
)
from toolkit_probing.published.beside import (
    PUBLISHED_METRIC,
    is_beside,
    name_preferred,
    preferred_rows,
)
from toolkit_probing.published.rows import METHODS, Published
from toolkit_probing.reports.entries import baselines_beside, least_hidden, most_labels
from toolkit_probing.results.names import method_heading, short_data
from toolkit_probing.results.rows import Row
from toolkit_probing.results.saved import SavedRun
from toolkit_probing.results.summary import why_no_intervals
from toolkit_probing.task.hiding import percent
from toolkit_probing.task.subsets import ALL

LEADING = ("ep", "linear", "knn")  # by which encoders are ranked, as far as they have them
CHANGED = "THE DATA CHANGED between the runs: those on other contents stand in a table of their own"
OWN_METRIC = "auroc"


@dataclass(frozen=True)
class Board:
    """A leaderboard: encoders of one data set under one protocol, the best first.

    Attributes:
        title: Data set and label.
        facts: What all its figures share.
        metric: Which.
        methods: Its columns.
        standings: Its rows.
        baselines: Name -> figure of what reads no image.
        notes: What must be known to read it.
    """

    title: str
    facts: str
    metric: str
    methods: Sequence[str]
    standings: Sequence[Standing]
    baselines: Sequence[tuple[str, Figure]]
    notes: Sequence[str]

    @property
    def has_published(self) -> bool:
        """Whether published figures stand beside those measured here."""
        return any(item.origin == "published" for item in self.standings)

    @property
    def selected(self) -> list[str]:
        """The ways in which its figures were selected."""
        each = [figure.selected for item in self.standings for figure in item.figures.values()]
        return sorted({text for text in each if text})


@dataclass
class _Group:
    """Runs whose rows may stand together, and what was chosen among their rows."""

    first: SavedRun
    judged: list[Judged]
    baselines: dict[str, Row]
    chosen: list[str]

    def add(self, run: SavedRun, rows: dict[str, Row]) -> None:
        """Add a run's rows to those of its encoder where it has none of these methods yet."""
        for item in self.judged:
            if _encoder_of(item.runs[0]) == _encoder_of(run) and not item.rows.keys() & rows.keys():
                item.runs.append(run)
                item.rows.update(rows)
                return
        self.judged.append(Judged([run], rows))


def build_boards(
    runs: Sequence[SavedRun], *, metrics: Sequence[str] = (), published: Sequence[Published]
) -> list[Board]:
    """Return the leaderboards of some runs: one for each data set, protocol and metric.

    Args:
        runs: Finished probe runs.
        metrics: Which metrics; without any top-1 where published rows stand beside, else AUROC.
        published: Rows of others, which stand beside those of the same data and protocol.

    Raises:
        InputError: If results hold no such metric.
    """
    boards = []
    for group in _groups(runs):
        fitting = [item for item in published if is_beside(group.first, item)]
        own = (PUBLISHED_METRIC,) if fitting else (OWN_METRIC,)
        known = known_pretraining(published)
        boards += [_board(group, metric, fitting, known=known) for metric in metrics or own]
    return boards


def _groups(runs: Sequence[SavedRun]) -> list[_Group]:
    groups: dict[tuple[Hashable, str | None], _Group] = {}
    for run in runs:
        amount, hidden = most_labels(run), least_hidden(run)
        kinds: dict[Hashable, list[Row]] = {}
        for row in run.results.rows:
            if (row.labels, row.hidden_metadata) == (amount, hidden):
                kinds.setdefault((row.inputs, row.tune, amount, hidden), []).append(row)
        for kind, rows in kinds.items():
            task = (*_task_of(run), *kind)  # type: ignore[misc]
            key = (task, run.recorded.get("data"))
            group = groups.setdefault(key, _Group(run, [], {}, []))
            picked = preferred_rows(rows)
            group.chosen += name_preferred(run, rows, picked)
            group.add(run, picked)
            group.baselines |= {row.method: row for row in baselines_beside(run)}
    boards = Counter(of for of, _ in groups)
    for (of, _), group in groups.items():
        group.chosen += [CHANGED] * (boards[of] > 1)
    return list(groups.values())


def _encoder_of(run: SavedRun) -> tuple[Hashable, ...]:
    """Return what runs of one encoder share: a file of weights may be another by now."""
    backbone = run.results.backbone
    return backbone.id, backbone.random_weights, run.recorded.get("encoder")


def _task_of(run: SavedRun) -> tuple[Hashable, ...]:
    """Return what runs must share for their figures to stand in one table."""
    results = run.results
    data = results.data
    ids = "\n".join(sorted(map(str, run.test_rows.index)))
    return (
        data.id, data.label, tuple(data.classes), data.splits, tuple(sorted(data.sizes.items())),
        hashlib.sha256(ids.encode()).hexdigest(), results.protocol.line,
    )  # fmt: skip


def _board(
    group: _Group, metric: str, published: Sequence[Published], *, known: Mapping[str, str]
) -> Board:
    beside = published if metric == PUBLISHED_METRIC else ()
    standings = [
        *measured(group.judged, metric, known=known),
        *(standing for item in beside for standing in from_published(item)),
    ]
    held = dict.fromkeys(method for item in standings for method in item.figures)
    methods = [*(name for name in METHODS if name in held),
               *(name for name in held if name not in METHODS)]  # fmt: skip
    ranked = sorted(standings, key=lambda item: _rank(item, methods, metric))
    results = group.first.results
    title = beside[0].data.title if beside else short_data(results.data.id)
    board = Board(
        title=f"{title} ({results.data.label}){_inputs(group)}",
        facts=_facts(group, metric),
        metric=metric,
        methods=methods,
        standings=ranked,
        baselines=[(name, figure_of(row, metric)) for name, row in group.baselines.items()],
        notes=(),
    )
    return replace(board, notes=list(_notes(group, board, beside)))


def _rank(item: Standing, methods: Sequence[str], metric: str) -> tuple[float, ...]:
    """Return what sorts the best first: by EP, then what it lacks by the next.

    Below the others stand encoders that have seen whom they are judged on, and untrained ones.
    """
    sign = 1 if metric in LOWER_IS_BETTER else -1
    order = [*LEADING, *(name for name in methods if name not in LEADING)]
    values = [item.figures[name].value if name in item.figures else None for name in order]
    apart = item.is_random or any(figure.seen == "seen" for figure in item.figures.values())
    return (float(apart), *(inf if value is None else sign * value for value in values))


def _inputs(group: _Group) -> str:
    """Return what rows read, of boards that are not of images alone."""
    row = next(iter(group.judged[0].rows.values()))
    return "" if row.inputs == "image" else f", {row.inputs}"


def _facts(group: _Group, metric: str) -> str:
    results = group.first.results
    data, row = results.data, next(iter(group.judged[0].rows.values()))
    folds = f", each tested once in {len(results.folds)} folds" if results.folds else ""
    inputs = "" if row.inputs == "image" else f", inputs {row.inputs}"
    if row.hidden_metadata:
        inputs += f", {percent(row.hidden_metadata)} of the metadata hidden at test"
    tuned = f", TUNED encoders ({row.tune}), not to be ranked with frozen ones" * row.is_tuned
    few = "" if row.labels == ALL else f", learned from {row.labels}"
    return (
        f"{metric_name(metric)}, {data.sizes['test']:,} test images of {data.num_test_groups:,} "
        f"groups{folds}, splits {data.splits}, {results.protocol.line}{inputs}{few}{tuned}"
    )


def _notes(group: _Group, board: Board, published: Sequence[Published]) -> Iterator[str]:
    own = [item for item in board.standings if item.origin == "here"]
    figures = [figure for item in own for figure in item.figures.values()]
    order = [method_heading(name) for name in LEADING if name in board.methods]
    yield f"ranked by {', then '.join(order or map(method_heading, board.methods))}"
    if any(item.is_random for item in own) or any(figure.seen == "seen" for figure in figures):
        yield "below the others, not ranked with them: untrained encoders, and those marked SEEN"
    if len(board.selected) == 1:
        yield f"all figures: {board.selected[0]}"
    for status in dict.fromkeys(figure.seen for figure in figures):
        if status in MARKS:
            yield f"{MARKS[status]}: {EXPLAINED[status]}"
    if any(item.is_random for item in own):
        yield "RANDOM WEIGHTS: the figures judge no trained encoder"
    for item in published:
        yield from _on_published(item)
    yield from group.chosen
    rows = [row for judged in group.judged for row in judged.rows.values()]
    if any(figure.interval for figure in figures):
        yield "in brackets: 95 % intervals by bootstrap over groups"
    yield from why_no_intervals(row.metrics[board.metric] for row in rows)
    remarked = sum(bool(row.remarks) for row in rows)
    if remarked:
        figures_have = f"{counted(remarked, 'figure')} {'has' if remarked == 1 else 'have'} remarks"
        yield f"{figures_have}: toolkit report shows them, and compare differences"


def _on_published(published: Published) -> Iterator[str]:
    yield f"published: figures of {published.citation}; not measured here, and one training each"
    yield from (f"published {note}" for note in published.notes)
    names: dict[str, list[str]] = {}
    for row in published.rows.values():
        if row.stochastic:
            names.setdefault(row.stochastic, []).append(row.title)
    if names:
        each = "; ".join(f"{what}: {', '.join(rows)}" for what, rows in names.items())
        yield f"published*: layers of the frozen encoder were random while heads trained ({each})"
