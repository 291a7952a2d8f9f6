"""Images that need not fit on this machine: read from the files of a Hugging Face data set.

An image is a path `hf-stream://NAME?config=..&split=..&column=..&origin=..#INDEX`, which a reader
finds by going forward: ascending order costs one pass, any other begins again each time. `origin`
is a hash of what the files were, so that the features of other files are never taken for theirs.
"""

import atexit
import hashlib
import os
from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from toolkit_common.errors import InputError
from toolkit_common.images.encoded import read_file
from toolkit_common.images.walk import find_files
from toolkit_common.split_names import SPLIT_NAMES

if TYPE_CHECKING:
    from datasets import DatasetBuilder

STREAM = "hf-stream://"
NEAR = 64  # rows that are passed over rather than reached by a new start


def read_streamed(path: str) -> bytes:
    """Return the bytes of the image at an `hf-stream://` path."""
    where, _, index = path.rpartition("#")
    return _reader(where, os.getpid()).read(int(index))


def parquet_files(folder: Path) -> dict[str, list[str]]:
    """Return a folder's parquet files by split: `train-0-of-2.parquet`, or `train/0000.parquet`.

    Raises:
        InputError: If it has none.
    """
    files: dict[str, list[str]] = {}
    for path in find_files(folder):
        if path.suffix != ".parquet":
            continue
        # The file's name first, its folders from the nearest: either may name the split.
        names = [path.stem.split("-")[0], *reversed(path.relative_to(folder).parent.parts)]
        split = next((name.lower() for name in names if name.lower() in SPLIT_NAMES), "train")
        files.setdefault(SPLIT_NAMES[split], []).append(str(path))
    if not files:
        raise InputError(f"{folder} holds neither a saved data set nor parquet files")
    return files


def open_builder(
    name: str, config: str | None, *, columns: list[str] | None = None
) -> "DatasetBuilder":
    """Open a data set, of which parquet files give only what is wanted of their columns.

    Args:
        name: A Hub id, or a folder of parquet files.
        config: One of its configurations.
        columns: What is wanted; all by default.

    Raises:
        InputError: If the folder has no parquet files.
    """
    from datasets import load_dataset_builder

    folder = Path(name).expanduser()
    build = (
        partial(load_dataset_builder, "parquet", data_files=parquet_files(folder))
        if folder.exists()
        else partial(load_dataset_builder, name, config)
    )
    builder = build()
    # Asked for one column, parquet reads none of the images of others.
    if columns is not None and hasattr(builder.config, "columns"):
        return build(columns=columns)
    return builder


def stream_path(
    name: str, config: str | None, *, split: str, column: str, builder: "DatasetBuilder"
) -> str:
    """Return the path of an image column, to which `#INDEX` is added.

    Args:
        name: As `open_builder` takes it.
        config: As `open_builder` takes it.
        split: Which of its splits.
        column: Which of its columns.
        builder: What `open_builder` returned.
    """
    files = (builder.config.data_files or {}).get(split)
    # What the files were when they were found, and how they are read.
    origin = repr(getattr(files, "origin_metadata", None)) + str(builder.hash)
    options = {
        "config": config or "",
        "split": split,
        "column": column,
        "origin": hashlib.sha256(origin.encode()).hexdigest()[:16],
    }
    return f"{STREAM}{quote(name, safe='')}?{urlencode(options)}"


class _Reader:
    """Walks one column of one split, forward."""

    def __init__(self, where: str) -> None:
        from datasets import Image

        parts = urlsplit(where)
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        column = options["column"]
        builder = open_builder(unquote(parts.netloc), options["config"] or None, columns=[column])
        stream = builder.as_streaming_dataset(split=options["split"])
        self._column = column
        self._rows = stream.select_columns([column]).cast_column(column, Image(decode=False))
        self._next = 0
        self._walk: Iterator[Any] = iter(self._rows)

    def read(self, index: int) -> bytes:
        """Return the image file of a row."""
        # A short gap is walked, which costs less than to begin again.
        if not self._next <= index < self._next + NEAR:
            self._walk, self._next = iter(self._rows.skip(index)), index
        row = next(self._walk)
        while self._next < index:
            row, self._next = next(self._walk), self._next + 1
        self._next += 1
        place = row[self._column]
        # Bytes lie in parquet files; other builders give a path.
        return place["bytes"] if place["bytes"] is not None else read_file(Path(place["path"]))


@lru_cache(maxsize=8)  # once a process: an open stream survives no fork
def _reader(where: str, process: int) -> _Reader:
    del process  # it is there for the cache
    return _Reader(where)


atexit.register(_reader.cache_clear)  # while what the streams were opened with is still loaded
