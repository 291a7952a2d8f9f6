"""One table over a study's cells: which of their results stand in which row and column.

What is made of those is `toolkit_common.study.figures`.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from toolkit_common.printable import first_of
from toolkit_common.registry import did_you_mean
from toolkit_common.scores.metrics import LOWER_IS_BETTER, follows
from toolkit_common.scores.remarks import Remark, remarks_of
from toolkit_common.study.among import among
from toolkit_common.study.figures import (
    NONE,
    Figure,
    Group,
    Key,
    Unit,
    against_reference,
    figure_of,
    not_over_patients,
)
from toolkit_common.study.file import Scalar, Study, TableSpec, written
from toolkit_common.study.grid import Cell
from toolkit_common.study.records import COUNTS, FIELDS, OPTION, Record, read_records
from toolkit_common.study.state import State, Status

SHOWN = 5  # values that a message names
UNREAD = "?"  # of what a cell that is missing would have


@dataclass(frozen=True)
class Table:
    """A table's groups and figures.

    Attributes:
        spec: What was wanted.
        groups: By key; equal values stand together, as they first came in the cells.
        figures: Key and metric -> figure.
        missing: Ids of cells that are not done -> how far they are.
        remarks: What must be known to trust a figure.
    """

    spec: TableSpec
    groups: Mapping[Key, Group]
    figures: Mapping[tuple[Key, str], Figure]
    missing: Mapping[str, str]
    remarks: Sequence[Remark]

    @property
    def names(self) -> tuple[str, ...]:
        """What a key's values are of."""
        return (*self.spec.rows, *self.spec.columns)

    @cached_property
    def front(self) -> frozenset[Key]:
        """Rows that no row of as few has a better figure than: first count and first metric."""
        if self.spec.front is None:
            return frozenset()
        count, metric = next(iter(self.spec.counts)), next(iter(self.spec.metrics))
        sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
        within = [self.names.index(name) for name in self.spec.front]
        points: dict[Key, list[tuple[int, float, Key]]] = {}
        for key, group in self.groups.items():
            size, mean = group.count(count), self.figures[key, metric].mean
            if size and mean is not None:  # what has no parameters is beside the question
                part = tuple(key[at] for at in within)
                points.setdefault(part, []).append((size, -sign * mean, key))
        return frozenset(key for part in points.values() for key in _front(part))

    @cached_property
    def units(self) -> str:
        """What intervals over patients draw."""
        known = {record.groups for group in self.groups.values() for record in
                 group.records.values()}  # fmt: skip
        return "images" if known == {"images"} else "patients"

    @cached_property
    def judged(self) -> str:
        """Which part of the test images figures are of, for humans; empty where it is all."""
        wanted = [f"{name} {' or '.join(map(written, values))}" for name, values in
                  self.spec.test_rows.items()]  # fmt: skip
        ids = [record.kept for group in self.groups.values() for record in
               group.records.values() if record.kept is not None]  # fmt: skip
        count = len(frozenset().union(*ids))
        return f"{count:,} with {' and '.join(wanted)}" if wanted else ""

    @cached_property
    def reference(self) -> str:
        """The reference, for humans."""
        return ", ".join(written(value) for value in self.spec.against.values() if value != NONE)

    @property
    def unknown_reference(self) -> str:
        """Which value of the reference no row has, and what rows have, for humans; else empty."""
        for name, value in self.spec.against.items():
            known = list(dict.fromkeys(key[self.names.index(name)] for key in self.groups))
            if written(value) not in known:
                return f"no row has {name} {written(value)}: there are {first_of(known, SHOWN)}"
        return ""


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
    if not _has_cells(study, name, cells):
        return
    axes = _axes(_contributing(study, spec, cells))
    _check_counts(study, name, spec)
    _check_names(study, name, {*axes, *FIELDS})
    keys = {*spec.rows, *spec.columns}
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


def _check_names(study: Study, name: str, known: set[str]) -> None:
    """Refuse what names no axis, and what is of none of the table's own."""
    spec, place = study.tables[name], study.place_of(name)
    for part, names in (
        ("rows", spec.rows), ("columns", spec.columns), ("where", spec.where),
        ("against", spec.against), ("baselines", spec.baselines),
        ("front", spec.front or ()),
        ("over", () if spec.over == TableSpec.model_fields["over"].default else spec.over),
    ):  # fmt: skip
        for item in names:
            if item not in known and not OPTION.fullmatch(item):
                raise study.error(
                    (*place, part), f"{item!r} is no axis of its steps{did_you_mean(item, known)}"
                )
    keys = {*spec.rows, *spec.columns}
    for part, names in (("against", tuple(spec.against)), ("front", spec.front or ())):
        for item in names:
            if item not in keys:
                raise study.error((*place, part), f"{item!r} is neither in rows nor in columns")


def _check_counts(study: Study, name: str, spec: TableSpec) -> None:
    place = study.place_of(name)
    for count in spec.counts:
        if count not in COUNTS:
            hint = did_you_mean(count, COUNTS)
            raise study.error((*place, "counts"), f"{count!r} is no count of a row{hint}")
    if spec.front is not None and not spec.counts:
        raise study.error((*place, "front"), "a front is of a figure against a count: give counts")
    if spec.test_rows and (other := [item for item in spec.metrics if not follows(item)]):
        raise study.error(
            (*place, "test_rows"),
            f"{other[0]} does not follow from predictions, and test_rows takes a part of them",
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
        (key, metric): figure_of(spec, group, metric) for key, group in groups.items()
        for metric in spec.metrics
    }  # fmt: skip
    if spec.against:
        figures = {at: against_reference(spec, groups, figures, at=at) for at in figures}
    missing = {
        cell.id: statuses[cell.id].state.value
        for cell in mine
        if statuses[cell.id].state is not State.DONE
    }
    of_table = map(Remark, [*builder.unmatched(), *not_over_patients(figures)])
    of_rows = remarks_of(
        (" ".join(key), text)
        for key, group in groups.items()
        for record in group.records.values()
        for text in record.remarks
    )
    return Table(spec, groups, figures, missing, [*of_table, *of_rows])


def _front(points: Sequence[tuple[int, float, Key]]) -> Iterator[Key]:
    """Yield the points that none beats in one of count and loss and reaches in the other."""
    best, least = math.inf, 0
    for count, loss, key in sorted(points):
        if loss < best:
            best, least = loss, count
        if (count, loss) == (least, best):  # of equal ones all: a name is no reason
            yield key


def _has_cells(study: Study, name: str, cells: Sequence[Cell]) -> bool:
    """Tell whether any cell of a table's steps is there: a parameter may leave all of them out."""
    steps = _steps(study, study.tables[name])
    return any(cell.step in steps for cell in cells)


def _steps(study: Study, spec: TableSpec) -> tuple[str, ...]:
    needed = {need for step in study.spec.steps.values() for need in step.needs}
    return spec.steps or tuple(name for name in study.spec.steps if name not in needed)


def _contributing(study: Study, spec: TableSpec, cells: Sequence[Cell]) -> list[Cell]:
    steps = _steps(study, spec)
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


def _in_order(groups: Mapping[Key, Group]) -> dict[Key, Group]:
    """Return groups so that equal values stand together, values as they first came."""
    ranks = [list(dict.fromkeys(values)) for values in zip(*groups, strict=True)]
    keys = sorted(groups, key=lambda key: [*map(list.index, ranks, key)])
    return {key: groups[key] for key in keys}


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
    metrics: set[str] = field(default_factory=set)

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.spec.rows, *self.spec.columns)

    def add(self, cell: Cell, records: Sequence[Record]) -> None:
        """Put a cell's records where they belong; one without any leaves its place."""
        named = list(map(self._named, records))
        for name in self.spec.where:
            known = {written(item.fields[name]) for item in named if name in item.fields}
            self.offered.setdefault(name, set()).update(known)
        for record in named:
            self.metrics.update(record.metrics)
        shown = [record for record in named if self._is_shown(record)]
        if self.spec.test_rows:
            shown = [among(record, self.spec.test_rows) for record in shown]
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
        return _in_order({**self.known, **self.baselines, **unread})

    def unmatched(self) -> list[str]:
        """Return which metrics and values of `where` no result has, a sentence each."""
        unknown = [name for name in self.spec.metrics if self.metrics and name not in self.metrics]
        return [f"NO RESULT has {name}{did_you_mean(name, self.metrics)}" for name in unknown] + [
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
            f"{record.cell.id}; {what}: name it in rows or columns, choose by where, or give what "
            "comes from elsewhere another name",
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


def pick_tables(study: Study, name: str | None, cells: Sequence[Cell]) -> Iterator[str]:
    """Yield the names of the tables to show: the one that is named, or all that have cells.

    Raises:
        InputError: If there is none of that name.
    """
    if name is not None and name not in study.tables:
        hint = did_you_mean(name, study.tables)
        raise study.error(("tables",), f"there is no table {name!r}{hint}")
    known = (each for each in study.tables if _has_cells(study, each, cells))
    yield from known if name is None else [name]
