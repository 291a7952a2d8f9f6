"""A hash of what an image's file holds, wherever its bytes are: equal for copies under any name."""

import hashlib
from pathlib import Path

from toolkit_common.images.encoded import read_file, read_hdf5
from toolkit_common.images.open import TORCHVISION, Place, open_image, split_packed
from toolkit_common.images.streams import STREAM, read_streamed

UNREADABLE = ""  # hash of an image that cannot be read


def content_hash(place: Place) -> str:
    """Return the hex sha256 of an image's encoded bytes, `UNREADABLE` if they are not there.

    Of a torchvision data set, which hands out pictures and no files, it is that of the pixels.
    """
    if place["bytes"] is not None:
        return hashlib.sha256(place["bytes"]).hexdigest()
    path = str(place["path"])
    try:
        if path.startswith(TORCHVISION):
            image = open_image(place)
            return hashlib.sha256(f"{image.size}".encode() + image.tobytes()).hexdigest()
        if path.startswith(STREAM):
            return hashlib.sha256(read_streamed(path)).hexdigest()
        packed = split_packed(path)
        content = read_file(Path(path)) if packed is None else read_hdf5(*packed)
    except (OSError, KeyError, ValueError):
        return UNREADABLE
    return hashlib.sha256(content).hexdigest()
