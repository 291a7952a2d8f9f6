"""Carries a study's cells out: those that are ready, so many at once, until none is left.

Whatever ends it, nothing but the running cells is lost: each is a run folder that is done or can be
resumed, and what is done is not run again.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from toolkit_common.console import console, progress
from toolkit_common.errors import InputError
from toolkit_common.printable import counted, one_line
from toolkit_common.study.executors import Executor, Job
from toolkit_common.study.grid import Cell
from toolkit_common.study.state import State, Status, begin
from toolkit_common.training.interrupt import delayed_interrupt

PAUSE_S = 0.05
LOGS = "logs"
NO_RESULT = "it ended well and left no result"


@dataclass
class Outcome:
    """What became of the cells that were to do.

    Attributes:
        ran: Ids of those that came to their end.
        failed: Id -> why.
        skipped: Id -> the failed cell that it would have needed.
    """

    ran: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


def refuse_other_settings(statuses: Mapping[str, Status], *, overwrite: bool) -> None:
    """Refuse to take cells of other settings for this study's.

    Raises:
        InputError: If there are any, and they are not to be replaced.
    """
    other = [(name, item) for name, item in statuses.items() if item.state is State.OTHER]
    if other and not overwrite:
        name, item = other[0]
        raise InputError(
            f"{counted(len(other), 'cell was', 'cells were')} run with other settings, such as "
            f"{name}: {item.why}; give "
            "another --output, or --overwrite to run those anew"
        )


def call_of(cell: Cell, status: Status) -> list[str]:
    """Return the words behind `toolkit` that carry a cell out, or on."""
    words = [*cell.words, "--output", str(cell.place)]
    if status.state is State.STARTED:
        return [*words, "--resume"]
    can_overwrite = "overwrite" in cell.command.parameters
    is_there = status.state in (State.STALE, State.OTHER)
    return [*words, "--overwrite"] if is_there and can_overwrite else words


def run_cells(
    cells: Sequence[Cell],
    statuses: Mapping[str, Status],
    output: Path,
    *,
    executor: Executor,
    jobs: int,
) -> Outcome:
    """Carry out what is to do; a cell that fails takes those with it that need it, and no other.

    Args:
        cells: All cells, needed ones first.
        statuses: How far each is.
        output: Folder of the study's runs, whose logs lie within.
        executor: Where cells run.
        jobs: How many at once.

    Raises:
        KeyboardInterrupt: After SIGINT or SIGTERM, when all cells have saved their state.
    """
    to_do = [cell for cell in cells if statuses[cell.id].state is not State.DONE]
    runner = _Runner(statuses, output / LOGS, executor, jobs)
    with progress("cells", len(to_do)) as advance:
        try:
            runner.run(to_do, advance)
        except BaseException:
            runner.kill()
            raise
    return runner.outcome


@dataclass(frozen=True)
class _Running:
    """A cell that runs, since when, and what stood in its result's place before."""

    cell: Cell
    job: Job
    start: float
    before: object


@dataclass
class _Runner:
    statuses: Mapping[str, Status]
    logs: Path
    executor: Executor
    jobs: int
    outcome: Outcome = field(default_factory=Outcome)
    running: dict[str, _Running] = field(default_factory=dict)

    def run(self, to_do: Sequence[Cell], advance: object) -> None:
        assert callable(advance)
        waiting, is_passed_on = list(to_do), False
        with delayed_interrupt() as interrupt:
            while self.running or (waiting and not interrupt.requested):
                if interrupt.requested and not is_passed_on:
                    console.print(
                        f"interrupted: the state of {counted(len(self.running), 'cell')} is saved"
                    )
                    self._interrupt()
                    is_passed_on = True
                if not interrupt.requested:
                    waiting = self._start(waiting, advance)
                for cell, line in self._ended(is_interrupted=interrupt.requested):
                    advance(note=line)
                    console.print(f"{cell.id}: {line}", markup=False)
                time.sleep(PAUSE_S)
        if interrupt.requested:
            raise KeyboardInterrupt

    def _start(self, waiting: Sequence[Cell], advance: object) -> list[Cell]:
        """Start what is ready; returns what waits on."""
        assert callable(advance)
        left = []
        open_ids = {cell.id for cell in waiting} | set(self.running)
        for cell in waiting:
            needs = [need.id for need in cell.needs.values()]
            lost = [
                need for need in needs if need in {**self.outcome.failed, **self.outcome.skipped}
            ]
            if lost:
                self.outcome.skipped[cell.id] = self.outcome.skipped.get(lost[0], lost[0])
                advance()
            elif len(self.running) < self.jobs and not open_ids.intersection(needs):
                begin(cell)
                words, before = call_of(cell, self.statuses[cell.id]), _result_of(cell)
                job = self.executor.start(words, self.log_of(cell))
                self.running[cell.id] = _Running(cell, job, time.monotonic(), before)
            else:
                left.append(cell)
        return left

    def _ended(self, *, is_interrupted: bool) -> list[tuple[Cell, str]]:
        """Take note of cells that ended; returns what to print of each."""
        ended = []
        for name, item in list(self.running.items()):
            if (code := item.job.poll()) is None:
                continue
            del self.running[name]
            cell, log = item.cell, self.log_of(item.cell)
            is_there = _result_of(cell) not in (None, item.before)
            # A run folder says itself that it is whole, however its process ended after that.
            if is_there and (code == 0 or cell.makes_folder):
                self.outcome.ran.append(name)
                ended.append((cell, f"done in {time.monotonic() - item.start:.0f} s"))
                continue
            why = NO_RESULT if code == 0 else _why(log, code)
            if is_interrupted:
                # A command that heard it says so itself.
                told = why if why.startswith("interrupted") else f"interrupted: {why}"
                ended.append((cell, told))
                continue
            self.outcome.failed[name] = why
            ended.append((cell, f"FAILED: {why} (see {log})"))
        return ended

    def log_of(self, cell: Cell) -> Path:
        """Return the file of a cell's output."""
        return self.logs / cell.step / f"{cell.name}.log"

    def _interrupt(self) -> None:
        for item in self.running.values():
            item.job.interrupt()

    def kill(self) -> None:
        """End what runs."""
        for item in self.running.values():
            item.job.kill()


def _result_of(cell: Cell) -> object:
    """Return what tells a cell's result from one of before; None where there is none."""
    path = cell.place / "DONE" if cell.makes_folder else cell.place
    if not path.is_file():
        return None
    state = path.stat()
    return state.st_ino, state.st_mtime_ns


def _why(log: Path, code: int) -> str:
    """Return a failed cell's last words."""
    if not log.exists():
        return f"exit code {code}"
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    own = [line.strip() for line in lines if line.strip() and not line.startswith(("$ ", "# exit"))]
    errors = [line.removeprefix("error: ") for line in own if line.startswith("error: ")]
    last = errors[-1] if errors else own[-1] if own else ""
    return one_line(last) or f"exit code {code}"
