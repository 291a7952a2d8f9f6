"""Where a study's cells run: in processes here, or as jobs of a cluster (submitit).

A cell is a process of its own: killed, out of memory or broken, it takes no other with it.
"""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from toolkit_common.errors import InputError
from toolkit_common.extras import require
from toolkit_common.launched import LAUNCHER

KILLED = 137  # as shells count it
THREADS = "OMP_NUM_THREADS"


@runtime_checkable
class Job(Protocol):
    """A cell that runs."""

    def poll(self) -> int | None:
        """Return its exit code, None while it runs."""
        ...

    def interrupt(self) -> None:
        """Ask it to save its state and end."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...


@runtime_checkable
class Executor(Protocol):
    """Starts cells."""

    def start(self, words: Sequence[str], log: Path) -> Job:
        """Start `toolkit WORDS`, its output to the end of a file."""
        ...


class Here:
    """Processes of this machine, which end with this one however it dies."""

    def __init__(self, jobs: int) -> None:
        self._threads = str(max(1, (os.cpu_count() or 1) // jobs))

    def start(self, words: Sequence[str], log: Path) -> Job:
        """Start a process."""
        environment = {THREADS: self._threads, **os.environ, LAUNCHER: str(os.getpid())}
        with _opened(log, words) as file:
            process = subprocess.Popen(
                _command(words),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=environment,
                # Ctrl-C of the terminal reaches this process alone, which passes it on once: a
                # second one would end a run without its state.
                start_new_session=True,
            )
        return _Process(process)


class _Process:
    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    def poll(self) -> int | None:
        code = self._process.poll()
        return code if code is None or code >= 0 else 128 - code

    def interrupt(self) -> None:
        self._signal(signal.SIGINT)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._process.poll() is None:
            # Its leader alone: a run with workers of its own passes it on to them.
            self._process.send_signal(number)


class Cluster:
    """Jobs of a cluster, by submitit."""

    def __init__(self, folder: Path, parameters: Mapping[str, Any], cluster: str = "slurm") -> None:
        submitit = require("submitit", extra="slurm", purpose="study run --executor slurm")
        try:
            self._executor = submitit.AutoExecutor(folder=folder, cluster=cluster)
        except RuntimeError as error:  # no sbatch
            raise InputError(
                f"--executor slurm: {error}; run it where jobs are submitted"
            ) from None
        try:
            self._executor.update_parameters(**{"timeout_min": 24 * 60, **parameters})
        except (NameError, TypeError, ValueError) as error:
            raise InputError(f"--slurm: {' '.join(str(error).split())}") from None

    def start(self, words: Sequence[str], log: Path) -> Job:
        """Submit a job."""
        before = log.stat().st_size if log.exists() else 0
        job = self._executor.submit(call, list(words), log.absolute(), Path.cwd())
        return _ClusterJob(job, log, before)


class _ClusterJob:
    def __init__(self, job: Any, log: Path, before: int) -> None:
        self._job, self._log, self._before = job, log, before

    def poll(self) -> int | None:
        if not self._job.done():
            return None
        # By the log's last line, not by the job's pickle, which is not to be read; of this job
        # alone, as one that was killed leaves the last line to a job of before.
        line = _last_line(self._log, self._before)
        code = line.removeprefix(ENDED)
        return int(code) if line != code and code.isdigit() else KILLED

    def interrupt(self) -> None:
        self._job.cancel()

    kill = interrupt


ENDED = "# exit code "


def call(words: Sequence[str], log: Path, folder: Path) -> int:
    """Run `toolkit WORDS` in a folder, its output and exit code to the end of a log."""
    with _opened(log, words) as file:
        done = subprocess.run(
            _command(words), cwd=folder, stdout=file, stderr=subprocess.STDOUT, check=False
        )
        code = done.returncode if done.returncode >= 0 else 128 - done.returncode
        file.write(f"{ENDED}{code}\n".encode())
    return code


def _command(words: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "toolkit_common", *words]


def _opened(log: Path, words: Sequence[str]) -> Any:
    log.parent.mkdir(parents=True, exist_ok=True)
    file = log.open("ab")
    file.write(f"$ toolkit {shlex.join(words)}\n".encode())
    file.flush()
    return file


def _last_line(log: Path, start: int) -> str:
    text = log.read_bytes()[start:] if log.exists() else b""
    lines = text.decode(errors="replace").splitlines()
    return lines[-1] if lines else ""
