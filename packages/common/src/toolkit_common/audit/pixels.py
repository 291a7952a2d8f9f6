"""How much of their range the pixels of a data set use: an encoder sees nearly one grey of little.

A few images, spread evenly, as an encoder gets them: 8 bits, after the data set's range.
"""

from collections.abc import Iterator

import numpy as np

from toolkit_common.audit.findings import Finding
from toolkit_common.data.dataset import ImageData
from toolkit_common.data.loaders import map_images
from toolkit_common.images.open import BadImageError, Place, open_image
from toolkit_common.images.wide import BITS_8, PixelRange

LOOKED_AT = 64  # images
TAIL = 0.001  # share of the values at each end that may be anything: hot pixels, burnt-in text
SLIVER = 0.25  # share of the range
ALL_8_BITS = PixelRange(0.0, float(BITS_8))


def pixel_findings(data: ImageData) -> Iterator[Finding]:
    """Yield whether the images' values are a sliver of their range; only a part is looked at."""
    rows = np.unique(np.linspace(0, len(data) - 1, LOOKED_AT).astype(int))
    counts = np.zeros(BITS_8 + 1, np.int64)
    for _, histogram in map_images(data, rows, _histogram, title="looking at pixel values"):
        counts += histogram
    if not counts.sum():
        return
    shares = np.cumsum(counts) / counts.sum()
    # The values that 0.1 % lie below, and above.
    low, high = np.searchsorted(shares, [TAIL, 1 - TAIL]).tolist()
    if (high - low) / BITS_8 >= SLIVER:
        return
    pixels = data.pixel_range or ALL_8_BITS
    first, last = (pixels.low + at / BITS_8 * (pixels.high - pixels.low) for at in (low, high))
    yield Finding(
        "warning", "pixel range",
        f"{1 - 2 * TAIL:.1%} of the pixel values of {len(rows)} images are {first:g} to {last:g}, "
        f"{(high - low) / BITS_8:.0%} of {pixels}: an encoder sees nearly one grey; say which "
        f"values are black and white, as in ?range={first:g},{last:g}",
    )  # fmt: skip


def _histogram(place: Place) -> np.ndarray:
    try:
        pixels = np.asarray(open_image(place))
    except BadImageError:  # counted where images are hashed
        return np.zeros(BITS_8 + 1, np.int64)
    return np.bincount(pixels.ravel(), minlength=BITS_8 + 1)
