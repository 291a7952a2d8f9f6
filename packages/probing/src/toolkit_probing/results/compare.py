"""`toolkit compare`: is one probe better than another on the same test images, or is it chance?"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from toolkit_common.errors import InputError
from toolkit_common.scores.folds import estimate_fold_difference
from toolkit_common.scores.metrics import Predictions, find_metric
from toolkit_common.scores.statistics import Difference, adjust_holm, estimate_difference
from toolkit_common.seen.check import MARKS, SeenStatus
from toolkit_probing.heads.inputs import place_name
from toolkit_probing.results.rows import Row
from toolkit_probing.results.saved import SavedRow, SavedRun, choose_row, read_run
from toolkit_probing.results.summary import TUNED

CONFUSION = "confusion"  # counts, no metric: reports alone have it
MOST_PAIRED = 10  # rows of a run up to which each is compared with each
MIXED = "TUNED AGAINST FROZEN: what the tuning changes; it ranks no encoders or probes"

Pair = tuple[SavedRow, SavedRow]


@dataclass(frozen=True)
class Compared:
    """One metric of two rows on the same test images.

    Attributes:
        first: One row.
        second: The other.
        metric: Which metric.
        difference: Of the second from the first.
        p_holm: The p-value, adjusted for all pairs of its table by this metric.
    """

    first: SavedRow
    second: SavedRow
    metric: str
    difference: Difference
    p_holm: float | None = None

    @property
    def sides(self) -> Pair:
        """Both rows."""
        return self.first, self.second

    @property
    def seen(self) -> SeenStatus:
        """The worse of what is known of both: whether an encoder has seen whom it is judged on."""
        both = [side.row.seen for side in self.sides]
        return next((status for status in MARKS if status in both), "")

    @property
    def table(self) -> str:
        """Title of its table: probes, tuned encoders, and one with the other stand apart."""
        tuned = [side.row.is_tuned for side in self.sides]
        return TUNED if all(tuned) else MIXED if any(tuned) else ""

    def to_json(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        first, second = ({"run": str(side.run), **side.row.described} for side in self.sides)
        sides = {"first_row": first, "second_row": second, "metric": self.metric}
        return {**sides, **asdict(self.difference), "p_holm": self.p_holm}


@dataclass(frozen=True)
class Comparison:
    """Rows compared pair by pair, all on the same test images.

    Attributes:
        num_images: Test images.
        num_groups: Their groups.
        num_folds: Folds whose test images they are together; 0 of a single split.
        compared: One a pair and metric.
        runs: What was compared, each once.
    """

    num_images: int
    num_groups: int
    num_folds: int
    compared: Sequence[Compared]
    runs: Sequence[SavedRun]

    def tables(self) -> Iterator[tuple[str, list[Compared]]]:
        """Yield each table's title and what stands in it; none that is empty."""
        for title in ("", TUNED, MIXED):
            if mine := [item for item in self.compared if item.table == title]:
                yield title, mine

    def to_json(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {
            "num_images": self.num_images,
            "num_groups": self.num_groups,
            "num_folds": self.num_folds,
            "comparisons": [item.to_json() for item in self.compared],
        }


def compare_runs(
    paths: Sequence[Path], *, rows: Sequence[str], metrics: Sequence[str]
) -> Comparison:
    """Compare variants of one run, or those of one name of two runs.

    Args:
        paths: One or two run folders.
        rows: Names of the two variants to compare (the first in the first run, the second in the
            last); none: each of one run with each (of more than `MOST_PAIRED` all with the first),
            or every variant that two runs share.
        metrics: By which metrics.

    Raises:
        InputError: If a run or variant is not there, there is nothing to compare, or test images,
            classes, patients or targets differ.
    """
    if CONFUSION in metrics:
        raise InputError(f"{CONFUSION} is no number to compare: toolkit report shows it")
    # Before anything is read, so that a misspelt metric costs no time.
    for metric in metrics:
        find_metric(metric)
    if len(paths) not in (1, 2):
        raise InputError(f"compare takes one run or two, got {len(paths)}")
    runs = [read_run(path) for path in paths]
    if len(runs) == 2:
        _refuse_other_task(*runs)
        _refuse_other_version(*runs)
    compared: list[Compared] = []
    for first, second in _pairs(runs, rows):
        other = _aligned(first, second)
        differences = _estimate(first, other, metrics=metrics)
        compared += [Compared(first, second, *item) for item in differences.items()]
    example = next(iter(runs[0].rows.values()))
    return Comparison(
        num_images=len(example.image_ids),
        num_groups=int(np.unique(example.groups).size),
        num_folds=0 if example.folds is None else int(np.unique(example.folds).size),
        compared=_adjusted(compared),
        runs=list({run.path: run for run in runs}.values()),
    )


def _estimate(
    first: SavedRow, other: Sequence[Predictions], *, metrics: Sequence[str]
) -> dict[str, Difference]:
    if first.folds is None:
        return estimate_difference(first.predictions, other, first.groups, names=metrics)
    sides = (first.predictions, other)
    return estimate_fold_difference(sides, first.groups, first.folds, names=metrics)


def _adjusted(compared: Sequence[Compared]) -> list[Compared]:
    """Adjust each p-value for all of its metric that stand in its table."""
    families: dict[tuple[str, str], list[Compared]] = {}
    for item in compared:
        families.setdefault((item.table, item.metric), []).append(item)
    adjusted = {
        key: iter(adjust_holm([item.difference.p for item in family]))
        for key, family in families.items()
    }
    return [replace(item, p_holm=next(adjusted[item.table, item.metric])) for item in compared]


def _pairs(runs: Sequence[SavedRun], rows: Sequence[str]) -> list[Pair]:
    first, last = runs[0], runs[-1]
    if rows:
        if len(rows) != 2:
            raise InputError(f"--rows takes two names, got {len(rows)}: {', '.join(rows)}")
        return [(choose_row(first, rows[0]), choose_row(last, rows[1]))]
    if len(runs) == 1:
        reference, *others = first.rows.values()
        if not others:
            raise InputError(f"{first.path} has one row, {reference.row.name!r}: name a second run")
        if len(first.rows) <= MOST_PAIRED:
            return list(combinations(first.rows.values(), 2))
        return [(reference, other) for other in others]
    if len(first.rows) == len(last.rows) == 1:
        return [(next(iter(first.rows.values())), next(iter(last.rows.values())))]
    # By the full name, else by it without layer and source, which two encoders may not share.
    for key in (attrgetter("name"), _name_without_place):
        mine, theirs = (
            {key(side.row): side for side in run.rows.values()} for run in (first, last)
        )
        unique = len(mine) == len(first.rows) and len(theirs) == len(last.rows)  # no name twice
        shared = [name for name in mine if name in theirs]
        if unique and shared:
            return [(mine[name], theirs[name]) for name in shared]
    raise InputError(
        f"no row of {first.path} ({', '.join(first.rows)}) has its like in {last.path} "
        f"({', '.join(last.rows)}): choose two with --rows"
    )


def _name_without_place(row: Row) -> str:
    """Two encoders differ in depth, and in what is read of them by default."""
    return row.name.replace(f"-{place_name(row.layer, row.source)}", "")


def _refuse_other_version(first: SavedRun, second: SavedRun) -> None:
    """Refuse to rank two versions of one protocol: what differs is how heads are trained."""
    one, other = first.results.protocol, second.results.protocol
    if one.name == other.name and one.version != other.version:
        older = first if one.version < other.version else second
        raise InputError(
            f"{first.path} is of protocol {one.name} v{one.version}, {second.path} of "
            f"v{other.version}: versions are not ranked with each other; run {older.path} again"
        )


def _refuse_other_task(first: SavedRun, second: SavedRun) -> None:
    one, other = first.results.data, second.results.data
    for what, mine, theirs in (
        ("labels", one.label, other.label),
        ("classes", list(one.classes), list(other.classes)),
    ):
        if mine != theirs:
            raise InputError(
                f"{first.path} and {second.path} cannot be compared: the {what} differ: {mine} "
                f"against {theirs}"
            )


def _aligned(first: SavedRow, second: SavedRow) -> list[Predictions]:
    """Return the second's predictions in the first's order of images."""
    problem = _difference(first, second)
    if problem:
        if first.run == second.run:  # judged on the same images, all at once
            raise InputError(
                f"the predictions of {first.run} are damaged: of {first.row.name} and "
                f"{second.row.name}, {problem}; run it again"
            )
        raise InputError(f"{first.run} and {second.run} cannot be compared: {problem}")
    # By id: two runs may have split or shuffled differently.
    at = {image: position for position, image in enumerate(second.image_ids)}
    order = np.array([at[image] for image in first.image_ids])
    return [Predictions(run.probabilities[order], run.targets[order]) for run in second.predictions]


def _difference(first: SavedRow, second: SavedRow) -> str | None:
    if (first.folds is None) != (second.folds is None):
        (whole, single) = (first, second) if second.folds is None else (second, first)
        return f"{whole.run} is of all folds, {single.run} is not: compare two of a kind"
    # Of one run its name would tell nothing.
    is_one = first.run == second.run
    names = [side.row.name if is_one else str(side.run) for side in (first, second)]
    ids, others = set(first.image_ids), set(second.image_ids)
    if ids != others:
        parts = [
            f"{len(only)} test images only in {name} (such as {min(only)!r})"
            for only, name in zip((ids - others, others - ids), names, strict=True)
            if only
        ]
        return "their test images differ: " + ", ".join(parts)
    for what in ("class", "group", "fold"):
        if what == "fold" and first.folds is None:
            continue
        mine, theirs = (
            dict(zip(side.image_ids, _column(side, what), strict=True)) for side in (first, second)
        )
        # Rows of different tables number themselves differently, and mean the same.
        if what == "group" and len(set(mine.values())) == len(set(theirs.values())) == len(mine):
            continue  # no groups on either side: each image stands for itself
        differing = [image for image in mine if mine[image] != theirs[image]]
        if differing:
            image = differing[0]
            return (
                f"the {what} of {len(differing)} test images differs, such as {image!r}: "
                f"{mine[image]} against {theirs[image]}"
            )
    return None


def _column(side: SavedRow, what: str) -> np.ndarray:
    if what == "fold":
        assert side.folds is not None, "a single split has no folds to compare"
        return side.folds
    return side.groups if what == "group" else side.predictions[0].targets
