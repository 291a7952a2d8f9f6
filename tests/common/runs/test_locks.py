"""A folder is written by one process at a time, and by another when that one dies."""

import fcntl
import os
import re
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock
import pytest

from toolkit_common.errors import InputError
from toolkit_common.runs.locks import lock_folder, refuse_locked, unlock_all, unlock_folder


@pytest.fixture(autouse=True)
def release() -> Iterator[None]:
    """Leave no lock to the next test."""
    yield
    unlock_all()


def fork_holder(folder: Path, and_then: Callable[[], object] = lambda: None) -> int:
    """Start a process that locks a folder and sleeps; returns its pid when it has the lock."""
    child = os.fork()
    if child == 0:
        lock_folder(folder)
        and_then()
        (folder / "ready").touch()
        time.sleep(60)
        os._exit(0)
    while not (folder / "ready").exists():
        time.sleep(0.01)
    return child


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


@pytest.mark.slow
def test_a_folder_that_another_process_writes_is_refused_until_it_is_killed(tmp_path: Path) -> None:
    holder = fork_holder(tmp_path)
    expected = re.escape(
        f"run folder {tmp_path} is being written by another process (pid {holder} on "
        f"{socket.gethostname()}): wait for it, end it, or choose another --output"
    )
    try:
        for refuse in (lock_folder, refuse_locked):
            with pytest.raises(InputError, match=expected):
                refuse(tmp_path)
    finally:
        kill(holder)
    refuse_locked(tmp_path)
    lock_folder(tmp_path)
    assert (tmp_path / ".lock").read_text().startswith(f"{os.getpid()} ")


def test_a_process_may_lock_a_folder_twice_and_unlocking_leaves_nothing(tmp_path: Path) -> None:
    lock_folder(tmp_path)
    lock_folder(tmp_path / ".")
    refuse_locked(tmp_path)
    unlock_folder(tmp_path)
    unlock_folder(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_made_again_is_locked_again(tmp_path: Path) -> None:
    for _ in range(2):
        (tmp_path / "run").mkdir()
        lock_folder(tmp_path / "run")
        assert (tmp_path / "run/.lock").exists()
        shutil.rmtree(tmp_path / "run")


@pytest.mark.slow
def test_a_lock_ends_with_its_process_though_a_fork_of_it_lives_on(tmp_path: Path) -> None:
    def fork_worker() -> None:
        if (worker := os.fork()) == 0:
            time.sleep(60)
            os._exit(0)
        (tmp_path / "worker").write_text(str(worker))

    holder = fork_holder(tmp_path, fork_worker)
    with pytest.raises(InputError, match=f"pid {holder} on"):
        lock_folder(tmp_path)
    kill(holder)
    worker = int((tmp_path / "worker").read_text())
    try:
        os.kill(worker, 0)
        lock_folder(tmp_path)
    finally:
        os.kill(worker, signal.SIGKILL)


def test_a_lock_whose_file_was_taken_away_is_taken_anew(tmp_path: Path) -> None:
    holder = fork_holder(tmp_path)
    try:
        (tmp_path / ".lock").unlink()  # as its holder does when it ends
        lock_folder(tmp_path)
        assert (tmp_path / ".lock").read_text().startswith(f"{os.getpid()} ")
    finally:
        kill(holder)


def test_where_there_are_no_locks_nothing_is_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_here(*_: object) -> None:
        raise OSError("no locks available")

    monkeypatch.setattr(fcntl, "flock", not_here)
    lock_folder(tmp_path)
    refuse_locked(tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(filelock, "has_fcntl", False)
    holder = fork_holder(tmp_path)
    lock_folder(tmp_path)
    refuse_locked(tmp_path)
    kill(holder)
