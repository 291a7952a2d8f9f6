"""A content key for each image: what token stores and fingerprints are made of.

Bytes in memory are hashed; for files it is name, size and modification time, so that a million
files take seconds. A file that holds many images is looked at once. An image of a torchvision data
set has the key of all its files.
"""

import hashlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit_common.images.open import TORCHVISION, parse_torchvision, split_packed
from toolkit_common.images.streams import STREAM
from toolkit_common.images.walk import find_files

if TYPE_CHECKING:
    from datasets import Dataset

ABSENT = ":absent"  # ends the key of an image whose file is not there
CHUNK = 4096  # rows taken at once: their bytes may be in memory


def image_keys(images: "Dataset") -> list[str]:
    """Return the key of every row's image.

    Args:
        images: Rows with the column `image`, undecoded.
    """
    # Of one call: a file that was written since the last must be looked at again.
    file_key = lru_cache(maxsize=16)(_file_key)
    rows = images.with_format("arrow")
    return [
        _image_key(place, file_key)
        for start in range(0, len(rows), CHUNK)
        for place in rows[start : start + CHUNK]["image"].to_pylist()
    ]


def _image_key(place: dict[str, Any], file_key: Callable[[str], tuple[str, str] | None]) -> str:
    if place["bytes"] is not None:
        return hashlib.sha256(place["bytes"]).hexdigest()
    if place["path"].startswith(TORCHVISION):
        at = parse_torchvision(place["path"])
        # Of the whole folder: which file holds an image only torchvision knows.
        return f"{at.name}/{at.split}#{at.index}:{_folder_key(at.root)}"
    if place["path"].startswith(STREAM):
        return str(place["path"])  # it holds a hash of what its files were
    path, entry = split_packed(place["path"]) or (place["path"], "")
    known = file_key(path)
    return f"{place['path']}{ABSENT}" if known is None else f"{known[0]}#{entry}:{known[1]}"


def _file_key(path: str) -> tuple[str, str] | None:
    """Return a file's name, and its size and time; None if it is absent."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    # Name and folder, not the whole path: a data set that is moved keeps its features.
    return "/".join(Path(path).parts[-2:]), f"{status.st_size}:{status.st_mtime_ns}"


@lru_cache(maxsize=4)
def _folder_key(root: str) -> str:
    digest = hashlib.sha256()
    for path in find_files(Path(root)):
        status = path.stat()
        name = path.relative_to(root)
        digest.update(f"{name}:{status.st_size}:{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()
