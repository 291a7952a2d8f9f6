"""Large images made smaller once, so that training does not decode and shrink them every epoch.

Images whose shorter side is above a size are written to one HDF5 file as JPEGs of that size
(quality 95, so pixels change a little); smaller ones are read from where they are. The file's name
holds a hash of what it was made from, and it appears only when it is whole.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from toolkit_common.data.dataset import ImageData, replace_images
from toolkit_common.data.loaders import map_images
from toolkit_common.extras import require
from toolkit_common.images.open import Place, open_image
from toolkit_common.images.transforms import Transform
from toolkit_common.runs.files import atomic_path, cache_folder

VERSION = 1
QUALITY = 95
LOOKED_AT = 16  # images whose change is measured


def resize_images(
    data: ImageData, rows: np.ndarray, *, size: int, folder: Path | None = None
) -> ImageData:
    """Return the data set with the images of some rows at most `size` pixels on the shorter side.

    Args:
        data: The data set.
        rows: Rows whose images will be read; all must decode.
        size: Pixels.
        folder: Where the file is kept; `images` in the toolkit's cache by default.
    """
    folder = folder or cache_folder() / "images"
    file = folder / f"{_key(data, rows, size)}-{size}.hdf5"
    if not file.exists():
        _write(data, rows, size, file=file)
    return replace(data, rows=replace_images(data.rows, _places(file)))


def pixel_change(
    before: ImageData, after: ImageData, rows: np.ndarray, *, transform: Transform
) -> float:
    """Return by how much an encoder's input changes on average, of 255, on some images.

    Args:
        before: The data set with its own images.
        after: The same with others.
        rows: A few spread over these rows are looked at.
        transform: From an image to the encoder's input.
    """
    # Evenly spread: the same ones each time, without a draw.
    few = rows[np.linspace(0, len(rows) - 1, min(len(rows), LOOKED_AT)).astype(int)]
    changes = []
    for row in few.tolist():
        first, second = (
            transform(open_image(data.images[row]["image"])).int() for data in (before, after)
        )
        changes.append(float((first - second).abs().float().mean()))
    return float(np.mean(changes))


def _key(data: ImageData, rows: np.ndarray, size: int) -> str:
    keys = data.image_keys
    digest = hashlib.sha256(f"{VERSION}/{size}/{QUALITY}\n".encode())
    for row in rows:
        # With its number, which is its name in the file.
        digest.update(f"{row}:{keys[int(row)]}\n".encode())
    return digest.hexdigest()[:24]


def _write(data: ImageData, rows: np.ndarray, size: int, *, file: Path) -> None:
    h5py = require("h5py", extra="lesions", purpose="--cache-images")

    shrink, written = partial(_shrunk, size=size), []
    with atomic_path(file) as temporary, h5py.File(temporary, "w") as store:
        for row, content in map_images(data, rows, shrink, title="caching images"):
            if content is not None:
                store[f"images/{row}"] = np.frombuffer(content, np.uint8)
                written.append(row)
        # What readers go by: images that were small enough are not in the file.
        store["rows"] = np.array(written, np.int64)


def _shrunk(place: Place, *, size: int) -> bytes | None:
    image = open_image(place)
    shorter = min(image.size)
    if shorter <= size:  # never enlarged: pixels would be made up
        return None
    # A very long image keeps a pixel.
    width, height = (max(1, round(side * size / shorter)) for side in image.size)
    # JPEG, as pixels would be several times the bytes; its loss is measured (`pixel_change`).
    content = BytesIO()
    image.resize((width, height), Image.Resampling.BICUBIC).save(content, "JPEG", quality=QUALITY)
    return content.getvalue()


def _places(file: Path) -> Iterator[tuple[int, str]]:
    h5py = require("h5py", extra="lesions", purpose="--cache-images")
    with h5py.File(file, "r") as store:
        for row in store["rows"][:]:
            yield int(row), f"{file}#images/{row}"
