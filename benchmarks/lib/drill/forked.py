"""Runs `toolkit` commands in forks of this process, to kill, starve or stop them at any moment.

All is imported already, so that a start takes milliseconds: safe while this process has one thread
(`OMP_NUM_THREADS=1`; docs/stack.md), which `warm_up` sees to. What a command prints goes to a file.
"""

import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

LOOK_S = 0.002  # between looks
PATIENCE_S = 600.0  # until a command counts as hanging
FAULT = 70  # exit code of a command that left with a traceback
INTERRUPTED = 130


def nothing() -> None:
    """Change nothing in a fork."""


class Forked:
    """A command that runs.

    Args:
        words: The command, behind `toolkit`.
        log: File that its output is added to.
        environment: Variables of its own.
        first: Called in the fork before the command.
    """

    def __init__(
        self,
        words: Sequence[object],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        first: Callable[[], object] = nothing,
    ) -> None:
        self.log = log
        self.code: int | None = None
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            code = FAULT
            try:
                code = _carry_out([str(word) for word in words], log, environment or {}, first)
            finally:  # nothing of the process that forked is to end here
                os._exit(code)

    def poll(self) -> int | None:
        """Return its exit code, None while it runs; of a signal, as shells count it."""
        if self.code is None:
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if done:
                code = os.waitstatus_to_exitcode(status)
                self.code = code if code >= 0 else 128 - code
        return self.code

    def wait(self, *, within_s: float = PATIENCE_S) -> int:
        """Return its exit code when it has ended.

        Raises:
            TimeoutError: If it hangs; it is killed then.
        """
        end = time.monotonic() + within_s
        while (code := self.poll()) is None:
            if time.monotonic() > end:
                self.send(signal.SIGKILL)
                raise TimeoutError(f"it hangs: {self.log}")
            time.sleep(LOOK_S)
        return code

    def send(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def end_at(
        self, seconds: float, *, number: int, when: Callable[[], bool] = lambda: True
    ) -> bool:
        """Send a signal some seconds after `when` is first true; returns whether it ended by it."""
        end: float | None = None
        while self.poll() is None:
            if end is None and when():
                end = time.monotonic() + seconds
            if end is not None and time.monotonic() > end:
                self.send(number)
                return self.wait() in (128 + number, INTERRUPTED)
            time.sleep(LOOK_S)
        return False


def ranks(
    words: Sequence[object],
    count: int,
    *,
    log: Path,
    environment: Mapping[str, str],
    first: Callable[[], object] = nothing,
) -> list[Forked]:
    """Start a command on several processes, as torchrun does on one machine."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count),
              "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}  # fmt: skip
    return [
        Forked(
            words,
            log=log.with_suffix(f".{rank}"),
            environment={**environment, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            first=first,
        )
        for rank in range(count)
    ]


class _Cell:
    """A cell of a study, as a fork: what `toolkit_common.study.executors.Job` says."""

    def __init__(self, running: Forked) -> None:
        self._running = running
        self.poll = running.poll

    def interrupt(self) -> None:
        self._running.send(signal.SIGINT)

    def kill(self) -> None:
        self._running.send(signal.SIGKILL)


class _Forks:
    """Runs a study's cells in forks, which end with the study as processes of their own would."""

    def start(self, words: Sequence[str], log: Path) -> _Cell:
        from toolkit_common.launched import LAUNCHER

        return _Cell(Forked(words, log=log, environment={LAUNCHER: str(os.getpid())}))


def fork_cells() -> None:
    """Let a study fork its cells, as a start of Python takes longer than they do."""
    from toolkit_common.cli import study

    study._executor = lambda *_, **__: _Forks()


def warm_up(commands: Mapping[Path, Sequence[object]], environment: Mapping[str, str]) -> None:
    """Carry out commands here, by what they write: forks then find all imported.

    Raises:
        RuntimeError: If one fails.
    """
    from typer.testing import CliRunner

    from toolkit_common.cli.app import app

    for output, command in commands.items():
        words = [*map(str, command), "--output", str(output)]
        result = CliRunner().invoke(app, words, env=environment, prog_name="toolkit")
        if result.exit_code:
            raise RuntimeError(f"toolkit {' '.join(words)}: {result.output}")


def _carry_out(
    words: Sequence[str], log: Path, environment: Mapping[str, str], first: Callable[[], object]
) -> int:
    code = FAULT
    log.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(file, stream)
    # What stands there may be a test's, and write elsewhere.
    sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
    os.environ.update(environment)
    try:
        _begin_anew()
        first()
        code = _call(words)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return code


def _begin_anew() -> None:
    """Be as a process that has just started."""
    from accelerate.state import AcceleratorState, PartialState

    from toolkit_common.console import console
    from toolkit_common.launched import SIGNALS, end_as_ctrl_c_does, is_main_process

    AcceleratorState._reset_state()
    PartialState._reset_state()
    console.quiet = not is_main_process()
    for number in SIGNALS[1:]:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    end_as_ctrl_c_does()


def _call(words: Sequence[str]) -> int:
    from toolkit_common.cli.app import app

    try:
        app(list(words), prog_name="toolkit")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0
