"""Values of more than 8 bits, as a file holds them, and the range that makes them 0 to 255.

Pillow hands out the upper byte of colours of 16 bits, and values of grey ones as they are. Whether
12 bits stand in 16, or floats end at 1, no file says: a range is a property of the data set, and
the same for all of its images.

Shapes: h height, w width, c channels (colours, then alpha where there is one).
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

BITS_8 = 255
STRIPE = 1 << 20  # values that are scaled at once
# Raw modes of colours of 16 bits -> the one that unpacks the other byte of each value.
OTHER_BYTE = {
    f"{colours};16{order}": f"{colours};16{other}"
    for colours in ("RGB", "RGBA", "RGBX", "RGBa")
    for order, other in (("B", "L"), ("L", "B"), ("N", "B" if sys.byteorder == "little" else "L"))
}
GREY_ALPHA = "LA;16B"  # has no such other: its four bytes are unpacked as if each were a colour


@dataclass(frozen=True)
class PixelRange:
    """Which values become black and white.

    Attributes:
        low: Becomes 0.
        high: Becomes 255.
        is_given: By the user: values beyond are cut off. Beyond an inferred range they are an
            error, as the sample did not show them.
        of_8_bits: Whether it is of images of 8 bits, too, which else are read as they are.
    """

    low: float
    high: float
    is_given: bool = False
    of_8_bits: bool = False

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"

    @property
    def option(self) -> str:
        """As it is written in a data set's id."""
        return f"range={self.low:g},{self.high:g}"

    @property
    def key(self) -> str:
        """What it adds to the content key of an image."""
        return f"{self.option}{',8' if self.of_8_bits else ''}|"

    def to_bytes(self, values: np.ndarray) -> np.ndarray:
        """Scale values to 0 to 255, rounded, uint8.

        Raises:
            ValueError: If the range was inferred and a value is beyond it.
        """
        if not self.is_given and values.size and (
            values.min() < self.low or values.max() > self.high
        ):  # fmt: skip
            raise ValueError(
                f"has values from {values.min():g} to {values.max():g}, beyond the range {self} "
                "that was inferred from other images: add ?range=LOW,HIGH to the data set"
            )
        scaled = np.empty(values.shape, np.uint8)
        _scale(values, scaled, low=self.low, factor=BITS_8 / (self.high - self.low))
        return scaled


def is_wide(image: Image.Image) -> bool:
    """Whether an image that is not loaded yet holds more than 8 bits."""
    return image.mode.startswith("I") or image.mode == "F" or _raw_mode(image) in _COLOURS


def wide_values(image: Image.Image, reopen: Callable[[], Image.Image]) -> np.ndarray | None:
    """Return all bits of an image of more than 8, `(h, w)` or `(h, w, c)`; None of another.

    Args:
        image: What `reopen` returned, not loaded yet.
        reopen: Opens the image anew: of colours one byte of two is unpacked at a time.

    Raises:
        ValueError: If a value is not finite.
    """
    raw = _raw_mode(image)
    if raw == GREY_ALPHA:
        bytes_ = _unpack(image, "RGBA")
        return _joined(bytes_[..., 0::2], bytes_[..., 1::2])
    if raw in OTHER_BYTE:
        return _joined(_unpack(image, raw), _unpack(reopen(), OTHER_BYTE[raw]))
    if not is_wide(image):
        return None
    values = np.asarray(image)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError("has values that are not finite")
    return values


def to_8_bits(values: np.ndarray, pixels: PixelRange) -> Image.Image:
    """Return wide values as an image of 8 bits; alpha spans all of its 16."""
    if values.ndim < 3 or values.shape[2] not in (2, 4):
        return Image.fromarray(pixels.to_bytes(values))
    scaled = np.empty(values.shape, np.uint8)
    scaled[..., :-1] = pixels.to_bytes(values[..., :-1])
    _scale(values[..., -1], scaled[..., -1], low=0.0, factor=1 / 257)
    return Image.fromarray(scaled)


_COLOURS = frozenset({*OTHER_BYTE, GREY_ALPHA})


def _raw_mode(image: Image.Image) -> str:
    """Return how the file's bytes are unpacked; empty where no file is behind it."""
    tiles = getattr(image, "tile", [])
    if not tiles:
        return ""
    args = tiles[0][3]
    return str(args[0] if isinstance(args, tuple) and args else args)


def _unpack(image: Image.Image, raw: str) -> np.ndarray:
    """Load an image with another raw mode, and return its bytes `(h, w, c)`."""
    tiles = []
    for codec, extents, offset, args in image.tile:  # type: ignore[attr-defined]
        tiles.append((codec, extents, offset, (raw, *args[1:]) if isinstance(args, tuple) else raw))
    image.tile = tiles  # type: ignore[attr-defined]
    return np.asarray(image)


def _joined(upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """Return values of 16 bits of their two bytes."""
    values = upper.astype(np.uint16)
    values <<= 8
    values |= lower
    return values


def _scale(values: np.ndarray, scaled: np.ndarray, *, low: float, factor: float) -> None:
    """Write `(values - low) * factor`, rounded, into bytes; a stripe of them at a time."""
    longest = int(np.argmax(values.shape))
    source, target = np.moveaxis(values, longest, 0), np.moveaxis(scaled, longest, 0)
    step = max(1, STRIPE * len(source) // max(1, values.size))
    for start in range(0, len(source), step):
        # float64 of all would be eight times the image, and several of them.
        part = (source[start : start + step].astype(np.float64) - low) * factor
        target[start : start + step] = part.round().clip(0, BITS_8)
