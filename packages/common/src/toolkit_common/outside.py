"""Failures of the outside: of disks, of memory and of the system's limits, each named in one line.

Python's own errors have a number; torch, safetensors, pyarrow, HDF5 and Pillow often have words
alone, which hold the number or the system's words for it. What is at fault is the machine (a full
disk: exit code 1) or what the user named (a folder that is read-only: exit code 2).
"""

import errno
import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

from toolkit_common.printable import shortened

FREE = "free some, or write elsewhere"
OPEN_FILES = "raise the limit (ulimit -n)"
LOWER = {  # options that need the less memory, the lower they are
    "--batch-size", "--micro-batch", "--extract-batch-size", "--patients-per-batch",
    "--lesions-per-pass", "--bank-memory", "--num-workers", "--num-processes", "--jobs",
}  # fmt: skip
RESUME = "--resume"
WORKERS = "--num-workers"

FULL = "no space is left on the disk"
MACHINE = {  # what a machine lacks, and what to do
    errno.ENOSPC: (FULL, FREE),
    errno.EDQUOT: ("the disk quota is used up", FREE),
    errno.EFBIG: (
        "a file would grow beyond what is allowed here", "raise the limit (ulimit -f), or write "
        "to a file system that holds larger files"),
    errno.EMFILE: ("this process has too many files open", OPEN_FILES),
    errno.ENFILE: ("this machine has too many files open", "end what opens them"),
    errno.EAGAIN: (
        "no more processes or threads can be started here", "end some, or raise the limit "
        "(ulimit -u)"),
    errno.EIO: ("the disk failed to read or write", "look at the system's log, and use another"),
    errno.ESTALE: ("the network file system has lost a file", "run again when it is back"),
    errno.ENOMEM: ("memory ran out", ""),
}  # fmt: skip
USERS = {  # what is wrong with a place that the user named
    errno.EROFS: ("the file system is read-only", "write elsewhere"),
    errno.EACCES: ("it may not be read or written by this user", "mend its permissions"),
    errno.EPERM: ("it may not be changed by this user", "mend its permissions"),
    errno.ENOENT: ("no such file or folder", "it may have been removed while this ran"),
    errno.ENOTDIR: ("what should be a folder is a file", "give another place"),
    errno.EISDIR: ("what should be a file is a folder", "give another place"),
    errno.EEXIST: ("it is there already", "another process may have made it"),
    errno.ENOTEMPTY: ("the folder is not empty", "another process may be writing it"),
    errno.EBUSY: ("it is in use", "wait for who uses it"),
    errno.ELOOP: ("links lead in a circle", "mend them"),
    errno.ENAMETOOLONG: ("a name is longer than any file's can be", "shorten it"),
    errno.ENXIO: ("it is a socket or a device, and no file", "give a file"),
    errno.ENODEV: ("it is a socket or a device, and no file", "give a file"),
    errno.ENOSYS: ("the system cannot do it", "use another file system or machine"),
}
OURS = {errno.EPIPE, errno.EBADF, errno.EINVAL, errno.EFAULT}  # no failure of the outside, or said

NUMBER = re.compile(r"(?:os error |[Ee]rrno[ =:]*)(\d+)")
BEGUN = re.compile(r"(?<=[/ ])\.([^/]+)\.\d+\.tmp(?=/|$)")  # see `runs.files.atomic_path`
QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
WORDS = {  # of libraries that give no number
    errno.ENOMEM: re.compile(
        r"out of memory|not enough memory|[Cc]annot allocate memory|bad_alloc|(?:m|re)alloc of size"
        r"|[Uu]nable to (?:re)?allocate|failed to allocate|ALLOC_FAILED|failed to map segment"
        r"|could not create a (?:primitive$|memory)"  # oneDNN's, which says no more
    ),
    errno.EAGAIN: re.compile(r"can't start new thread"),
    errno.EMFILE: re.compile(r"received 0 items of ancdata"),
}
SHARED_MEMORY = re.compile(r"</torch_\d|shared memory ?\(shm\)|SemLock|sem_open")
WANTED = re.compile(r"allocate ([\d.]+ ?(?:bytes|[KMGTPE]i?B))")
WORKER = re.compile(r"DataLoader worker .*?(?:killed by signal: (\w+)|exited unexpectedly)")
OF_SAFETENSORS = "Error while deserializing header: "
PEER = re.compile(
    r"gloo.*(?:[Cc]onnection|[Tt]imed out|[Ss]ocket|[Bb]roken pipe)|NCCL.*(?:error|timeout)"
    r"|[Cc]onnection (?:closed|reset) by peer|store.*(?:timeout|[Cc]onnection)", re.DOTALL
)  # fmt: skip


@dataclass(frozen=True)
class Failure:
    """What failed.

    Attributes:
        message: In one line: what, where, and what to do.
        is_users: Whether a place that the user named is at fault, and not the machine.
    """

    message: str
    is_users: bool = False


class OutsideError(Exception):
    """A failure of the machine whose message is the whole line: what, and what to do."""


def is_of_machine(error: BaseException) -> bool:
    """Tell whether the machine failed, so that nothing is known of what was being read."""
    number = _number_of(error)
    return number in MACHINE or _is_worker(error)


def failure_of(error: BaseException, *, options: Collection[str] = ()) -> Failure | None:
    """Return what of the outside an error tells; None if it is a fault of ours.

    Args:
        error: What was raised.
        options: Of the command, such as `--batch-size`: those that help are named.
    """
    for number, link in enumerate(_chain(error)):
        failure = _name(link, options, where=_where(error))
        # What led to another error may have been handled: there only the machine counts.
        if failure is not None and not (number and failure.is_users):
            return failure
    return None


def reason_of(error: BaseException) -> str:
    """Return why something could not be read, in a line and in our words where we have any.

    What Python and libraries say of it names their own parts: numbers, codecs, classes.
    """
    number = _number_of(error)
    if number is not None:
        known = MACHINE.get(number) or USERS.get(number)
        return known[0] if known else os.strerror(number).lower()
    if isinstance(error, UnicodeDecodeError):
        return f"it is not {error.encoding.upper()} text"
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    if isinstance(error, EOFError):
        return "it ends too early"
    if isinstance(error, KeyError):
        return f"it has no {shortened(str(error))}"
    if isinstance(error, (AttributeError, TypeError)):  # which name classes of ours
        return "something in it is of another kind"
    if isinstance(error, BadZipFile):
        return "it is damaged, or of another kind than its name says"
    text = " ".join(str(error).split())
    return shortened(text.removeprefix(OF_SAFETENSORS)) or type(error).__name__


def _name(error: BaseException, options: Collection[str], *, where: str) -> Failure | None:
    text = str(error)
    if isinstance(error, OutsideError):
        return Failure(text)
    if _is_worker(error):
        return Failure(_ended_worker(text))
    number = _number_of(error)
    if SHARED_MEMORY.search(text):
        return Failure(
            "shared memory (/dev/shm) is full or absent, through which workers hand over images: "
            f"lower {WORKERS} (0 needs none)"
        )
    if number in MACHINE:
        what, remedy = MACHINE[number]
        if "CUDA" in text:
            what = what.replace("memory", "memory of the GPU")
        return Failure(
            _line(f"{what}{_wanted(text)}{where}", _remedy(number, remedy, options), options)
        )
    if number in USERS or (isinstance(error, OSError) and number not in (None, *OURS)):
        assert number is not None
        what, remedy = USERS.get(number, (os.strerror(number).lower(), "see to it"))
        return Failure(f"{what}{where}: {remedy}", is_users=True)
    if PEER.search(text):
        return Failure(
            _line(
                "another process of this run ended or is out of reach", "see its message", options
            )
        )
    return None


def _line(what: str, remedy: str, options: Collection[str]) -> str:
    return f"{what}: {remedy}{f', and go on with {RESUME}' if RESUME in options else ''}"


def _remedy(number: int, remedy: str, options: Collection[str]) -> str:
    if number == errno.EMFILE and WORKERS in options:
        return f"{remedy} or lower {WORKERS}"
    if number != errno.ENOMEM:
        return remedy
    lower = sorted(LOWER.intersection(options))
    if not lower:
        return "give this process more, or smaller data"
    return f"lower {' or '.join([', '.join(lower[:-1]), lower[-1]] if lower[1:] else lower)}"


def _number_of(error: BaseException) -> int | None:
    """Return the number of the system's error, of libraries' own errors as their words give it."""
    if isinstance(error, MemoryError):
        return errno.ENOMEM
    if isinstance(error, OSError) and error.errno is not None:
        return int(error.errno)
    text = str(error)
    if (match := NUMBER.search(text)) is not None:
        return int(match[1])
    text = QUOTED.sub("", text)  # names of files, which may be any words
    named = [number for number in (*MACHINE, errno.EROFS) if os.strerror(number) in text]
    worded = [number for number, words in WORDS.items() if words.search(text)]
    return next(iter([*named, *worded]), None)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it was raised from, or while handling."""
    seen: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in seen:
        yield link
        seen.append(link)
        link = link.__cause__ or link.__context__


def _where(error: BaseException) -> str:
    """Return ` while ...` as those noted who met the error, or the file that it names.

    What is written under a temporary name is called as it would have been in the end.
    """
    for link in _chain(error):
        if notes := getattr(link, "__notes__", ()):
            return BEGUN.sub(r"\1", f" {notes[0]}")
    names = (getattr(link, "filename", None) for link in _chain(error))
    named = next((f" at {Path(os.fsdecode(name))}" for name in names if name), "")
    return BEGUN.sub(r"\1", named)


def _wanted(text: str) -> str:
    """Return how much memory was wanted, where an error says it."""
    wanted = WANTED.search(text)
    return f" ({wanted[1]} wanted)" if wanted is not None else ""


def _is_worker(error: BaseException) -> bool:
    return WORKER.search(str(error)) is not None


def _ended_worker(text: str) -> str:
    if "Bus error" in text:
        return f"shared memory (/dev/shm) is full: lower {WORKERS} (0 needs none)"
    return (
        "a process that decodes images was ended from outside, as when memory runs out: lower "
        f"{WORKERS}"
    )
