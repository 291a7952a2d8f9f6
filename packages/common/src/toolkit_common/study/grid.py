"""A study's cells: every command line that it stands for, checked before the first one runs.

A step's cells are its own grid for each combination of cells of the steps that it needs, which fit
together where all axes that they share have the same value. A cell's name spells its values and
names its folder: equal names mean equal values, whatever else the grid gains.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from toolkit_common.config import Resolved
from toolkit_common.errors import InputError
from toolkit_common.registry import did_you_mean
from toolkit_common.study.commands import Command
from toolkit_common.study.file import (
    Options,
    Parameter,
    Scalar,
    Step,
    Study,
    fill_in,
    placeholders,
    written,
)

MAX_CELLS = 20_000
LONGEST_VALUE, LONGEST_NAME = 48, 180  # characters; file systems allow names of 255 bytes
ALONE = "run"  # the cell of a step without axes

Find = Callable[[str], Command]


@dataclass(frozen=True)
class Cell:
    """One command to carry out.

    Attributes:
        step: Its step.
        name: Spells its values; names its folder.
        values: Axis -> value, those of needed cells among them.
        needs: Step -> the cell of it that comes first.
        place: What it gives: its run folder, or its file.
        words: The command line behind `toolkit`, without what says how it is carried out.
        command: The command.
        resolved: Its settings; None of a command that is no run.
        meant: Axis -> what `{axis}` stands for: its value, or what the value names.
    """

    step: str
    name: str
    values: Mapping[str, Scalar]
    needs: Mapping[str, "Cell"]
    place: Path
    words: Sequence[str]
    command: Command
    resolved: Resolved[Any] | None
    meant: Mapping[str, Scalar] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Names it in its study."""
        return f"{self.step}/{self.name}"

    @property
    def makes_folder(self) -> bool:
        """Whether it gives a run folder, not a file."""
        return self.command.makes_folder


def expand(study: Study, output: Path, find: Find) -> list[Cell]:
    """Return all cells of a study, needed ones first, each with its command line checked.

    Args:
        study: The study.
        output: Folder of its runs.
        find: Finds a command by its words.

    Raises:
        InputError: If steps need what is not there or one another, a command or an option is
            unknown, a value does not fit, or there are too many cells; names the place.
    """
    order = _order(study)
    cells: dict[str, list[Cell]] = {}
    for name in order:
        cells[name] = _Builder(study, name, output, find, cells).build()
    _check_exclude(study)
    if not any(cells.values()):
        raise study.error(
            ("steps",), "the study has no cell: exclude, or a parameter without values, leaves none"
        )
    return [cell for name in order for cell in cells[name]]


def _order(study: Study) -> list[str]:
    """Return the steps, needed ones first."""
    steps, ordered = study.spec.steps, dict[str, None]()

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            circle = " -> ".join([*path[path.index(name) :], name])
            raise study.error(("steps", name, "needs"), f"steps need one another: {circle}")
        for needed in steps[name].needs:
            if needed not in steps:
                hint = did_you_mean(needed, set(steps) - {name})
                place = ("steps", name, "needs")
                raise study.error(place, f"there is no step {needed!r}{hint}")
            visit(needed, (*path, name))
        ordered[name] = None

    for name in steps:
        visit(name, ())
    return list(ordered)


@dataclass
class _Builder:
    """Makes the cells of one step."""

    study: Study
    name: str
    output: Path
    find: Find
    before: Mapping[str, Sequence[Cell]]
    axes: dict[str, list[Scalar]] = field(default_factory=dict)
    named: dict[str, Mapping[str, Scalar | Options]] = field(default_factory=dict)

    @property
    def step(self) -> Step:
        return self.study.spec.steps[self.name]

    def build(self) -> list[Cell]:
        command = self._command()
        self.axes = {axis: self._values(axis) for axis in self.step.grid}
        # The product with nothing, which a parameter asks for, here or in a step that is needed.
        if not all([*self.axes.values(), *(self.before[need] for need in self.step.needs)]):
            return []
        self._check_axes(command)
        cells = []
        for needs in self._combinations():
            inherited = {
                axis: value for cell in needs.values() for axis, value in cell.values.items()
            }
            cells += [
                self._cell(command, values, needs)
                for values in self._own(inherited)
                if not _is_excluded(self.study, self.name, values)
            ]
        _check_distinct(self.study, self.name, cells)
        return cells

    def _command(self) -> Command:
        try:
            command = self.find(self.step.command)
        except InputError as error:
            raise self._error("command", error) from None
        if not command.makes_folder and self.step.output is None:
            raise self._error(
                "command",
                f"toolkit {command.name} fills no run folder: give output, the file that it writes",
            )
        if command.makes_folder and self.step.output is not None:
            raise self._error("output", f"toolkit {command.name} fills a run folder, not a file")
        if not command.makes_folder and "output" not in command.parameters:
            raise self._error("command", f"toolkit {command.name} has no --output")
        return command

    def _values(self, axis: str) -> list[Scalar]:
        try:
            given = fill_in(self.step.grid[axis], self.study.parameters)
        except InputError as error:
            raise self._error(("grid", axis), error) from None
        if isinstance(given, Mapping):
            self.named[axis] = given
        values = _listed(given)
        if not values and not any(placeholders(self.step.grid[axis])):
            raise self._error(("grid", axis), "an axis has one value or more, or is a parameter")
        shown = [written(value) for value in values]
        if twice := {text for text in shown if shown.count(text) > 1}:
            raise self._error(("grid", axis), f"{min(twice)!r} stands here twice")
        return values

    def _check_axes(self, command: Command) -> None:
        """Refuse an axis that changes nothing."""
        used = {name for value in self._all_options() for name in placeholders(value)}
        inherited = {
            axis for need in self.step.needs for cell in self.before[need] for axis in cell.values
        }
        for axis in self.step.grid:
            is_option = axis in command.parameters or ("." in axis and command.takes_set)
            means_options = any(isinstance(item, Mapping) for item in self._meanings(axis))
            if means_options or axis in inherited or is_option or axis in used:
                continue
            hint = did_you_mean(axis, {*command.option_names, *inherited})
            raise self._error(
                ("grid", axis),
                f"{axis!r} is no option of toolkit {command.name}, and none has {{{axis}}}{hint}",
            )

    def _all_options(self) -> Iterator[Any]:
        yield from self.step.options.values()
        for axis in self.step.grid:
            for item in self._meanings(axis):
                yield from item.values() if isinstance(item, Mapping) else ()

    def _meanings(self, axis: str) -> Iterator[Scalar | Options]:
        """Yield what the names of an axis stand for; nothing of one that has values."""
        yield from self.named.get(axis, {}).values()

    def _combinations(self) -> list[dict[str, Cell]]:
        """Return the cells of the needed steps that fit together."""
        combined: list[dict[str, Cell]] = [{}]
        for need in self.step.needs:
            combined = [
                {**known, need: cell}
                for known in combined
                for cell in self.before[need]
                if all(_agree(other, cell) for other in known.values())
            ]
            if len(combined) > MAX_CELLS:
                raise self._error("needs", f"more than {MAX_CELLS:,} cells")
        return combined

    def _own(self, inherited: Mapping[str, Scalar]) -> Iterator[dict[str, Scalar]]:
        """Yield the values of a combination's cells; an axis that is needed already is a choice."""
        chosen = {axis: values for axis, values in self.axes.items() if axis in inherited}
        for axis, values in chosen.items():
            if inherited[axis] not in values:
                return
        free = {axis: values for axis, values in self.axes.items() if axis not in inherited}
        count = 1
        for values in free.values():
            count *= len(values)
        if count > MAX_CELLS:
            raise self._error("grid", f"{count:,} cells, more than {MAX_CELLS:,}")
        for combination in product(*free.values()):
            yield {**inherited, **dict(zip(free, combination, strict=True))}

    def _cell(self, command: Command, values: dict[str, Scalar], needs: dict[str, Cell]) -> Cell:
        name = cell_name(values)
        folder = self.output / self.name / name
        place = folder if self.step.output is None else folder / self.step.output
        known: dict[str, Any] = {
            **self.study.parameters,
            **values,
            **{name: item for need in needs.values() for name, item in need.meant.items()},
            **{step: str(cell.place) for step, cell in needs.items()},
        }
        known |= {axis: self._meant(axis, values[axis], known) for axis in self.named}
        options = self._options(command, values, known)
        try:
            words = [*command.name.split(), *command.words(options)]
            called = [*words[len(command.name.split()) :], "--output", str(place)]
            resolved = command.check(called)
        except InputError as error:
            raise self._error("options", f"{error} (cell {name})") from None
        meant = {axis: value for axis, value in known.items() if axis in values}
        return Cell(self.name, name, values, needs, place, words, command, resolved, meant)

    def _options(
        self, command: Command, values: Mapping[str, Scalar], known: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return a cell's options: the step's, and those of its axes."""
        options: dict[str, Any] = {}
        for key, value in self.step.options.items():
            options[key] = self._filled(("options", key), value, known)
        origin: dict[str, str] = {}
        for axis in self.step.grid:
            given = self.named.get(axis, {}).get(str(values[axis]))
            if not isinstance(given, Mapping):
                is_option = axis in command.parameters or ("." in axis and command.takes_set)
                if is_option and axis not in self.step.options:
                    options[axis] = known[axis]
                continue
            for key, value in given.items():
                if key in origin:
                    raise self._error(
                        ("grid", axis), f"{key!r} is given by {axis} and by {origin[key]}"
                    )
                origin[key] = axis
                options[key] = self._filled(("grid", axis, str(values[axis]), key), value, known)
        return options

    def _meant(self, axis: str, name: Scalar, known: Mapping[str, Any]) -> Scalar:
        """Return what `{axis}` stands for in a cell: the value of its name, where it has one."""
        given = self.named[axis][str(name)]
        if isinstance(given, Mapping):
            return name
        value: Scalar = self._filled(("grid", axis, str(name)), given, known)
        return value

    def _filled(self, place: tuple[str, ...], value: Any, known: Mapping[str, Any]) -> Any:
        for name in placeholders(value):
            if isinstance(known.get(name), Mapping):
                raise self._error(place, f"{{{name}}} has names: it can be an axis of a grid alone")
        try:
            return fill_in(value, known)
        except InputError as error:
            raise self._error(place, error) from None

    def _error(self, place: str | tuple[str, ...], problem: object) -> InputError:
        inner = (place,) if isinstance(place, str) else place
        return self.study.error(("steps", self.name, *inner), str(problem))


def cell_name(values: Mapping[str, Scalar]) -> str:
    """Return a name that spells values, fit for any file system."""
    if not values:
        return ALONE
    name = ",".join(f"{axis}={_spelled(value)}" for axis, value in values.items())
    return name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}-{_hash(name)}"


def _listed(given: Parameter) -> list[Scalar]:
    """Return an axis' values: names, of one that says what each stands for."""
    return [*given] if isinstance(given, list | Mapping) else [given]


def _spelled(value: Scalar) -> str:
    text = written(value)
    plain = re.sub(r"[^A-Za-z0-9._+-]+", "-", text)
    if plain == text and len(text) <= LONGEST_VALUE and text:
        return text
    return f"{plain[-LONGEST_VALUE:].strip('-')}-{_hash(text)}"  # its end tells paths apart


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:6]


def _agree(one: Cell, other: Cell) -> bool:
    shared = one.values.keys() & other.values.keys()
    if any(one.values[axis] != other.values[axis] for axis in shared):
        return False
    # Two that need one step need the same cell of it.
    return all(
        one.needs[step] is other.needs[step] for step in one.needs.keys() & other.needs.keys()
    )


def _is_excluded(study: Study, step: str, values: Mapping[str, Scalar]) -> bool:
    known = {**values, "step": step}
    return any(
        all(axis in known and known[axis] in chosen for axis, chosen in rule.items())
        for rule in study.spec.exclude
    )


def _check_exclude(study: Study) -> None:
    """Refuse to exclude what no cell has."""
    axes: dict[str, set[Scalar]] = {"step": set(study.spec.steps)}
    for step in study.spec.steps.values():
        for axis, given in step.grid.items():
            axes.setdefault(axis, set()).update(_listed(fill_in(given, study.parameters)))
    for number, rule in enumerate(study.spec.exclude):
        if not rule:
            raise study.error(("exclude", number), "an empty rule would exclude all")
        for axis, chosen in rule.items():
            place = ("exclude", number, axis)
            if axis not in axes:
                raise study.error(place, f"there is no axis {axis!r}{did_you_mean(axis, axes)}")
            for value in chosen:
                if value not in axes[axis]:
                    hint = did_you_mean(written(value), map(written, axes[axis]))
                    raise study.error(place, f"{axis} has no value {value!r}{hint}")


def _check_distinct(study: Study, step: str, cells: Sequence[Cell]) -> None:
    """Refuse two cells that would do the same, or share a folder where case does not count."""
    names: dict[str, Cell] = {}
    calls: dict[tuple[str, ...], Cell] = {}
    for cell in cells:
        first = names.setdefault(cell.name.casefold(), cell)
        if first is not cell:
            raise study.error(("steps", step, "grid"), f"two cells are called {cell.name}")
        first = calls.setdefault(tuple(cell.words), cell)
        if first is not cell:
            raise study.error(
                ("steps", step, "grid"), f"cells {first.name} and {cell.name} do the same"
            )
