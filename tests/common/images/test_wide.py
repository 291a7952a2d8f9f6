"""All bits of an image are read, whatever the format, and a range makes them 0 to 255."""

import struct
import tracemalloc
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from helpers.small_data import encode
from helpers.wide_images import CHANNELS, GREY, GREY_ALPHA, RGB, RGBA, png_16
from toolkit_common.images import wide
from toolkit_common.images.open import BadImageError, open_image, read_values
from toolkit_common.images.wide import PixelRange, to_8_bits


def tiff_16(values: np.ndarray, order: str) -> bytes:
    """An uncompressed TIFF of RGB of 16 bits, in either order of bytes."""
    height, width = values.shape[:2]
    data = values.astype(f"{order}u2").tobytes()
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 3, 134), (259, 3, 1, 1),
            (262, 3, 1, 2), (273, 4, 1, 140), (277, 3, 1, 3), (278, 4, 1, height),
            (279, 4, 1, len(data)), (284, 3, 1, 1)]  # fmt: skip
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8)
    body = struct.pack(f"{order}H", len(tags))
    for tag, kind, count, value in tags:
        packed = f"{order}HHI" + ("HH" if kind == 3 and count == 1 else "I")
        parts = (value, 0) if kind == 3 and count == 1 else (value,)
        body += struct.pack(packed, tag, kind, count, *parts)
    body += struct.pack(f"{order}I", 0)
    assert len(head + body) == 134
    return head + body + struct.pack(f"{order}HHH", 16, 16, 16) + data


def values_of(content: bytes) -> np.ndarray | None:
    return read_values({"bytes": content, "path": None})


def draw(channels: int) -> np.ndarray:
    shape = (5, 7) if channels == 1 else (5, 7, channels)
    return np.random.default_rng(0).integers(0, 65536, shape)


@pytest.mark.parametrize("colour", [GREY, RGB, GREY_ALPHA, RGBA])
def test_all_16_bits_of_a_png_are_read(colour: int) -> None:
    values = draw(CHANNELS[colour])
    assert np.array_equal(values_of(png_16(values, colour)), values)


@pytest.mark.parametrize("order", ["<", ">"])
def test_all_16_bits_of_the_colours_of_a_tiff_are_read(order: str) -> None:
    values = draw(3)
    assert np.array_equal(values_of(tiff_16(values, order)), values)


@pytest.mark.parametrize("compression", ["raw", "tiff_deflate", "tiff_lzw"])
def test_all_bits_of_grey_tiffs_are_read(compression: str) -> None:
    values = draw(1)
    for dtype in (np.uint16, np.int32, np.float32):
        image = Image.fromarray(values.astype(dtype))
        assert np.array_equal(values_of(encode(image, "TIFF", compression=compression)), values)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "LA", "CMYK"])
def test_images_of_8_bits_have_no_such_values(mode: str) -> None:
    assert values_of(encode(Image.new(mode, (3, 2)), "TIFF" if mode == "CMYK" else "PNG")) is None


def test_values_that_are_not_finite_are_refused() -> None:
    image = Image.fromarray(np.array([[0.5, np.nan]], np.float32))
    with pytest.raises(BadImageError, match="has values that are not finite"):
        values_of(encode(image, "TIFF"))


def test_12_bits_of_colour_keep_their_levels() -> None:
    values = np.arange(4096).repeat(3).reshape(64, 64, 3)
    place = {"bytes": png_16(values, RGB), "path": None, "range": PixelRange(0, 4095)}
    result = np.asarray(open_image(place))
    assert np.array_equal(result, np.round(values * 255 / 4095).astype(np.uint8))
    # What Pillow alone makes of it.
    assert len(np.unique(np.asarray(Image.open(BytesIO(png_16(values, RGB)))))) == 16


def test_alpha_of_16_bits_lies_over_white_whatever_the_range() -> None:
    values = np.array([[[4095, 0, 0, 65535], [4095, 0, 0, 0]]])
    place = {"bytes": png_16(values, RGBA), "path": None, "range": PixelRange(0, 4095)}
    assert np.asarray(open_image(place))[0].tolist() == [[255, 0, 0], [255, 255, 255]]


def test_values_beyond_an_inferred_range_are_an_error_and_cut_off_where_given() -> None:
    values = np.array([[0, 4095, 5000]])
    with pytest.raises(ValueError, match="from 0 to 5000, beyond the range 0 to 4095"):
        to_8_bits(values, PixelRange(0, 4095))
    given = PixelRange(1000, 4000, is_given=True)
    assert np.asarray(to_8_bits(values, given)).tolist() == [[0, 255, 255]]


@pytest.mark.parametrize("shape", [(1, 5000), (5000, 1), (70, 50), (50, 30, 3), (0, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32])
def test_stripes_are_scaled_as_the_whole(
    shape: tuple[int, ...], dtype: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wide, "STRIPE", 999)
    values = np.random.default_rng(0).integers(0, 250, shape).astype(dtype)
    expected = (values.astype(np.float64) - 7) * (255 / (231 - 7))
    scaled = PixelRange(7, 231, is_given=True).to_bytes(values)
    assert np.array_equal(scaled, expected.round().clip(0, 255).astype(np.uint8))


@pytest.mark.slow
@pytest.mark.parametrize("colour", [RGB, RGBA])
def test_16_bits_take_little_more_memory_than_8(colour: int) -> None:
    side, channels = 2000, CHANNELS[colour]
    values = np.random.default_rng(0).integers(0, 256, (1, side, channels)).repeat(side, axis=0)
    content = png_16(values * 257, colour)
    del values
    tracemalloc.start()
    try:
        open_image({"bytes": content, "path": None, "range": PixelRange(0, 65535)})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 7 * side * side * channels  # bytes; it was 28, beside Pillow's own


def test_floats_from_0_to_1_span_all_greys() -> None:
    values = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    result = np.asarray(to_8_bits(values, PixelRange(0, 1)))
    assert result.ravel().tolist() == list(range(256))
