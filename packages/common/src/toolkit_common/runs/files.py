"""Atomic writes and checksums: a file is either whole or not there."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_IMODE
from tempfile import mkdtemp
from typing import Any

from platformdirs import user_cache_path

from toolkit_common.errors import InputError
from toolkit_common.foreign.values import MAX_JSON_BYTES, parse_json, read_bytes

METRICS_LOG = "metrics.jsonl"  # of a run
ANOTHER = "choose a folder that you may write"


def cache_folder() -> Path:
    """Return where what can be made again is kept: `$TOOLKIT_CACHE`, else the system's place.

    On Linux that is `toolkit` in `$XDG_CACHE_HOME` or `~/.cache`.
    """
    chosen = os.environ.get("TOOLKIT_CACHE")
    return Path(chosen) if chosen else user_cache_path("toolkit", appauthor=False)


def refuse_unwritable(folder: Path, *, option: str) -> None:
    """Refuse a folder that cannot be made or written, before anything long; leaves nothing behind.

    Args:
        folder: Where something is to be written; need not exist.
        option: Where the user gives it.

    Raises:
        InputError: If so.
    """
    try:
        str(folder).encode()
    except UnicodeEncodeError:  # what is written as text within would fail in the end
        raise InputError(f"{option} {folder} is not UTF-8: give it another name") from None
    for at, part in enumerate(folder.parts):
        # Once that is made the path leads on to what was looked at under no such name.
        if part == ".." and not (before := Path(*folder.parts[:at])).is_dir():
            raise InputError(f"{option} {folder} goes through {before}, which is no folder")
    try:
        there = folder.absolute()
        while not there.exists():
            there = there.parent
        if not there.is_dir():
            raise InputError(f"{option} {folder} cannot be made: {there} is a file; {ANOTHER}")
        # Permission bits do not tell (root, read-only mounts, quotas): making something does.
        Path(mkdtemp(prefix=".toolkit-", dir=there)).rmdir()
    except OSError as error:
        raise InputError(
            f"{option} {folder} cannot be written ({error.strerror or error}); {ANOTHER}"
        ) from None


def refuse_no_file(path: Path, *suffixes: str, option: str = "--output") -> None:
    """Refuse an output that is no file of these kinds, or cannot be written, before long work.

    Raises:
        InputError: If so.
    """
    wanted = f"give a file that ends in {' or '.join(suffixes)}"
    if path.is_dir():
        raise InputError(f"{option} {path} is a folder: {wanted}")
    if path.suffix not in suffixes:
        raise InputError(f"{option} {path}: {wanted}")
    refuse_unwritable(path.parent, option=f"{option} in")


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling to write; it takes the place of `path` when the block succeeds.

    Whoever writes it, who may read it is as the umask says.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside it, as a rename is atomic within one file system alone; named by process, so that two
    # writers never share it.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.touch()
        mode = S_IMODE(temporary.stat().st_mode)  # by the umask, which only a file tells
        temporary.unlink()
        yield temporary
        temporary.chmod(mode)  # safetensors writes what its owner alone may read
        with temporary.open("rb") as written:
            # Data before name: after a power cut the rename may be there and the bytes not.
            os.fsync(written.fileno())
        temporary.replace(path)
    except InputError:
        raise  # says itself what is wrong and where
    except Exception as error:
        error.add_note(f"while writing {path}")  # which the errors of many libraries lack
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling to fill; it becomes the new folder when the block succeeds."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    # Of a killed process that had this one's number.
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        yield temporary
        temporary.rename(path)
    except InputError:
        raise
    except Exception as error:
        error.add_note(f"while writing {path}")
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically; NaN and infinity are refused, they are no JSON."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: If it is no JSON, has numbers that are not finite, or is without bounds.
        OSError: If it cannot be read.
    """
    return parse_json(read_bytes(path, MAX_JSON_BYTES), path)


def read_log(run: Path) -> list[dict[str, Any]]:
    """Return the lines of a run's metrics.jsonl; what a kill or a disk has spoilt is left out."""
    file, lines = run / METRICS_LOG, []
    for text in file.read_bytes().splitlines() if file.is_file() else ():
        with suppress(InputError):
            lines.append(parse_json(text, file))
    return [line for line in lines if isinstance(line, dict)]


def sha256_of(path: Path) -> str:
    """Return the hex sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_text(text: str) -> str:
    """Return the hex sha256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()
