"""Large images made smaller once, so that training does not decode and shrink them every epoch.

Images that a resizing makes smaller are written to one HDF5 file, without loss (WebP, which takes
no longer to read than a JPEG file); others are read from where they are. A JPEG of quality 95 in
between changed the tokens of EfficientNet-Lite0 by a fifth of their norm, at "0.9 of 255" a pixel,
and resizing twice by a tenth: what is kept here is what the encoder itself resizes an image to,
where no random crop is cut out of it. The file's name holds a hash of what it was made from, and it
appears only when it is whole.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, features

from toolkit_common.data.dataset import ImageData, replace_images
from toolkit_common.data.loaders import map_images
from toolkit_common.extras import require
from toolkit_common.images.open import Place, open_image
from toolkit_common.images.transforms import Preprocess, build_resize
from toolkit_common.runs.files import atomic_path, cache_folder
from toolkit_common.runs.locks import share_folder

VERSION = 2
LONGEST_WEBP = 16383  # pixels of a side that the format can hold


@dataclass(frozen=True)
class Resizing:
    """How images are made smaller.

    Attributes:
        name: All that it depends on, in a word that a file's name can hold.
        resize: From an image to the smaller one.
        is_exact: Whether an encoder that reads the smaller image sees the same pixels.
    """

    name: str
    resize: Callable[[Image.Image], Image.Image]
    is_exact: bool = False


def shorter_side(size: int) -> Resizing:
    """Return the resizing to `size` pixels on the shorter side: to cut random crops out of."""
    return Resizing(f"{size}", partial(_shrink, size=size))


def as_read(preprocess: Preprocess) -> Resizing:
    """Return the resizing that an encoder begins with: what it does again changes nothing."""
    height, width = preprocess.resized
    name = f"{preprocess.resize}-{height}x{width}-{preprocess.interpolation}"
    return Resizing(name, build_resize(preprocess), is_exact=True)


def resize_images(
    data: ImageData, rows: np.ndarray, *, how: Resizing, folder: Path | None = None
) -> ImageData:
    """Return the data set with smaller images in some rows, where they are larger.

    Args:
        data: The data set.
        rows: Rows whose images will be read; all must decode.
        how: What they become.
        folder: Where the file is kept; `images` in the toolkit's cache by default.
    """
    folder = folder or cache_folder() / "images"
    file = folder / f"{_key(data, rows, how)}-{how.name}.hdf5"
    if not file.exists():
        _write(data, rows, how, file=file)
    share_folder(folder)
    # Scaled by the range of the data set already, all of them: see `_shrunk`.
    small = replace(data, rows=replace_images(data.rows, _places(file)), pixel_range=None)
    if how.is_exact:
        # Keyed as the images that they stand for: features of these are features of those.
        small.__dict__["image_keys"] = data.image_keys
    return small


def _key(data: ImageData, rows: np.ndarray, how: Resizing) -> str:
    keys = data.image_keys
    digest = hashlib.sha256(f"{VERSION}/{how.name}\n".encode())
    for row in rows:
        # With its number, which is its name in the file.
        digest.update(f"{row}:{keys[int(row)]}\n".encode())
    return digest.hexdigest()[:24]


def _write(data: ImageData, rows: np.ndarray, how: Resizing, *, file: Path) -> None:
    h5py = require("h5py", extra="lesions", purpose="--cache-images")

    shrink = partial(_shrunk, how=how, with_all=data.pixel_range is not None)
    written = []
    with atomic_path(file) as temporary, h5py.File(temporary, "w") as store:
        for row, content in map_images(data, rows, shrink, title="caching images"):
            if content is not None:
                store[f"images/{row}"] = np.frombuffer(content, np.uint8)
                written.append(row)
        # What readers go by: images that were small enough are not in the file.
        store["rows"] = np.array(written, np.int64)


def _shrunk(place: Place, *, how: Resizing, with_all: bool) -> bytes | None:
    image = open_image(place)
    small = how.resize(image)
    if small.width * small.height >= image.width * image.height:
        if not with_all:
            return None  # never enlarged: that is the encoder's to do, and takes no decoding
        small = image
    content = BytesIO()
    if max(small.size) <= LONGEST_WEBP and features.check("webp"):
        # The least effort: a tenth more bytes than the most, in a twentieth of the time.
        small.save(content, "WEBP", lossless=True, quality=0, method=0)
    else:
        small.save(content, "PNG")
    return content.getvalue()


def _shrink(image: Image.Image, *, size: int) -> Image.Image:
    shorter = min(image.size)
    if shorter <= size:
        return image
    # A very long image keeps a pixel.
    width, height = (max(1, round(side * size / shorter)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC)


def _places(file: Path) -> Iterator[tuple[int, str]]:
    h5py = require("h5py", extra="lesions", purpose="--cache-images")
    with h5py.File(file, "r") as store:
        for row in store["rows"][:]:
            yield int(row), f"{file}#images/{row}"
