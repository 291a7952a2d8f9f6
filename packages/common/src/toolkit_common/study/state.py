"""What is on disk of a cell: nothing, a part, all, or something of other settings.

A run folder says so itself: DONE is written last, `config.yaml` holds its settings, and both have
times. A cell that gives a file has `call.json` beside it, written before the command starts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

from toolkit_common.errors import InputError
from toolkit_common.foreign.values import checked
from toolkit_common.runs.facts import FACTS
from toolkit_common.runs.files import read_json, write_json
from toolkit_common.runs.folder import RunFolder, changed_settings
from toolkit_common.runs.manifest import DONE
from toolkit_common.study.grid import Cell

CALL = "call.json"


@dataclass(frozen=True)
class _Call:
    """What `call.json` holds."""

    words: list[str]
    start: str


class State(Enum):
    """How far a cell is; the value is how it is called."""

    DONE = "done"
    STARTED = "to resume"
    OPEN = "to do"
    STALE = "to do again"  # what it needs was made anew after it
    OTHER = "of other settings"


@dataclass(frozen=True)
class Status:
    """How far a cell is.

    Attributes:
        state: How far.
        why: What differs, of one of other settings.
        seconds: How long it took, of one that is done.
    """

    state: State
    why: str = ""
    seconds: float | None = None


def look_at(cells: Sequence[Cell]) -> dict[str, Status]:
    """Return how far each cell is, by id; needed ones stand before."""
    known: dict[str, Status] = {}
    ended: dict[str, datetime | None] = {}
    for cell in cells:
        status, start, end = _look(cell)
        needs = [need.id for need in cell.needs.values()]
        is_older = start is not None and any(
            known[need].state is not State.DONE or _is_after(ended[need], start) for need in needs
        )
        if is_older and status.state in (State.DONE, State.STARTED):
            status = Status(State.STALE)
        known[cell.id], ended[cell.id] = status, end
    return known


def begin(cell: Cell) -> None:
    """Note what a cell that gives a file is called with, before it is."""
    if not cell.makes_folder:
        cell.place.unlink(missing_ok=True)
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        write_json(cell.place.parent / CALL, {"words": list(cell.words), "start": now})


def _look(cell: Cell) -> tuple[Status, datetime | None, datetime | None]:
    """Return a cell's status by itself, and when it began and ended."""
    if not cell.makes_folder:
        return _look_at_file(cell)
    if cell.place.exists() and not cell.place.is_dir():
        raise InputError(f"{cell.place} is a file where a run folder is to be")
    try:
        return _look_at_folder(cell)
    except InputError as error:
        raise InputError(
            f"{error}; put that file back as it was, or remove {cell.place}, which is then run anew"
        ) from None


def _look_at_folder(cell: Cell) -> tuple[Status, datetime | None, datetime | None]:
    run = RunFolder(cell.place)
    if not run.has("config.yaml"):
        return Status(State.OPEN), None, None
    reads, now = cell.command.reads, cell.resolved
    assert reads is not None
    assert now is not None
    if changed := changed_settings(reads.stored(run.path), now, same=partial(_is_same, cell)):
        return Status(State.OTHER, "; ".join(changed)), None, None
    facts = run.facts() if run.has(FACTS) else {}
    start = next(map(_time, facts.get("starts", [])), None)
    if not run.is_done:
        return Status(State.STARTED), start, None
    end = _time((run.path / DONE).read_text(encoding="utf-8").strip())
    took = (end - start).total_seconds() if start and end else None
    return Status(State.DONE, seconds=took), start, end


def _is_same(cell: Cell, old: Any, new: Any) -> bool:
    """Whether a value is as it was: what a needed cell gave lies in the study, wherever that is."""
    if old == new:
        return True
    old, new = (str(value) if isinstance(value, Path) else value for value in (old, new))
    if not isinstance(old, str) or not isinstance(new, str):
        return False
    for need in cell.needs.values():
        folder = need.place if need.makes_folder else need.place.parent
        _, tail, rest = old.partition(f"/{need.id}")
        if tail and new == f"{folder}{rest}":
            return True
    return False


def _look_at_file(cell: Cell) -> tuple[Status, datetime | None, datetime | None]:
    call = cell.place.parent / CALL
    if not cell.place.exists():
        return Status(State.OPEN), None, None
    try:
        known: _Call = checked(_Call, read_json(call), call)
    except (FileNotFoundError, InputError):
        return Status(State.OTHER, "nothing says what made it"), None, None
    words, start = known.words, _time(known.start)
    same = len(words) == len(cell.words) and all(
        _is_same(cell, *pair) for pair in zip(words, cell.words, strict=True)
    )
    if not same:
        was = " ".join(sorted(set(words) - set(cell.words)))
        now = " ".join(sorted(set(cell.words) - set(words)))
        return Status(State.OTHER, f"was {was or '-'}, now {now or '-'}"), None, None
    end = datetime.fromtimestamp(cell.place.stat().st_mtime).astimezone()
    took = (end - start).total_seconds() if start else None
    return Status(State.DONE, seconds=took), start, end.replace(microsecond=0)


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _is_after(end: datetime | None, start: datetime) -> bool:
    return end is not None and end > start
