"""The range of a data set's pixel values: looked up once, in a stated sample of its images.

The rule: whole numbers fill 8, 10, 12, 14 or 16 bits, the fewest that hold the sample; other
numbers end at 1 or 255. Whatever fits neither (signed numbers, wider floats) is asked for, and so
are images of 8 bits beside others that do not fill 16.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from toolkit_common.errors import InputError
from toolkit_common.images.open import BadImageError, Place, holds_more_than_8_bits, read_values
from toolkit_common.images.wide import BITS_8, PixelRange

FULL = 65535
WHOLE_TOPS = (BITS_8, 1023, 4095, 16383, FULL)
FLOAT_TOPS = (1.0, float(BITS_8))


@dataclass(frozen=True)
class Looked:
    """What a sample of images showed.

    Attributes:
        total: Images of the data set.
        images: How many were looked at.
        wide: How many of them hold more than 8 bits.
        low: Smallest value of those.
        high: Largest value of those.
        is_whole: Whether all of those are whole numbers.
        is_float: Whether any of them are stored as floats.
    """

    total: int
    images: int
    wide: int = 0
    low: float = 0.0
    high: float = 0.0
    is_whole: bool = True
    is_float: bool = False


def parse_range(text: str, identifier: str) -> PixelRange:
    """Read `LOW,HIGH`.

    Raises:
        InputError: If it is no two numbers, the larger last.
    """
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        low = high = np.nan
    if not (np.isfinite([low, high]).all() and low < high):
        raise InputError(
            f"range must be LOW,HIGH, the values that become black and white, got {text!r} in "
            f"{identifier!r}"
        )
    return PixelRange(low, high, is_given=True)


def look_at(places: Sequence[Place], *, total: int) -> Looked:
    """Look at a sample of images; those that do not decode are named by who reads all."""
    # Threads, as Pillow decodes outside the interpreter's lock.
    with ThreadPoolExecutor(min(len(places), os.cpu_count() or 1) or 1) as pool:
        seen = list(pool.map(_look, places))
    wide = [item for item in seen if item is not None and item != ()]
    images = sum(item is not None for item in seen)
    if not wide:
        return Looked(total, images)
    lows, highs, whole, floats = zip(*wide, strict=True)
    return Looked(total, images, len(wide), min(lows), max(highs), all(whole), any(floats))


def choose_range(
    looked: Looked, given: PixelRange | None, identifier: str
) -> tuple[PixelRange | None, str]:
    """Return the range of a data set and the line that says so; None where 8 bits are all.

    Raises:
        InputError: If the sample leaves open which range it is.
    """
    if given is not None:
        # Values of 8 bits are all that a range within them can be of.
        chosen = replace(given, of_8_bits=looked.wide == 0 and given.high <= BITS_8)
        return chosen, f"pixel values {chosen} become 0 to 255, as given; beyond it they are cut"
    if not looked.wide:
        return None, ""
    chosen = PixelRange(0.0, _top(looked, identifier))
    is_mixed = looked.wide < looked.images
    if is_mixed and chosen.high != FULL:
        raise InputError(
            f"{identifier!r} mixes images of 8 bits with others: {looked.wide} of {looked.images} "
            f"looked at hold more, values {looked.low:g} to {looked.high:g}; save all alike, or "
            f"add ?{chosen.option} if that is the others' black and white"
        )
    used = (looked.high - looked.low) / chosen.high
    line = (
        f"pixel values {chosen} become 0 to 255 in every image, inferred from {looked.images} of "
        f"{looked.total:,}: {looked.wide} hold more than 8 bits, values {looked.low:g} to "
        f"{looked.high:g}, {used:.0%} of the range (?range=LOW,HIGH sets another)"
    )
    return chosen, f"{line}; images of 8 bits are read as they are" if is_mixed else line


def _top(looked: Looked, identifier: str) -> float:
    is_unit = looked.is_float and looked.high <= 1
    tops = WHOLE_TOPS if looked.is_whole and not is_unit else FLOAT_TOPS
    top = next((top for top in tops if looked.high <= top), None)
    if looked.low < 0 or top is None:
        raise InputError(
            f"the images of {identifier!r} hold values from {looked.low:g} to {looked.high:g} "
            f"({looked.wide} looked at), which no usual range fits: say which become black and "
            f"white, as in ?range={looked.low:g},{looked.high:g}"
        )
    return float(top)


def _look(place: Place) -> tuple[float, float, bool, bool] | tuple[()] | None:
    """Return smallest and largest value, whether all are whole, and floats; nothing of 8 bits."""
    try:
        if not holds_more_than_8_bits(place):
            return ()
        values = read_values(place)
    except BadImageError:
        return None
    assert values is not None  # it holds more than 8 bits
    is_float = values.dtype.kind == "f"
    is_whole = not is_float or bool((values == np.round(values)).all())
    return float(values.min()), float(values.max()), is_whole, is_float
