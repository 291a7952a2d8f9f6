"""A set that uses a sliver of its range is named, with the range that it uses."""

import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from helpers.small_data import build_data, encode
from toolkit_common.audit.pixels import pixel_findings
from toolkit_common.data.dataset import ImageData
from toolkit_common.images.wide import PixelRange


def data(high: int, *, dtype: str = "u1", pixels: PixelRange | None = None) -> ImageData:
    rng = np.random.default_rng(0)
    images = [
        encode(Image.fromarray(rng.integers(0, high + 1, (32, 32)).astype(dtype)))
        for _ in range(70)
    ]
    return replace(build_data(list("ab") * 35, images=images), pixel_range=pixels)


@pytest.mark.parametrize(
    ("high", "dtype", "pixels", "expected"),
    [
        (15, "u1", None, r"64 images are 0 to 15, 6% of 0 to 255.*[?]range=0,15"),
        (410, "u2", PixelRange(0, 4095), r"are 0 to 4\d\d.*, 10% of 0 to 4095"),
    ],
)
def test_a_sliver_is_named_in_the_values_of_the_files(
    high: int, dtype: str, pixels: PixelRange | None, expected: str
) -> None:
    [finding] = pixel_findings(data(high, dtype=dtype, pixels=pixels))
    assert (finding.severity, finding.kind) == ("warning", "pixel range")
    assert re.search(expected, finding.text)


def test_a_set_that_uses_its_range_is_not() -> None:
    assert list(pixel_findings(data(255))) == []
    assert list(pixel_findings(data(4000, dtype="u2", pixels=PixelRange(0, 4095)))) == []


def test_images_that_do_not_decode_say_nothing() -> None:
    assert list(pixel_findings(build_data(["a"], images=[b"no image"]))) == []
