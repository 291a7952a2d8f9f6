"""One process writes a folder at a time.

The lock is the kernel's (`flock`, through filelock) on a file in the folder: it ends with the
process that holds it, however that dies, and a fork has no share in it. filelock keeps what the
holder wrote into the file; two things it leaves to us: the file goes with the lock, and a folder
that was deleted and made again is locked again. Where there is no such lock (Windows, some network
file systems) nothing is locked: filelock's markers there would outlive a killed process.

A folder that many processes read (a token store) they lock together, so that nobody removes it
meanwhile; filelock has no such lock but one in a database, so that this one is `flock` itself.
"""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit_common.console import console
from toolkit_common.errors import InputError

if TYPE_CHECKING:
    from filelock import UnixFileLock

LOCK = ".lock"
IN_USE = ".in-use"  # locked by all that read a folder
PATIENCE_S, PAUSE_S = 0.2, 0.1  # the holder may have looked only, or end this very moment

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Held:
    """A lock of this process, and the file that it is on."""

    lock: "UnixFileLock"
    file: os.stat_result


_held: dict[Path, _Held] = {}  # by folder
_shared: dict[Path, int] = {}  # folder -> descriptor of its file


def lock_folder(folder: Path, *, what: str = "run") -> None:
    """Keep other processes from writing an existing folder until this one unlocks it or ends.

    Args:
        folder: The folder.
        what: Whose folder it is, for the message.

    Raises:
        InputError: If another process holds it.
    """
    folder = folder.resolve()  # one entry a folder, however it is spelled
    if (
        not _is_held(folder)
        and (lock := _acquire(folder, patience_s=PATIENCE_S, what=what)) is not None
    ):
        (folder / LOCK).write_text(f"{os.getpid()} {socket.gethostname()}\n")
        _held[folder] = _Held(lock, (folder / LOCK).stat())


def unlock_folder(folder: Path) -> None:
    """Let others write a folder that this process locked."""
    console.end_log(folder)  # of a run that was cut short too
    held = _held.pop(folder.resolve(), None)
    if held is not None:
        # Before the release: after it the file might be another process's already.
        (folder / LOCK).unlink(missing_ok=True)
        held.lock.release(force=True)


def locked_folders() -> list[Path]:
    """Return the folders that this process has locked."""
    return list(_held)


def unlock_all() -> None:
    """Let others write all folders that this process locked, and remove those that it read."""
    for folder in list(_held):  # a copy, as unlocking takes it out
        unlock_folder(folder)
    while _shared:
        os.close(_shared.popitem()[1])
    console.forget()


def refuse_locked(folder: Path) -> None:
    """Refuse a folder that another process has locked, without locking it.

    Raises:
        InputError: If so.
    """
    # Only if there is a file, as taking the lock would make one in a folder that is not ours.
    if (folder / LOCK).exists() and not _is_held(folder.resolve()):
        lock = _acquire(folder, patience_s=0.0)
        if lock is not None:
            lock.release()


def share_folder(folder: Path) -> None:
    """Keep a folder from being removed until `unlock_all` or the process's end; others may do so.

    Where files cannot be locked or written (a cache that is ours to read alone) nothing happens.

    Raises:
        InputError: If another process is removing it.
    """
    folder = folder.resolve()
    if folder in _shared or (descriptor := _open_in_use(folder)) is None:
        return
    if not _flock(descriptor, exclusive=False):
        os.close(descriptor)
        raise InputError(f"{folder} is being removed by another process: run again when it is gone")
    _shared[folder] = descriptor


def is_shared(folder: Path) -> bool:
    """Tell whether some process, this one too, keeps a folder from being removed."""
    if not (folder / IN_USE).exists() or (descriptor := _open_in_use(folder)) is None:
        return False
    try:
        return not _flock(descriptor, exclusive=True)
    finally:
        os.close(descriptor)  # and with it the lock


@contextmanager
def removing(folder: Path) -> Iterator[None]:
    """Hold a folder alone while it is removed.

    Raises:
        InputError: If a process reads or makes it.
    """
    descriptor = _open_in_use(folder)
    try:
        if descriptor is not None and not _flock(descriptor, exclusive=True):
            raise InputError(f"{folder} is in use by a running process: wait for it, or end it")
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _open_in_use(folder: Path) -> int | None:
    try:
        return os.open(folder / IN_USE, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:
        return None


def _flock(descriptor: int, *, exclusive: bool) -> bool:
    """Take a lock without waiting; returns whether it could be had, or there are no locks."""
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        logger.info("the file system has no locks: %s", error)
    return True


def _acquire(folder: Path, *, patience_s: float, what: str = "run") -> "UnixFileLock | None":
    """Return the lock, held; None where there are no locks."""
    from filelock import Timeout, UnixFileLock, has_fcntl

    if not has_fcntl:
        return None
    # Not by thread: whoever unlocks may be another. Soft locks would outlive a killed process.
    lock = UnixFileLock(folder / LOCK, thread_local=False, fallback_to_soft=False)
    try:
        lock.acquire(timeout=patience_s, poll_interval=PAUSE_S)
    except Timeout:
        raise InputError(
            # The lock is the kernel's: it tells that it is held, the file alone tells by whom.
            f"{what} folder {folder} is being written by another process ({_holder(folder)}): wait "
            "for it, end it, or choose another --output"
        ) from None
    except OSError as error:
        logger.info("the file system of the run folder has no locks: %s", error)
        return None
    return lock


def _holder(folder: Path) -> str:
    try:
        text = (folder / LOCK).read_text(errors="replace")
    except OSError:  # it ended this very moment
        text = ""
    pid, _, host = text.strip().partition(" ")
    return f"pid {pid} on {host}" if host else "pid unknown"


def _is_held(folder: Path) -> bool:
    """Whether this process has the lock; not if the folder was deleted and made again."""
    held = _held.get(folder)
    if held is None:
        return False
    file = folder / LOCK
    # Another file of that name: our lock is on one that nobody can see any more.
    if not file.exists() or not os.path.samestat(held.file, file.stat()):
        _held.pop(folder).lock.release(force=True)
    return folder in _held


def _forget() -> None:
    """Take no share in what the parent has locked: its descriptors, copied, would hold on to it."""
    _held.clear()
    while _shared:
        os.close(_shared.popitem()[1])


if hasattr(os, "register_at_fork"):
    # A fork (a process that decodes images) may live longer than the run: filelock takes its share.
    os.register_at_fork(after_in_child=_forget)
