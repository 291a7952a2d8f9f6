"""One range for all images of a data set: inferred by a stated rule, given, or asked for."""

import numpy as np
import pytest
from PIL import Image

from helpers.small_data import encode
from toolkit_common.errors import InputError
from toolkit_common.images.ranges import choose_range, look_at, parse_range
from toolkit_common.images.wide import PixelRange


def image(*values: float, dtype: str = "u2") -> bytes:
    return encode(Image.fromarray(np.array([values]).astype(dtype)), "TIFF")


def choose(*images: bytes, given: str | None = None) -> tuple[PixelRange | None, str]:
    looked = look_at([{"bytes": item, "path": None} for item in images], total=1000)
    return choose_range(looked, given and parse_range(given, "d"), "d")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("images", "high"),
    [
        ([image(0, 255)], 255),
        ([image(0, 1)], 255),
        ([image(0, 900)], 1023),
        ([image(3, 100), image(5, 4000)], 4095),
        ([image(0, 5000)], 16383),
        ([image(0, 40000)], 65535),
        ([image(0, 4000, dtype="i4")], 4095),
        ([image(0, 0.25, dtype="f4")], 1),
        ([image(0, 1, dtype="f4")], 1),
        ([image(0, 0, dtype="f4"), image(0, 4000, dtype="f4")], 4095),
        ([image(0, 200.5, dtype="f4")], 255),
    ],
)
def test_the_range_is_the_narrowest_usual_one_that_holds_the_sample(
    images: list[bytes], high: float
) -> None:
    assert choose(*images)[0] == PixelRange(0.0, high)


def test_the_line_states_sample_and_values() -> None:
    assert choose(image(3, 100), image(5, 414))[1] == (
        "pixel values 0 to 1023 become 0 to 255 in every image, inferred from 2 of 1,000: 2 hold "
        "more than 8 bits, values 3 to 414, 40% of the range (?range=LOW,HIGH sets another)"
    )


def test_images_of_8_bits_need_no_range() -> None:
    assert choose(image(0, 16, dtype="u1")) == (None, "")


def test_images_of_8_bits_stay_as_they_are_beside_full_ones() -> None:
    chosen, line = choose(image(0, 255, dtype="u1"), image(0, 65535))
    assert chosen == PixelRange(0.0, 65535.0)
    assert line.endswith("; images of 8 bits are read as they are")


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([image(0, 255, dtype="u1"), image(0, 4000)], r"'d' mixes .* 1 of 2 .*add [?]range=0,4095"),
        ([image(-1000, 3000, dtype="i4")], r"values from -1000 to 3000 .*[?]range=-1000,3000"),
        ([image(-0.5, 0.5, dtype="f4")], r"values from -0.5 to 0.5 .*[?]range=-0.5,0.5"),
        ([image(0, 300.5, dtype="f4")], "values from 0 to 300.5"),
        ([image(0, 70000, dtype="i4")], "values from 0 to 70000"),
    ],
)
def test_what_no_usual_range_fits_is_asked_for(images: list[bytes], message: str) -> None:
    with pytest.raises(InputError, match=message):
        choose(*images)


def test_a_given_range_holds_whatever_the_images_show() -> None:
    assert choose(image(-9, 9, dtype="i4"), given="-5,5")[0] == PixelRange(-5, 5, is_given=True)
    eight = choose(image(0, 16, dtype="u1"), given="0,16")[0]
    assert eight == PixelRange(0, 16, is_given=True, of_8_bits=True)
    assert choose(image(0, 16, dtype="u1"), given="0,4095")[0] == PixelRange(0, 4095, is_given=True)


@pytest.mark.parametrize("text", ["5", "1,2,3", "a,b", "5,5", "9,1", "0,inf", "nan,1"])
def test_a_range_is_two_numbers_the_larger_last(text: str) -> None:
    with pytest.raises(InputError, match=f"range must be LOW,HIGH.* got '{text}' in 'd'"):
        parse_range(text, "d")


def test_images_that_do_not_decode_are_left_to_who_reads_all() -> None:
    assert choose(b"no image", image(0, 4000))[0] == PixelRange(0.0, 4095.0)
    assert choose(b"no image") == (None, "")
