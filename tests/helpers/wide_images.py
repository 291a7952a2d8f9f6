"""Images of more than 8 bits, and folders of them that brightness tells apart."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from helpers.small_data import encode

GREY, RGB, GREY_ALPHA, RGBA = 0, 2, 4, 6  # colour types of PNG
CHANNELS = {GREY: 1, RGB: 3, GREY_ALPHA: 2, RGBA: 4}


def png_16(values: np.ndarray, colour: int) -> bytes:
    """A PNG of 16 bits, which Pillow writes of grey alone."""
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def eight_bits(values: np.ndarray) -> bytes:
    """Greys of 0 to 1 as a PNG of 8 bits."""
    return encode(Image.fromarray((values * 255).round().astype(np.uint8)))


def twelve_bits(values: np.ndarray) -> bytes:
    """Greys of 0 to 1 as 12 bits in a PNG of 16."""
    return png_16((values * 4095).round(), GREY)


def twelve_bits_of_colour(values: np.ndarray) -> bytes:
    """Greys of 0 to 1 as 12 bits in a PNG of 16 bits a colour."""
    return png_16((values * 4095).round()[..., None].repeat(3, axis=-1), RGB)


def floats(values: np.ndarray) -> bytes:
    """Greys of 0 to 1 as they are, in a TIFF."""
    return encode(Image.fromarray(values.astype(np.float32)), "TIFF")


def write_greys(root: Path, write: Callable[[np.ndarray], bytes], *, per_class: int = 12) -> Path:
    """Write a folder of two classes that brightness alone tells apart, 0.45 and 0.55 of white."""
    rng = np.random.default_rng(0)
    for name, mean in (("dark", 0.45), ("light", 0.55)):
        (root / name).mkdir(parents=True)
        for index in range(per_class):
            values = (rng.normal(mean, 0.02) + rng.normal(0, 0.1, (24, 24))).clip(0, 1)
            (root / name / f"{index:03d}.img").write_bytes(write(values))
    return root
