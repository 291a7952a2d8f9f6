"""One process writes a folder at a time.

The lock is the kernel's (`flock`) on a file in the folder: it ends with the process that holds it,
however that dies. Where there is no such lock (Windows, some network file systems) nothing is
locked.
"""

import logging
import os
import socket
import time
from pathlib import Path
from typing import Literal

from toolkit_common.errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"
ATTEMPTS, PAUSE_S = 3, 0.1

logger = logging.getLogger(__name__)

_held: dict[Path, int] = {}  # folder -> file descriptor


def lock_folder(folder: Path) -> None:
    """Keep other processes from writing an existing folder until this one unlocks it or ends.

    Raises:
        InputError: If another process holds it.
    """
    folder = folder.resolve()
    if fcntl is None or _is_held(folder):
        return
    for attempt in range(ATTEMPTS):
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        state = _take(descriptor)
        if state == "taken" and _is_current(descriptor, folder / LOCK):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()} {socket.gethostname()}\n".encode(), 0)
            _held[folder] = descriptor
            return
        holder = _describe_holder(descriptor)
        os.close(descriptor)
        if state == "impossible":
            return
        if attempt < ATTEMPTS - 1:  # the holder may have looked only, or ended this very moment
            time.sleep(PAUSE_S)
    raise InputError(_refusal(folder, holder))


def unlock_folder(folder: Path) -> None:
    """Let others write a folder that this process locked."""
    descriptor = _held.pop(folder.resolve(), None)
    if descriptor is not None:
        (folder / LOCK).unlink(missing_ok=True)
        os.close(descriptor)


def locked_folders() -> list[Path]:
    """Return the folders that this process has locked."""
    return list(_held)


def unlock_all() -> None:
    """Let others write all folders that this process locked."""
    for folder in list(_held):
        unlock_folder(folder)


def refuse_locked(folder: Path) -> None:
    """Refuse a folder that another process has locked, without locking it.

    Raises:
        InputError: If so.
    """
    if fcntl is None or _is_held(folder.resolve()) or not (folder / LOCK).exists():
        return
    descriptor = os.open(folder / LOCK, os.O_RDONLY)
    state, holder = _take(descriptor), _describe_holder(descriptor)
    os.close(descriptor)
    if state == "held":
        raise InputError(_refusal(folder, holder))


def _is_held(folder: Path) -> bool:
    """Whether this process has the lock; not if the folder was deleted and made again."""
    if folder in _held and not _is_current(_held[folder], folder / LOCK):
        os.close(_held.pop(folder))
    return folder in _held


def _take(descriptor: int) -> Literal["taken", "held", "impossible"]:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return "held"
    except OSError as error:
        logger.info("the file system of the run folder has no locks: %s", error)
        return "impossible"
    return "taken"


def _describe_holder(descriptor: int) -> str:
    pid, _, host = os.pread(descriptor, 256, 0).decode(errors="replace").strip().partition(" ")
    return f"pid {pid} on {host}" if host else "pid unknown"


def _refusal(folder: Path, holder: str) -> str:
    return (
        f"run folder {folder} is being written by another process ({holder}): wait for it, end it, "
        "or choose another --output"
    )


def _is_current(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _forget() -> None:
    """Give a fork (a process that decodes images) no share in the locks: it may live longer."""
    for descriptor in _held.values():
        os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
