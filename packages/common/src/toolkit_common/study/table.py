"""One table over a study's cells: means over folds with intervals, and differences fold by fold.

A figure is the mean over the axes that the table averages over, seeds within a fold first. It is
of all cells that belong to it, or says how many of them are missing.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from toolkit_common.registry import did_you_mean
from toolkit_common.scores.corrected_t import corrected_t
from toolkit_common.study.file import Scalar, Study, TableSpec, written
from toolkit_common.study.grid import Cell
from toolkit_common.study.patients import Folds, UnpairedError, Value, over_patients
from toolkit_common.study.records import FIELDS, Record, read_records
from toolkit_common.study.state import State, Status

OF_SPLITS = ("fold", "split_seed")  # axes whose values test other patients
NONE = "-"  # of what a row has not
UNREAD = "?"  # of what a cell that is missing would have
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
        units: Cells that both have.
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

    @property
    def marks(self) -> list[str]:
        """What must stand beside its figures."""
        return list(dict.fromkeys(mark for item in self.records.values() for mark in item.marks))

    @property
    def selected(self) -> list[str]:
        """How its figures were selected."""
        return sorted({item.selected for item in self.records.values()} - {""})


@dataclass(frozen=True)
class Table:
    """A table's groups and figures.

    Attributes:
        spec: What was wanted.
        groups: By key, in the order of the cells.
        figures: Key and metric -> figure.
        missing: Ids of cells that are not done -> how far they are.
        remarks: What must be known to trust a figure.
    """

    spec: TableSpec
    groups: Mapping[Key, Group]
    figures: Mapping[tuple[Key, str], Figure]
    missing: Mapping[str, str]
    remarks: Sequence[str]

    @property
    def names(self) -> tuple[str, ...]:
        """What a key's values are of."""
        return (*self.spec.rows, *self.spec.columns)

    @cached_property
    def reference(self) -> str:
        """The reference, for humans."""
        return ", ".join(written(value) for value in self.spec.against.values())


def check_table(study: Study, name: str, cells: Sequence[Cell]) -> None:
    """Refuse a table that names what no cell has, or averages over what it does not say.

    Raises:
        InputError: If so; names the place.
    """
    spec, place = study.tables[name], study.place_of(name)
    for step in spec.steps:
        if step not in study.spec.steps:
            hint = did_you_mean(step, study.spec.steps)
            raise study.error((*place, "steps"), f"there is no step {step!r}{hint}")
    axes = _axes(_contributing(study, spec, cells))
    known = {*axes, *FIELDS}
    keys = {*spec.rows, *spec.columns}
    for part, names in (
        ("rows", spec.rows), ("columns", spec.columns), ("where", spec.where),
        ("against", spec.against), ("baselines", spec.baselines),
        ("over", () if spec.over == TableSpec.model_fields["over"].default else spec.over),
    ):  # fmt: skip
        for item in names:
            if item not in known:
                raise study.error(
                    (*place, part), f"{item!r} is no axis of its steps{did_you_mean(item, known)}"
                )
    for item in spec.against:
        if item not in keys:
            raise study.error((*place, "against"), f"{item!r} is neither in rows nor in columns")
    if both := keys.intersection(spec.over):
        raise study.error((*place, "over"), f"{min(both)!r} is in rows or columns, too")
    for axis, values in axes.items():
        chosen = {written(value) for value in spec.where.get(axis, values)}
        if len(values & chosen) > 1 and axis not in keys and axis not in spec.over:
            raise study.error(
                place,
                f"axis {axis!r} has {len(values & chosen)} values: name it in rows, columns, over "
                "(to average over it) or where",
            )


def build_table(
    study: Study, name: str, cells: Sequence[Cell], *, statuses: Mapping[str, Status]
) -> Table:
    """Return a table of a study.

    Args:
        study: The study.
        name: Which of its tables.
        cells: All its cells.
        statuses: How far each is; only those that are done are read.

    Raises:
        InputError: If a result cannot be read, or two would stand in one place.
    """
    spec = study.tables[name]
    mine = _contributing(study, spec, cells)
    builder = _Builder(study, name, spec, mine)
    for cell in mine:
        is_done = statuses[cell.id].state is State.DONE
        builder.add(cell, list(read_records(cell)) if is_done else [])
    groups = builder.groups()
    figures = {
        (key, metric): _figure(spec, group, metric) for key, group in groups.items()
        for metric in spec.metrics
    }  # fmt: skip
    if spec.against:
        figures = {at: _against(spec, groups, figures, at=at) for at in figures}
    missing = {
        cell.id: statuses[cell.id].state.value
        for cell in mine
        if statuses[cell.id].state is not State.DONE
    }
    remarks = dict.fromkeys(
        f"{' '.join(key)}: {remark}"
        for key, group in groups.items()
        for record in group.records.values()
        for remark in record.remarks
    )
    apart = _not_over_patients(figures)
    return Table(spec, groups, figures, missing, [*builder.unmatched(), *apart, *remarks])


def _not_over_patients(figures: Mapping[tuple[Key, str], Figure]) -> list[str]:
    """Return which differences are over folds where predictions would give patients, and why."""
    reasons: dict[str, dict[str, None]] = {}
    for (key, _), figure in figures.items():
        if figure.gap and figure.gap.why:
            reasons.setdefault(figure.gap.why, {})[" ".join(key)] = None
    return [f"NOT OVER PATIENTS: {', '.join(rows)}: {why}" for why, rows in reasons.items()]


def _contributing(study: Study, spec: TableSpec, cells: Sequence[Cell]) -> list[Cell]:
    needed = {need for step in study.spec.steps.values() for need in step.needs}
    steps = spec.steps or tuple(name for name in study.spec.steps if name not in needed)
    chosen = {axis: {written(value) for value in values} for axis, values in spec.where.items()}
    return [
        cell
        for cell in cells
        if cell.step in steps
        and all(
            axis not in cell.values or written(cell.values[axis]) in values
            for axis, values in chosen.items()
        )
    ]


def _axes(cells: Iterable[Cell]) -> dict[str, set[str]]:
    axes: dict[str, set[str]] = {}
    for cell in cells:
        for axis, value in cell.values.items():
            axes.setdefault(axis, set()).add(written(value))
    return axes


@dataclass
class _Builder:
    """Puts records into groups."""

    study: Study
    name: str
    spec: TableSpec
    cells: Sequence[Cell]
    known: dict[Key, Group] = field(default_factory=dict)
    baselines: dict[Key, Group] = field(default_factory=dict)
    steps: dict[Key, set[str]] = field(default_factory=dict)
    unread: dict[Key, Group] = field(default_factory=dict)
    offered: dict[str, set[str]] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.spec.rows, *self.spec.columns)

    def add(self, cell: Cell, records: Sequence[Record]) -> None:
        """Put a cell's records where they belong; one without any leaves its place."""
        named = list(map(self._named, records))
        for name in self.spec.where:
            known = {written(item.fields[name]) for item in named if name in item.fields}
            self.offered.setdefault(name, set()).update(known)
        shown = [record for record in named if self._is_shown(record)]
        for record in shown:
            key = self._key(record.fields)
            groups = self.baselines if record.is_baseline else self.known
            group = groups.setdefault(key, Group(key))
            self.steps.setdefault(key, set()).add(cell.step)
            self._put_(group, record)
        if not records:
            key = self._key(cell.values, missing=UNREAD)
            self.unread.setdefault(key, Group(key)).expected.add(self._unit(cell.values))

    def groups(self) -> dict[Key, Group]:
        """Return the groups, each with all that it expects."""
        units = {self._unit(cell.values) for cell in self.cells}
        for group in self.baselines.values():
            group.expected = units
        for key, group in self.known.items():
            group.expected = {
                self._unit(cell.values)
                for cell in self.cells
                if cell.step in self.steps[key] and self._fits(cell, key)
            }
        covered = [cell for cell in self.cells if any(self._fits(cell, key) and cell.step in
                   self.steps[key] for key in self.known)]  # fmt: skip
        there = {self._key(cell.values, missing=UNREAD) for cell in covered}
        unread = {key: group for key, group in self.unread.items() if key not in there}
        return {**self.known, **self.baselines, **unread}

    def unmatched(self) -> list[str]:
        """Return which values of `where` no result has, a sentence each."""
        return [
            f"NO RESULT has {name} {written(value)}: there are {', '.join(sorted(offered))}"
            for name, offered in self.offered.items()
            for value in self.spec.where[name]
            if offered and written(value) not in offered
        ]

    def _named(self, record: Record) -> Record:
        """Give a baseline the names that stand in for axes that it does not depend on."""
        if not record.is_baseline:
            return record
        return replace(record, fields={**record.fields, **self.spec.baselines})

    def _is_shown(self, record: Record) -> bool:
        if record.is_baseline and not self.spec.baselines:
            return False
        if not any(metric in record.metrics for metric in self.spec.metrics):
            return False
        return all(
            written(record.fields.get(name, NONE)) in {written(value) for value in values}
            for name, values in self.spec.where.items()
        )

    def _put_(self, group: Group, record: Record) -> None:
        unit = self._unit(record.fields)
        first = group.records.setdefault(unit, record)
        if first is record:
            return
        if record.is_baseline and first.metrics == record.metrics:
            return  # the same, judged beside another encoder
        differing = [name for name in (*record.cell.values, *FIELDS) if
                     first.fields.get(name) != record.fields.get(name)]  # fmt: skip
        what = f"they differ in {differing[0]}" if differing else "a baseline differs"
        raise self.study.error(
            self.study.place_of(self.name),
            f"two results stand in one place, {' '.join(group.key)}: of {first.cell.id} and "
            f"{record.cell.id}; {what}: name it in rows or columns, or choose by where",
        )

    def _key(self, fields: Mapping[str, Scalar], *, missing: str = NONE) -> Key:
        return tuple(written(fields[name]) if name in fields else missing for name in self.names)

    def _unit(self, fields: Mapping[str, Scalar]) -> Unit:
        return tuple(written(fields.get(name, NONE)) for name in self.spec.over)

    def _fits(self, cell: Cell, key: Key) -> bool:
        return all(
            written(cell.values[name]) == value
            for name, value in zip(self.names, key, strict=True)
            if name in cell.values
        )


def _figure(spec: TableSpec, group: Group, metric: str) -> Figure:
    values = {
        unit: record.metrics[metric]
        for unit, record in group.records.items()
        if metric in record.metrics
    }
    if not values:
        return Figure(None)
    if any(value is None for value in values.values()):
        return Figure(None)
    known = {unit: value for unit, value in values.items() if value is not None}
    if spec.intervals == PATIENTS:
        value = over_patients(_by_split(known, group.records), metric)
        return Figure(*value, PATIENTS) if value else Figure(_over(known, group.records)[0])
    mean, interval = _over(known, group.records)
    if interval is not None:
        return Figure(mean, interval, FOLDS)
    if len(known) == 1:
        own = next(iter(group.records.values())).intervals.get(metric)
        return Figure(mean, own, OWN if own else "")
    return Figure(mean)


def _over(
    values: Mapping[Unit, float], records: Mapping[Unit, Record]
) -> tuple[float, tuple[float, float] | None]:
    """Return the mean over units, those of one split first, and its interval over splits."""
    by_split: dict[Unit, list[float]] = {}
    for unit, value in values.items():
        by_split.setdefault(_split_of(records[unit]), []).append(value)
    means = [float(np.mean(part)) for part in by_split.values()]
    shares = [record.test_to_train for record in records.values()]
    known = [share for share in shares if share is not None]
    if len(means) < 2 or len(known) < len(shares):
        return float(np.mean(means)), None
    mean, half = corrected_t(means, test_to_train=float(np.mean(known)))
    return mean, (mean - half, mean + half)


def _by_split(units: Iterable[Unit], records: Mapping[Unit, Record]) -> list[list[Record]]:
    folds: dict[Unit, list[Record]] = {}
    for unit in units:
        folds.setdefault(_split_of(records[unit]), []).append(records[unit])
    return list(folds.values())


def _split_of(record: Record) -> Unit:
    return tuple(written(record.fields.get(axis, NONE)) for axis in OF_SPLITS)


def _against(
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
    both = [unit for unit in mine if unit in theirs]
    gaps = {}
    for unit in both:
        one, two = mine[unit].metrics.get(metric), theirs[unit].metrics.get(metric)
        if one is None or two is None:
            return figures[at]
        gaps[unit] = one - two
    if not gaps:
        return figures[at]
    sides = [_by_split(gaps, records) for records in (mine, theirs)]
    mean, interval = _over(gaps, {unit: mine[unit] for unit in gaps})
    gap = Gap(mean, interval, len(gaps), FOLDS if interval else "", interval)
    return replace(figures[at], gap=_over_patients(gap, spec, metric, sides=sides))


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
    return replace(gap, why=why or _why_not(value, sides))


def _why_not(value: Value | None, sides: Sequence[Folds]) -> str:
    """Return why there is no interval over patients; of results without rows nobody expects it."""
    records = [record for side in sides for fold in side for record in fold]
    if not any(record.predictions for record in records):
        return ""
    if value is not None:
        return "its resamples over patients do not define it"
    if not all(record.predictions for record in records):
        return "some of its cells have no predictions"
    return "its folds have different numbers of repeats"


def pick_tables(study: Study, name: str | None) -> Iterator[str]:
    """Yield the names of the tables to show.

    Raises:
        InputError: If there is none of that name.
    """
    if name is not None and name not in study.tables:
        hint = did_you_mean(name, study.tables)
        raise study.error(("tables",), f"there is no table {name!r}{hint}")
    yield from study.tables if name is None else [name]
