"""What the outside does to a run is told in one line, whichever library met it."""

import errno
import os
from zipfile import BadZipFile

import numpy as np
import pytest
import torch

from toolkit_common.outside import Failure, failure_of, is_of_machine, reason_of

OPTIONS = ("--batch-size", "--num-workers", "--resume", "--method")
WORDS = {  # as the libraries have them, and what is said
    "I/O error: No space left on device (os error 28)": "no space is left on the disk",
    "[Errno 28] Error writing bytes to file. Detail: [errno 28] No space left on device":
        "no space is left on the disk",
    "Can't synchronously write data (file write failed: time = Sat, filename = 'x', errno = 28, "
    "error message = 'No space left on device', buf = 0x1)": "no space is left on the disk",
    "unable to open file </data/a.safetensors> in read-only mode: Too many open files (24)":
        "this process has too many files open",
    "received 0 items of ancdata": "this process has too many files open",
    "[enforce fail at alloc_cpu.cpp:125] err == 0. DefaultCPUAllocator: can't allocate memory: "
    "you tried to allocate 4000000 bytes. Error code 12 (Cannot allocate memory)":
        "memory ran out (4000000 bytes wanted)",
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79 GiB":
        "memory of the GPU ran out (2.00 GiB wanted)",
    "unable to mmap 4096 bytes from file </a>: Cannot allocate memory (12)": "memory ran out",
    "std::bad_alloc": "memory ran out",
    "realloc of size 8589934592 failed": "memory ran out",
    "could not create a primitive": "memory ran out",
    "can't start new thread": "no more processes or threads",
    "DataLoader worker (pid 12) is killed by signal: Bus error. It is possible that dataloader's "
    "workers are out of shared memory": "shared memory (/dev/shm) is full",
    "DataLoader worker (pid(s) 12) exited unexpectedly": "a process that decodes images was ended",
    "unable to allocate shared memory(shm) for file </torch_1_2>: No space left on device (28)":
        "shared memory (/dev/shm) is full or absent",
    "unable to open shared memory object </torch_12_3> in read-write mode: No such file or "
    "directory (2)": "shared memory (/dev/shm) is full or absent",
    "[../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer "
    "[127.0.0.1]:123": "another process of this run ended",
}  # fmt: skip


def failed(error: BaseException) -> Failure:
    failure = failure_of(error, options=OPTIONS)
    assert failure is not None
    return failure


@pytest.mark.parametrize(("text", "message"), WORDS.items())
def test_a_library_that_has_words_alone_is_understood(text: str, message: str) -> None:
    failure = failed(RuntimeError(text))
    assert failure.message.startswith(message)
    assert not failure.is_users
    assert "\n" not in failure.message


@pytest.mark.parametrize(
    ("number", "parts"),
    [
        (errno.ENOSPC, ["no space is left on the disk at runs/a", "go on with --resume"]),
        (errno.EDQUOT, ["the disk quota is used up at runs/a", "go on with --resume"]),
        (errno.EFBIG, ["a file would grow", "ulimit -f"]),
        (errno.EMFILE, ["too many files open", "ulimit -n", "lower --num-workers"]),
        (errno.EIO, ["the disk failed"]),
        (errno.ENOMEM, ["memory ran out", "lower --batch-size or --num-workers"]),
    ],
)
def test_what_a_machine_lacks_is_named_with_what_to_do(number: int, parts: list[str]) -> None:
    failure = failed(OSError(number, os.strerror(number), "runs/a"))
    assert [part for part in parts if part not in failure.message] == []
    assert not failure.is_users


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.EROFS, "the file system is read-only at runs/a: write elsewhere"),
        (errno.EACCES, "it may not be read or written by this user at runs/a: "),
        (errno.ENOENT, "no such file or folder at runs/a: it may have been removed"),
        (errno.ENOTDIR, "what should be a folder is a file at runs/a: "),
        (errno.EXDEV, "invalid cross-device link at runs/a: "),
    ],
)
def test_a_place_that_will_not_do_is_the_users_to_mend(number: int, message: str) -> None:
    failure = failed(OSError(number, os.strerror(number), "runs/a"))
    assert failure.message.startswith(message)
    assert failure.is_users
    assert "--resume" not in failure.message


def test_arrays_that_do_not_fit_are_named_with_their_size() -> None:
    with pytest.raises(MemoryError) as caught:
        np.empty((1 << 20, 1 << 30), np.float64)
    assert failed(caught.value).message.startswith(
        "memory ran out (8.00 PiB wanted): lower --batch"
    )
    with pytest.raises(RuntimeError) as raised:
        torch.empty(1 << 50, dtype=torch.int8)
    wanted = f"memory ran out ({1 << 50} bytes wanted): lower --batch"
    assert failed(raised.value).message.startswith(wanted)


def test_who_met_a_failure_says_where() -> None:
    error = RuntimeError("No space left on device")
    error.add_note("while writing runs/a/heads/ep.safetensors")
    message = "no space is left on the disk while writing runs/a/heads/ep.safetensors: free some"
    assert failed(error).message.startswith(message)


def test_a_temporary_name_is_said_as_the_one_it_would_have_become() -> None:
    error = OSError(errno.ENOSPC, "no space", "runs/.audit.123.tmp/audit.html")
    assert " at runs/audit/audit.html: " in failed(error).message
    error.add_note("while writing .audit.123.tmp/.audit.html.123.tmp")
    assert " while writing audit/audit.html: " in failed(error).message
    other = OSError(errno.ENOSPC, "no space", "runs/.mine.tmp/a.123.tmp")
    assert " at runs/.mine.tmp/a.123.tmp: " in failed(other).message


def test_what_led_to_an_error_counts_where_the_machine_failed() -> None:
    def raised(first: Exception) -> Exception:
        try:
            try:
                raise first
            except OSError:
                raise RuntimeError("unexpected pos 64 vs 0")  # noqa: B904, as torch's own
        except RuntimeError as error:
            return error

    assert failed(raised(OSError(errno.ENOSPC, "full"))).message.startswith("no space is left")
    # A file that was looked for in vain, say.
    assert failure_of(raised(FileNotFoundError(errno.ENOENT, "no", "a"))) is None


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("list index"), ValueError("x"), KeyError("a"),
        BrokenPipeError(errno.EPIPE, "x"),
        OSError(errno.EBADF, "Bad file descriptor"), OSError("cannot identify image file 'a'"),
        OSError("cannot identify image file '/data/out of memory.png'"),
    ],
)  # fmt: skip
def test_other_errors_are_faults_of_ours(error: Exception) -> None:
    assert failure_of(error) is None
    assert not is_of_machine(error)


def test_a_command_without_such_options_names_none() -> None:
    failure = failure_of(MemoryError())
    assert failure == Failure("memory ran out: give this process more, or smaller data")
    full = failure_of(OSError(errno.ENOSPC, "full"))
    assert full == Failure("no space is left on the disk: free some, or write elsewhere")


def _decode(content: bytes, encoding: str) -> Exception:
    with pytest.raises(UnicodeDecodeError) as caught:
        content.decode(encoding)
    return caught.value


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.EISDIR, "Is a directory", "a"), "what should be a file is a folder"),
        (FileNotFoundError(errno.ENOENT, "No such file", "a"), "no such file or folder"),
        (OSError("No such device (os error 19)"), "it is a socket or a device, and no file"),
        (OSError(errno.ELOOP, "Too many levels", "a"), "links lead in a circle"),
        (OSError(errno.EXDEV, "x", "a"), "invalid cross-device link"),
        (_decode(b"\xff", "utf-8"), "it is not UTF-8 text"),
        (_decode(b"\xff", "ascii"), "it is not ASCII text"),
        (RecursionError("maximum recursion depth exceeded"), "it is nested too deep"),
        (TypeError("'NoneType' object is not iterable"), "something in it is of another kind"),
        (KeyError("spec"), "it has no 'spec'"),
        (BadZipFile("no zip"), "it is damaged, or of another kind than its name says"),
        (ValueError("a\nb"), "a b"),
        (EOFError(), "it ends too early"),
    ],
)  # fmt: skip
def test_why_something_cannot_be_read_is_said_in_our_words(error: Exception, reason: str) -> None:
    assert reason_of(error) == reason


def test_only_the_machine_leaves_open_what_was_read() -> None:
    assert is_of_machine(OSError(errno.EMFILE, "x"))
    assert is_of_machine(MemoryError())
    assert not is_of_machine(FileNotFoundError(errno.ENOENT, "x"))
    assert not is_of_machine(PermissionError(errno.EACCES, "x"))
