"""Opens one image, whatever its mode and wherever its bytes are, as upright 8-bit RGB.

A place is `{"bytes": ..., "path": ...}` as `datasets.Image(decode=False)` stores it, and the data
set's `"range"` where it has one (`toolkit_common.images.wide`). Besides files a path can name an
entry of an HDF5 file (`FILE.hdf5#KEY`) or of a torchvision data set
(`torchvision://NAME?root=PATH&split=SPLIT#INDEX`, the split empty where there is none) or a row of
a stream (`toolkit_common.images.streams`).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import numpy as np
from PIL import ExifTags, Image

from toolkit_common.errors import InputError, in_one_line
from toolkit_common.foreign.values import is_endless
from toolkit_common.images.encoded import (
    MAX_PIXELS,
    open_head,
    read_file,
    read_hdf5,
    refuse_endless,
)
from toolkit_common.images.streams import STREAM, read_streamed
from toolkit_common.images.wide import PixelRange, is_wide, to_8_bits, wide_values
from toolkit_common.outside import is_of_machine, reason_of
from toolkit_common.printable import one_line

Place = Mapping[str, Any]

WHITE = (255, 255, 255)
TORCHVISION = "torchvision://"
PACKED = ".hdf5#"
NO_FILE = "no such file"
TURNS: dict[object, Image.Transpose] = {  # EXIF orientation -> what turns the image upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class BadImageError(OSError, InputError):
    """An image that cannot be decoded; says which and why."""

    def __init__(self, text: str) -> None:
        # A loader's worker wraps the message into its traceback: the user reads one line.
        super().__init__(in_one_line(text.rpartition("BadImageError: ")[2].strip()))


def remedy(problem: str) -> str:
    """Return what to do about a bad image, by what `BadImageError` says of it."""
    return "correct its name or drop its row" if problem.endswith(NO_FILE) else "mend or remove it"


def open_image(place: Place) -> Image.Image:
    """Decode an image to RGB: EXIF orientation applied, more bits scaled, alpha laid over white.

    Raises:
        BadImageError: If it is missing, empty, no image or cut short, or holds more than 8 bits
            where the data set has no range for them.
    """
    with _named(place):
        return _to_rgb(_opener(place), place.get("range"))


def holds_more_than_8_bits(place: Place) -> bool:
    """Whether an image's values need a range; looks at the head of a file alone.

    Raises:
        BadImageError: If it is missing, or no image.
    """
    with _named(place):
        path = str(place["path"])
        if place["bytes"] is None and not _is_special(path):
            refuse_endless(Path(path))
            with open_head(Path(path)) as image:
                return is_wide(image)
        return is_wide(_opener(place)())


def read_values(place: Place) -> np.ndarray | None:
    """Return an image's values of more than 8 bits; None if it holds 8.

    Raises:
        BadImageError: If it does not decode.
    """
    with _named(place):
        reopen = _opener(place)
        return wide_values(reopen(), reopen)


def to_rgb(image: Image.Image) -> Image.Image:
    """Return an image in memory as `open_image` does that of a file.

    Raises:
        BadImageError: If it does not decode, or holds more than 8 bits.
    """
    with _named({"bytes": None, "path": getattr(image, "filename", "")}):
        return _to_rgb(lambda: image, None)


def split_packed(path: str) -> tuple[str, str] | None:
    """Return file and entry of `FILE.hdf5#KEY`, None of any other path: folders may hold a #."""
    file, mark, key = path.rpartition(PACKED)
    if not mark or ("/" in key and not Path(f"{file}{PACKED[:-1]}").is_file()):
        return None
    return f"{file}{PACKED[:-1]}", key


def name_of(place: Place) -> str:
    """Return what to call an image in a message."""
    return one_line(str(place["path"] or "an image in memory"))


@contextmanager
def _named(place: Place) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # decoders raise many kinds on damaged bytes
        if is_of_machine(error):
            # Nothing follows for the image, least that it is left out.
            error.add_note(f"while reading {name_of(place)}")
            raise
        raise BadImageError(f"{name_of(place)}: {_reason(error, place)}") from error


def _opener(place: Place) -> Callable[[], Image.Image]:
    """Return what opens an image, anew at each call; its bytes are read once."""
    content = place["bytes"]
    if content is None:
        path = str(place["path"])
        packed = split_packed(path)
        if packed is not None:
            content = read_hdf5(*packed)
        elif path.startswith(TORCHVISION):
            image = _open_torchvision(path)
            return lambda: image
        elif path.startswith(STREAM):
            content = read_streamed(path)
        else:
            content = read_file(Path(path))
    return lambda: open_head(BytesIO(content))


def _is_special(path: str) -> bool:
    return path.startswith((TORCHVISION, STREAM)) or split_packed(path) is not None


def _to_rgb(reopen: Callable[[], Image.Image], pixels: PixelRange | None) -> Image.Image:
    image = reopen()
    values = wide_values(image, reopen)
    turn = TURNS.get(_orientation(image))
    if values is not None:
        if pixels is None or pixels.of_8_bits:
            raise ValueError(
                f"holds more than 8 bits ({image.mode}), unlike the images that the data set was "
                "judged by: add ?range=LOW,HIGH to it, such as ?range=0,65535"
            )
        image = to_8_bits(values, pixels)
    if turn is not None:
        image = image.transpose(turn)
    # A palette may name a transparent colour: a mode without alpha, with transparency in its info.
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        paper = Image.new("RGBA", image.size, (*WHITE, 255))
        image = Image.alpha_composite(paper, image)
    image = image.convert("RGB")
    if values is None and pixels is not None and pixels.of_8_bits:
        image = Image.fromarray(pixels.to_bytes(np.asarray(image)))
    return image


def _orientation(image: Image.Image) -> object:
    """Return the EXIF orientation; damaged EXIF data harm no pixel and have none."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation)
    except Exception:
        return None


def _reason(error: Exception, place: Place) -> str:
    text = str(place["path"])
    if place["bytes"] is None and not _is_special(text):
        path = Path(text)
        if not path.exists():
            return NO_FILE
        if path.stat().st_size == 0 and not is_endless(path):
            return "the file is empty"
    if "cannot identify" in str(error):
        return "not an image"
    if isinstance(error, Image.DecompressionBombError):
        return f"has more than {MAX_PIXELS:,} pixels: make it smaller"
    if isinstance(error, ValueError) and "null" in str(error):
        return "no file can have such a name"
    if isinstance(error, KeyError):  # of an HDF5 file
        return "it has no such entry"
    return reason_of(error)


@dataclass(frozen=True)
class TorchvisionPlace:
    """One image of a torchvision data set; `split` is empty where the data set has none."""

    name: str
    root: str
    split: str
    index: int


def parse_torchvision(path: str) -> TorchvisionPlace:
    """Read a `torchvision://` path."""
    parts = urlsplit(path)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    return TorchvisionPlace(parts.netloc, options["root"], options["split"], int(parts.fragment))


def torchvision_path(name: str, root: str, split: str) -> str:
    """Return the `torchvision://` path of a split; `#INDEX` follows."""
    return f"{TORCHVISION}{name}?{urlencode({'root': root, 'split': split})}"


def _open_torchvision(path: str) -> Image.Image:
    at = parse_torchvision(path)
    image: Image.Image = torchvision_data_set(at.name, at.root, at.split)[at.index][0]
    return image


@lru_cache(maxsize=4)
def torchvision_data_set(name: str, root: str, split: str) -> Any:
    """Open one split of a torchvision data set that lies under `root`; nothing is downloaded."""
    import inspect

    from toolkit_common.torchvision_ops import prepare

    prepare()
    from torchvision import datasets

    factory = getattr(datasets, name)
    accepted = inspect.signature(factory).parameters
    options: dict[str, Any] = {"download": False} if "download" in accepted else {}
    if "split" in accepted:
        options["split"] = split
    elif "train" in accepted:
        options["train"] = split == "train"
    return factory(root, **options)
