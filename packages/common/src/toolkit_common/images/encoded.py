"""Reads what may be no image at all: of a known format, and as many bytes as a picture can have.

A device never ends, a hole in a file has no bytes on the disk, and 1 kB of HDF5 can say that its
entry has 6 GB: what is large is looked at before it is read.
"""

import os
import warnings
from functools import lru_cache
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from toolkit_common.foreign.values import ENDLESS, is_endless
from toolkit_common.images.walk import known_formats

# Of an image: half a gigabyte as RGB. More would be a slide, of which no encoder reads the whole.
MAX_PIXELS = 178_956_970
MAX_BYTES = 8 * MAX_PIXELS  # of a file: RGBA of 16 bits, not compressed
UNSEEN = 64 << 20  # bytes that are read of what may be no image


def open_head(source: "Path | BytesIO") -> Image.Image:
    """Read an image's head: of a known format, and of no more pixels than are ever decoded.

    Raises:
        ValueError: If it has more.
    """
    with warnings.catch_warnings():
        # Pillow warns from half of the bound on.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        image = Image.open(source, formats=known_formats())
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(
            f"has {image.width} x {image.height} pixels, more than {MAX_PIXELS:,}: make it smaller"
        )
    return image


def read_file(path: Path) -> bytes:
    """Return the bytes of an image's file.

    Raises:
        ValueError: If it never ends, or has more than an image can have.
        OSError: If it cannot be read, or is large and no image.
    """
    refuse_endless(path)
    size = path.stat().st_size
    if size > UNSEEN:
        with open_head(path):
            pass
    _refuse_more(size)
    return path.read_bytes()  # which asks for as many as there are, and not for the most


def read_hdf5(file: str, key: str) -> bytes:
    """Return the bytes of an entry of an HDF5 file.

    Raises:
        ValueError: If the file never ends, or the entry holds no bytes, fewer than it says, or more
            than an image can have.
        KeyError: If it has no such entry.
        OSError: If it cannot be read.
    """
    from h5py import h5d, h5s

    # h5py's own layer takes three times as long: half of what a small crop's decoding takes.
    entry = h5d.open(_hdf5_file(file, os.getpid()).id, key.encode())
    kind, size = entry.dtype, entry.dtype.itemsize * prod(entry.shape)
    if kind.hasobject:
        raise ValueError("its entry holds no bytes")
    _refuse_more(size)
    if size > max(UNSEEN, entry.get_storage_size()):
        raise ValueError(f"its entry says that it has {size:,} bytes, and holds fewer")
    content = np.empty(entry.shape, kind)
    entry.read(h5s.ALL, h5s.ALL, content)
    return content.tobytes()


def refuse_endless(path: Path) -> None:
    """Refuse a pipe, socket or device.

    Raises:
        ValueError: If it is one.
        OSError: If nothing is there.
    """
    if is_endless(path):
        raise ValueError(ENDLESS)


def _refuse_more(size: int) -> None:
    if size > MAX_BYTES:
        raise ValueError(f"has more than {MAX_BYTES:,} bytes: make it smaller")


@lru_cache(maxsize=4)  # once a process: h5py handles do not survive a fork or a pickle
def _hdf5_file(path: str, process: int) -> Any:
    import h5py

    del process  # it is there for the cache
    refuse_endless(Path(path))
    return h5py.File(path, "r")
