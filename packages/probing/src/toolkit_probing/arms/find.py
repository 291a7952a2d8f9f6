"""The probes of a study as its reader thinks of them: an arm a run, its folds joined.

Cells that differ by their fold alone are one arm, named by the axes that tell arms apart, and each
stands against the control that the study's own table names. So that a report or a leaderboard of a
study is about its question, not about its folders.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from toolkit_common.errors import InputError
from toolkit_common.printable import first_of
from toolkit_common.study.commands import find_command
from toolkit_common.study.file import KEPT, Scalar, Study, TableSpec, read_study, written
from toolkit_common.study.grid import Cell, expand
from toolkit_common.study.state import State, Status, look_at
from toolkit_probing.results.folds import join_runs
from toolkit_probing.results.names import BETWEEN
from toolkit_probing.results.saved import SavedRun, find_runs

FOLD = "fold"  # the axis over which cells are joined
PROBE, DAMAGED = "probe", "damaged"
MOST_NAMED = 5  # cells

Key = tuple[str, tuple[tuple[str, str], ...]]  # step, axes but for the fold


@dataclass(frozen=True)
class Arms:
    """The probes of a study, or of folders without one.

    Attributes:
        runs: A run an arm, in the study's order.
        contrasts: Names of an arm and of its control, by the first table that has controls.
        missing: A line on the cells that are not done, or cannot be read.
        study: The study; None of other folders.
        cells: Its cells.
        statuses: How far each is.
    """

    runs: Sequence[SavedRun]
    contrasts: Sequence[tuple[str, str]] = ()
    missing: Sequence[str] = ()
    study: Study | None = None
    cells: Sequence[Cell] = ()
    statuses: Mapping[str, Status] | None = None


def find_arms(paths: Sequence[Path], *, metrics: Sequence[str]) -> Arms:
    """Return the finished probes at some folders; of a study's folder its arms.

    Args:
        paths: Run folders, folders of them, or studies'.
        metrics: Figures that joined runs have in their results.

    Raises:
        InputError: If a folder holds none, or what a run holds cannot be read.
    """
    each = [_arms_at(path, metrics) for path in paths]
    if len(each) == 1:
        return each[0]
    places = [path.resolve().name for path in paths]
    if len(set(places)) < len(places):
        places = [str(path) for path in paths]
    # By folder: a run that is named twice counts once.
    runs = {
        run.path: replace(run, name=f"{place}{BETWEEN}{run.name}") if run.name else run
        for place, arms in zip(places, each, strict=True)
        for run in arms.runs
    }
    return Arms(list(runs.values()), missing=[line for arms in each for line in arms.missing])


def _arms_at(path: Path, metrics: Sequence[str]) -> Arms:
    runs = find_runs([path])
    if not (path / KEPT).is_file():
        return Arms(runs)
    study = read_study(path)
    try:
        cells = expand(study, path, find_command)
    except InputError as error:  # of an encoder that has gone, say: the runs are there all the same
        why = f"MISSING: which cells of {path} are done is not known: {error}"
        return Arms(runs, missing=[why])
    statuses = look_at(cells)
    by_folder = {run.path.resolve(): run for run in runs}
    missing = list(_missing(path, cells, statuses, read=by_folder))
    groups: dict[Key, list[tuple[Cell, SavedRun]]] = {}
    for cell in cells:
        run = by_folder.get(cell.place.resolve())
        if run is not None and statuses[cell.id].state is State.DONE:
            groups.setdefault(_key(cell), []).append((cell, run))
    if not groups:
        return Arms(runs, missing=missing)
    names = _names(list(groups))
    joined = {
        key: list(_joined(names[key], parts, metrics)) for key, parts in groups.items()
    }  # fmt: skip
    contrasts = [
        (one.name, other.name)
        for arm, control in _controls(study, list(groups))
        for one, other in zip(joined[arm], joined[control], strict=False)
    ]
    # Those that the study's own table compares first.
    ahead = list(dict.fromkeys(name for pair in zip(*contrasts, strict=True) for name in pair))
    places = {cell.place.resolve() for cell in cells}
    beside = [run for folder, run in by_folder.items() if folder not in places]
    known = sorted(
        (run for each in joined.values() for run in each),
        key=lambda run: ahead.index(run.name) if run.name in ahead else len(ahead),
    )
    known += [replace(run, name=str(run.path.relative_to(path))) for run in beside]
    return Arms(known, contrasts, missing, study, cells, statuses)


def _key(cell: Cell) -> Key:
    values = {axis: written(value) for axis, value in cell.values.items() if axis != FOLD}
    return cell.step, tuple(values.items())


def _names(keys: Sequence[Key]) -> dict[Key, str]:
    """Return a name for each arm: its values on the axes that vary, with its step where it must."""
    values: dict[str, set[str]] = {}
    for _, axes in keys:
        for axis, value in axes:
            values.setdefault(axis, set()).add(value)
    varied = {axis for axis in values if len(values[axis]) > 1 or
              any(axis not in dict(axes) for _, axes in keys)}  # fmt: skip
    plain = {
        key: BETWEEN.join(_said(axis, value) for axis, value in key[1] if axis in varied) or key[0]
        for key in keys
    }
    shared = [name for name in plain.values() if list(plain.values()).count(name) > 1]
    return {key: f"{name}{BETWEEN}{key[0]}" if name in shared else name
            for key, name in plain.items()}  # fmt: skip


def _said(axis: str, value: str) -> str:
    """Return a value; a number says of what."""
    is_number = value.replace(".", "", 1).replace("-", "").replace("e", "").isdigit()
    return f"{axis} {value}" if is_number else value


def _joined(
    name: str, parts: Sequence[tuple[Cell, SavedRun]], metrics: Sequence[str]
) -> Iterator[SavedRun]:
    """Yield an arm as one run; as its cells where they cannot be one."""
    runs = [run for _, run in parts]
    folds = [f"{FOLD} {written(cell.values.get(FOLD))}" for cell, _ in parts]
    if len(runs) > 1 and _are_folds(runs):
        yield join_runs(runs[0].path, runs, folds=folds, metrics=metrics, name=name)
        return
    for run, fold in zip(runs, folds, strict=True):
        is_alone = len(runs) == 1 and FOLD not in parts[0][0].values
        yield replace(run, name=name if is_alone else f"{name}{BETWEEN}{fold}")


def _are_folds(runs: Sequence[SavedRun]) -> bool:
    """Whether runs have the same rows, and no test group in common."""
    first = runs[0]
    for run in runs:
        repeats = {name: len(saved.row.seeds) for name, saved in run.rows.items()}
        alike = repeats == {name: len(saved.row.seeds) for name, saved in first.rows.items()}
        if not alike or run.results.data.classes != first.results.data.classes:
            return False
        if run.results.folds:
            return False
    groups = [set(next(iter(run.rows.values())).groups.tolist()) for run in runs]
    return sum(map(len, groups)) == len(set.union(*groups))


def _controls(study: Study, keys: Sequence[Key]) -> list[tuple[Key, Key]]:
    """Return arms with their controls, by the first of the study's tables that has any."""
    for table in study.tables.values():
        mine = [key for key in keys if _is_shown(table, key)]
        wanted = {axis: written(value) for axis, value in table.against.items()}
        controls = [key for key in mine if wanted.items() <= dict(key[1]).items()]
        pairs = [
            (key, control)
            for key in mine
            if wanted and not wanted.items() <= dict(key[1]).items()
            for control in controls[:]
            if _fits(key, control, wanted)
        ]
        if pairs:
            return list({key: (key, control) for key, control in reversed(pairs)}.values())[::-1]
    return []


def _is_shown(table: TableSpec, key: Key) -> bool:
    step, axes = key[0], dict(key[1])
    chosen = {axis: set(map(written, values)) for axis, values in table.where.items()}
    return (not table.steps or step in table.steps) and all(
        axes[axis] in values for axis, values in chosen.items() if axis in axes
    )


def _fits(key: Key, control: Key, wanted: Mapping[str, Scalar]) -> bool:
    """Whether an arm differs from its control by nothing but what the table names."""
    mine, other = dict(key[1]), dict(control[1])
    return all(other[axis] == value for axis, value in mine.items()
               if axis in other and axis not in wanted)  # fmt: skip


def _missing(
    path: Path, cells: Sequence[Cell], statuses: Mapping[str, Status], *, read: Container[Path]
) -> Iterator[str]:
    """Yield a line on the cells that are not done, and on probes that are and cannot be read."""
    states = {cell.id: statuses[cell.id].state.value for cell in cells}
    states |= {
        cell.id: DAMAGED
        for cell in cells
        if cell.command.name == PROBE
        and states[cell.id] == State.DONE.value
        and cell.place.resolve() not in read
    }
    names = [f"{cell} ({state})" for cell, state in states.items() if state != State.DONE.value]
    if names:
        yield (
            f"MISSING: {len(names)} of {len(cells)} cells of {path.name}: "
            f"{first_of(names, MOST_NAMED)}"
        )
