"""Figures of a study's table: means over folds with intervals, and differences fold by fold.

A figure is the mean over the axes that the table averages over, seeds within a fold first. It is
of all cells that belong to it, or says how many of them are missing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from toolkit_common.scores.corrected_t import corrected_t
from toolkit_common.scores.metrics import follows
from toolkit_common.study.file import TableSpec, written
from toolkit_common.study.patients import Folds, UnpairedError, Value, over_patients
from toolkit_common.study.records import Record

OF_SPLITS = ("fold", "split_seed")  # axes whose values test other patients
NONE = "-"  # of what a row has not
# What an interval is of: one cell's bootstrap, the spread over folds, the patients of all folds.
OWN, FOLDS, PATIENTS = "own", "folds", "patients"

Key = tuple[str, ...]  # values of a table's rows and columns
Unit = tuple[str, ...]  # values of what is averaged over


@dataclass(frozen=True)
class Gap:
    """How far a figure lies above its reference.

    Attributes:
        mean: The difference that the interval is of, None if undefined.
        interval: 95 % interval of it, None without one.
        units: Cells that have a counterpart.
        interval_of: `patients` or `folds`; empty without an interval.
        over_folds: The interval over the folds, whichever of both is shown.
        why: Why it is not over patients, where it would be.
    """

    mean: float | None
    interval: tuple[float, float] | None
    units: int
    interval_of: str = ""
    over_folds: tuple[float, float] | None = None
    why: str = ""


@dataclass(frozen=True)
class Figure:
    """One metric of one row and column.

    Attributes:
        mean: Mean over folds and seeds, None if undefined or missing.
        interval: 95 % interval, None without one.
        interval_of: `folds`, `patients` or `own`; empty without one.
        gap: Against the reference; None for the reference, or where there is none.
    """

    mean: float | None
    interval: tuple[float, float] | None = None
    interval_of: str = ""
    gap: Gap | None = None


@dataclass
class Group:
    """What stands in one row and column.

    Attributes:
        key: Its values of the table's rows and columns.
        expected: What is averaged over, of all its cells.
        records: Of those that are there.
    """

    key: Key
    expected: set[Unit] = field(default_factory=set)
    records: dict[Unit, Record] = field(default_factory=dict)

    @property
    def missing(self) -> int:
        """Cells that are not there."""
        return len(self.expected - self.records.keys())

    def has(self, metric: str) -> bool:
        """Whether any of its records has a metric."""
        return any(metric in record.metrics for record in self.records.values())

    def count(self, name: str) -> int | None:
        """Return a whole number that its records have; None if none has, or they differ."""
        known = {record.counts.get(name) for record in self.records.values()}
        return known.pop() if len(known) == 1 else None

    @property
    def is_baseline(self) -> bool:
        """Whether what stands here read no image."""
        return any(record.is_baseline for record in self.records.values())

    @property
    def marks(self) -> list[str]:
        """What must stand beside its figures."""
        return list(dict.fromkeys(mark for item in self.records.values() for mark in item.marks))

    @property
    def selected(self) -> list[str]:
        """How its figures were selected."""
        return sorted({item.selected for item in self.records.values()} - {""})


def figure_of(spec: TableSpec, group: Group, metric: str) -> Figure:
    """Return a metric of what stands in one row and column, with the interval that is wanted."""
    records = [record for record in group.records.values() if metric in record.metrics]
    values = [mean for item in records if (mean := item.metrics[metric]) is not None]
    if not values or len(values) < len(records):
        return Figure(None)
    if spec.intervals == PATIENTS:
        pooled = over_patients(_by_split(records), metric)
        return Figure(*pooled, PATIENTS) if pooled else Figure(_over(values, records)[0])
    mean, interval = _over(values, records)
    if interval is not None:
        return Figure(mean, interval, FOLDS)
    if len(values) == 1:
        own = records[0].intervals.get(metric)
        return Figure(mean, own, OWN if own else "")
    return Figure(mean)


def _over(
    values: Sequence[float], records: Sequence[Record]
) -> tuple[float, tuple[float, float] | None]:
    """Return the mean over records, those of one split first, and its interval over splits."""
    by_split: dict[Unit, list[float]] = {}
    for value, record in zip(values, records, strict=True):
        by_split.setdefault(_split_of(record), []).append(value)
    means = [float(np.mean(part)) for part in by_split.values()]
    shares = [record.test_to_train for record in records]
    known = [share for share in shares if share is not None]
    if len(means) < 2 or len(known) < len(shares):
        return float(np.mean(means)), None
    mean, half = corrected_t(means, test_to_train=float(np.mean(known)))
    return mean, (mean - half, mean + half)


def _by_split(records: Iterable[Record]) -> list[list[Record]]:
    folds: dict[Unit, list[Record]] = {}
    for record in records:
        folds.setdefault(_split_of(record), []).append(record)
    return list(folds.values())


def _split_of(record: Record) -> Unit:
    return tuple(written(record.fields.get(axis, NONE)) for axis in OF_SPLITS)


def against_reference(
    spec: TableSpec,
    groups: Mapping[Key, Group],
    figures: Mapping[tuple[Key, str], Figure],
    *,
    at: tuple[Key, str],
) -> Figure:
    """Return a figure with its difference from its reference."""
    key, metric = at
    names = (*spec.rows, *spec.columns)
    other = tuple(
        written(spec.against[name]) if name in spec.against else value
        for name, value in zip(names, key, strict=True)
    )
    if other == key or other not in groups or figures[at].mean is None:
        return figures[at]
    mine, theirs = groups[key].records, groups[other].records
    pairs = [(one, two) for one in mine for two in theirs if _are_paired(one, two, spec.over)]
    gaps = []
    for one, two in pairs:
        own, wanted = mine[one].metrics.get(metric), theirs[two].metrics.get(metric)
        if own is None or wanted is None:
            return figures[at]
        gaps.append(own - wanted)
    if not gaps:
        return figures[at]
    sides = [mine[one] for one, _ in pairs], [theirs[two] for _, two in pairs]
    mean, interval = _over(gaps, sides[0])
    units = len({one for one, _ in pairs})
    gap = Gap(mean, interval, units, FOLDS if interval else "", interval)
    whole = _over_patients(gap, spec, metric, sides=[_by_split(side) for side in sides])
    return replace(figures[at], gap=whole)


def _are_paired(one: Unit, two: Unit, axes: Sequence[str]) -> bool:
    """Whether two cells are compared: they agree in each axis, as far as both have it.

    So a control without seeds stands against every seed. Of splits both must have the same: others
    test other patients.
    """
    return all(
        first == second or (NONE in (first, second) and axis not in OF_SPLITS)
        for axis, first, second in zip(axes, one, two, strict=True)
    )


def _over_patients(gap: Gap, spec: TableSpec, metric: str, *, sides: Sequence[Folds]) -> Gap:
    """Return a difference with its interval over patients, where the table wants it."""
    if spec.intervals == FOLDS:
        return gap
    why, value = "", None
    try:
        value = over_patients(sides[0], metric, against=sides[1])
    except UnpairedError as error:
        if spec.intervals == PATIENTS:
            raise
        why = str(error)
    if value is not None and (value[1] is not None or spec.intervals == PATIENTS):
        known = replace(gap, mean=value[0], interval=value[1])
        return replace(known, interval_of=PATIENTS if value[1] else "")
    if spec.intervals == PATIENTS:
        return replace(gap, interval=None, interval_of="")
    return replace(gap, why=why or _why_not(value, sides, metric))


def _why_not(value: Value | None, sides: Sequence[Folds], metric: str) -> str:
    """Return why there is no interval over patients; of results without rows nobody expects it."""
    records = [record for side in sides for fold in side for record in fold]
    if not any(record.predictions for record in records):
        return ""
    if value is not None:
        return "its resamples over patients do not define it"
    if not all(record.predictions for record in records):
        return "some of its cells have no predictions"
    if not follows(metric):
        return f"{metric} does not follow from predictions"
    return "its folds have different numbers of repeats"


def not_over_patients(figures: Mapping[tuple[Key, str], Figure]) -> list[str]:
    """Return which differences are over folds where predictions would give patients, and why."""
    reasons: dict[str, dict[str, None]] = {}
    for (key, _), figure in figures.items():
        if figure.gap and figure.gap.why:
            reasons.setdefault(figure.gap.why, {})[" ".join(key)] = None
    return [f"NOT OVER PATIENTS: {', '.join(rows)}: {why}" for why, rows in reasons.items()]
