"""Any image file comes out as upright 8-bit RGB, and any other file is named with the reason."""

import os
import struct
import zlib
from collections.abc import Callable
from contextlib import chdir, suppress
from pathlib import Path
from socket import AF_UNIX, socket
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from helpers.properties import few_examples
from helpers.small_data import encode, noise
from toolkit_common.images.content import UNREADABLE, content_hash
from toolkit_common.images.open import (
    BadImageError,
    holds_more_than_8_bits,
    name_of,
    open_image,
    parse_torchvision,
    torchvision_path,
)
from toolkit_common.images.walk import is_image, known_formats
from toolkit_common.images.wide import PixelRange

FULL, TWELVE = PixelRange(0, 65535), PixelRange(0, 4095, is_given=True)


def open_bytes(content: bytes, pixels: PixelRange | None = None) -> np.ndarray:
    image = open_image({"bytes": content, "path": None, "range": pixels})
    assert image.mode == "RGB"
    return np.asarray(image)


def open_path(path: Path | str) -> np.ndarray:
    return np.asarray(open_image({"bytes": None, "path": str(path)}))


def grey(values: Any, mode: str) -> Image.Image:
    return Image.fromarray(np.asarray(values, dtype={"L": "u1", "I;16": "u2", "I": "i4"}[mode]))


# Modes


@pytest.mark.parametrize("size", [(12, 10), (1, 1), (1, 40), (7, 1)])
def test_rgb_of_any_size_is_unchanged(size: tuple[int, int]) -> None:
    image = noise(size)
    assert np.array_equal(open_bytes(encode(image)), np.asarray(image))


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (grey([[0, 255, 7]], "L"), [0, 255, 7]),
        (Image.fromarray(np.array([[True, False, True]])), [255, 0, 255]),
    ],
)
def test_grey_images_become_rgb_of_eight_bits(image: Image.Image, expected: list[int]) -> None:
    result = open_bytes(encode(image, "TIFF"))[0]
    assert result.tolist() == [[value] * 3 for value in expected]


@pytest.mark.parametrize("mode", ["I;16", "I"])
@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (FULL, [0, 1, 16, 255]),
        (TWELVE, [0, 16, 255, 255]),
        (PixelRange(4095, 65535, is_given=True), [0, 0, 0, 255]),
    ],
)
def test_grey_of_more_bits_is_scaled_by_the_range(
    mode: str, pixels: PixelRange, expected: list[int]
) -> None:
    image = grey([[0, 257, 4095, 65535]], mode)
    result = open_bytes(encode(image, "TIFF"), pixels)[0]
    assert result.tolist() == [[value] * 3 for value in expected]


def test_the_range_of_eight_bits_is_of_images_of_eight_bits() -> None:
    image = grey([[0, 8, 16, 20]], "L")
    pixels = PixelRange(0, 16, is_given=True, of_8_bits=True)
    assert open_bytes(encode(image), pixels)[0, :, 0].tolist() == [0, 128, 255, 255]
    wider = PixelRange(0, 16, is_given=True)
    assert open_bytes(encode(image), wider)[0, :, 0].tolist() == [0, 8, 16, 20]


@pytest.mark.parametrize("pixels", [None, PixelRange(0, 16, is_given=True, of_8_bits=True)])
def test_more_bits_without_a_range_are_refused(pixels: PixelRange | None) -> None:
    with pytest.raises(BadImageError, match=r"holds more than 8 bits \(I;16\).*[?]range=LOW,HIGH"):
        open_bytes(encode(grey([[0, 300]], "I;16")), pixels)


def test_a_16_bit_png_is_scaled_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    result = open_bytes(encode(Image.fromarray(ramp)), FULL)[..., 0]
    assert np.array_equal(result, np.round(ramp / 257.0).astype(np.uint8))


def test_a_wide_image_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encode(grey([[0, 65535]], "I;16"), "PNG", exif=exif)
    assert open_bytes(content, FULL)[..., 0].tolist() == [[0], [255]]


def test_a_cmyk_jpeg_keeps_its_colours() -> None:
    red = Image.new("RGB", (16, 16), (200, 30, 40)).convert("CMYK")
    result = open_bytes(encode(red, "JPEG", quality=100))
    assert np.abs(result.astype(int) - np.asarray(red.convert("RGB"))).max() <= 4


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_transparent_lies_over_white(mode: str) -> None:
    image = Image.new("RGBA", (3, 1), (0, 0, 0, 255)).convert(mode)
    alpha = Image.new("L", (3, 1))
    alpha.putdata([0, 255, 128])
    image.putalpha(alpha)
    result = open_bytes(encode(image))[0, :, 0]
    assert result.tolist()[:2] == [255, 0]
    assert abs(int(result[2]) - 127) <= 1


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_transparent_colour_of_a_palette_lies_over_white(kind: str) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([0, 1])
    result = open_bytes(encode(image, kind, transparency=0))[0]
    assert result.tolist() == [[255, 255, 255], [200, 100, 50]]


def test_a_transparent_colour_of_rgb_lies_over_white() -> None:
    image = Image.new("RGB", (2, 1), (1, 2, 3))
    image.putpixel((1, 0), (9, 9, 9))
    result = open_bytes(encode(image, transparency=(1, 2, 3)))[0]
    assert result.tolist() == [[255, 255, 255], [9, 9, 9]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_upright(orientation: int) -> None:
    """Taken from how PIL turns a stored image: undoing it must give the upright one."""
    turns = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Image.Transpose that makes the stored one
    upright = Image.new("RGB", (16, 8), (255, 255, 255))
    upright.paste((0, 0, 0), (0, 0, 8, 4))
    stored = upright.transpose(turns[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    result = open_bytes(encode(stored, "PNG", exif=exif))
    assert np.array_equal(result, np.asarray(upright))


def test_the_first_frame_of_an_animation_is_taken() -> None:
    frames = [Image.new("RGB", (4, 4), (value, 0, 0)) for value in (200, 10)]
    content = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert open_bytes(content)[0, 0].tolist() == [200, 0, 0]


# Places


def test_a_file_is_opened_by_its_path(tmp_path: Path) -> None:
    noise().save(tmp_path / "a b #1.png")
    assert np.array_equal(open_path(tmp_path / "a b #1.png"), np.asarray(noise()))


@pytest.mark.parametrize("kind", ["array", "void"])
def test_an_entry_of_an_hdf5_file_is_opened(kind: str, tmp_path: Path) -> None:
    content = encode(noise(), "PNG")
    with h5py.File(tmp_path / "images.hdf5", "w") as file:
        value = np.frombuffer(content, np.uint8) if kind == "array" else np.void(content)
        file.create_dataset("ISIC_1", data=value)
    assert np.array_equal(open_path(f"{tmp_path}/images.hdf5#ISIC_1"), np.asarray(noise()))


@pytest.mark.parametrize("folder", ["x#1", "b.hdf5#2", "b.hdf5#2/x#1"])
def test_folders_may_hold_what_parts_file_and_entry(folder: str, tmp_path: Path) -> None:
    path = tmp_path / folder / "images.hdf5"
    path.parent.mkdir(parents=True)
    with h5py.File(path, "w") as file:
        file["group/1"] = np.void(encode(noise()))
    noise().save(path.with_name("1.png"))
    for place in (f"{path}#group/1", str(path.with_name("1.png"))):
        assert np.array_equal(open_path(place), np.asarray(noise()))
    with pytest.raises(BadImageError, match=r"2\.png: no such file"):
        open_path(str(path.with_name("2.png")))


def test_a_missing_entry_of_an_hdf5_file_is_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "images.hdf5", "w") as file:
        file.create_dataset("a", data=np.zeros(3, np.uint8))
    with pytest.raises(BadImageError, match=r"images\.hdf5#b: it has no such entry"):
        open_path(f"{tmp_path}/images.hdf5#b")
    with pytest.raises(BadImageError, match=r"images\.hdf5#a: not an image"):
        open_path(f"{tmp_path}/images.hdf5#a")
    with pytest.raises(BadImageError, match=r"absent\.hdf5#a: no such file or folder"):
        open_path(f"{tmp_path}/absent.hdf5#a")


@given(st.text(min_size=1, max_size=20), st.integers(0, 10**6))
@few_examples
def test_a_torchvision_path_keeps_its_parts(root: str, index: int) -> None:
    at = parse_torchvision(f"{torchvision_path('CIFAR10', root, 'test')}#{index}")
    assert (at.name, at.root, at.split, at.index) == ("CIFAR10", root, "test", index)


# Damage


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"hello", "not an image"),
        (encode(noise((64, 64)), "JPEG")[:-300], "truncated"),
        (encode(noise((64, 64)), "PNG")[:-300], "truncated"),
        (encode(noise())[:20], "Truncated File Read"),
    ],
)
def test_a_bad_file_is_named_with_the_reason(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(content)
    with pytest.raises(BadImageError, match=f"{path}: .*({reason})"):
        open_path(path)


@pytest.mark.parametrize(("name", "reason"), [("absent.jpg", "no such file"), (".", "a folder")])
def test_a_path_that_is_no_file_is_named(name: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(BadImageError, match=f"{tmp_path}.*: .*{reason}"):
        open_path(tmp_path / name)


def make_socket(path: Path) -> None:
    with socket(AF_UNIX) as it, chdir(path.parent):  # such a path may have 107 characters
        it.bind(path.name)


@pytest.mark.parametrize(
    "make", [os.mkfifo, make_socket, lambda path: path.symlink_to("/dev/zero")]
)
def test_what_would_be_read_for_ever_is_a_bad_file(
    make: Callable[[Path], object], tmp_path: Path
) -> None:
    path = tmp_path / "x.jpg"
    make(path)
    for read in (open_image, holds_more_than_8_bits):
        with pytest.raises(BadImageError, match=f"{path}: a pipe, socket or device$"):
            read({"bytes": None, "path": str(path)})
    assert content_hash({"bytes": None, "path": str(path)}) == UNREADABLE
    assert not is_image(path.rename(tmp_path / "x"))


@pytest.mark.parametrize("content", [b"", b"text"])
def test_bad_bytes_in_memory_are_named_as_such(content: bytes) -> None:
    with pytest.raises(BadImageError, match="an image in memory: not an image"):
        open_bytes(content)
    assert name_of({"bytes": content, "path": "row-7.png"}) == "row-7.png"


EXIF = Image.Exif()
EXIF[0x0112], EXIF[0x010E] = 6, "made by a test"
FILES = [encode(noise(), kind, exif=EXIF) for kind in ("JPEG", "PNG", "WEBP")] + [
    encode(noise(), kind) for kind in ("GIF", "BMP", "PPM")
]


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")
@given(
    st.sampled_from(FILES),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=4),
)
@few_examples
def test_changed_bytes_give_an_image_or_one_kind_of_error(
    content: bytes, changes: list[tuple[int, int]]
) -> None:
    damaged = bytearray(content)
    for place, value in changes:
        damaged[place % len(damaged)] = value
    with suppress(BadImageError):
        open_bytes(bytes(damaged))


def turned_photo() -> bytes:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "made by a test"
    return encode(Image.new("RGB", (16, 8)), "JPEG", exif=exif)


def test_strange_exif_data_beside_the_orientation_do_no_harm() -> None:
    """Text where a number belongs (in XResolution) stops PIL's own `exif_transpose`."""
    strange = turned_photo().replace(b"\x01\x0e\x00\x02", b"\x01\x1a\x00\x02")
    assert strange != turned_photo()
    assert open_bytes(strange).shape == (16, 8, 3)


def test_damaged_exif_data_do_no_harm() -> None:
    damaged = turned_photo().replace(b"Exif\x00\x00MM\x00*", b"Exif\x00\x00XX\x00*")
    assert damaged != turned_photo()
    assert open_bytes(damaged).shape == (8, 16, 3)


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(touched) (w) file closefile\n%%EOF\n"


@pytest.mark.parametrize("name", ["a.eps", "a.png"])
def test_what_would_start_another_program_is_no_image(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[object] = []
    monkeypatch.setattr("subprocess.Popen.__init__", lambda self, *a, **k: started.append(a))
    (tmp_path / name).write_bytes(EPS)
    for content in (None, EPS):
        with pytest.raises(BadImageError, match=f"{name}: not an image"):
            open_image({"bytes": content, "path": str(tmp_path / name)})
    assert started == []


def test_formats_that_run_instructions_are_not_decoded() -> None:
    assert {"PNG", "JPEG", "TIFF"} <= set(known_formats()) <= set(Image.OPEN)
    assert not {"EPS", "WMF", "PSD", "FPX", "PDF", "ICNS"} & set(known_formats())


@pytest.mark.parametrize("size", [(20_000, 10_000), (60_000, 60_000)])
def test_an_image_of_too_many_pixels_is_refused_by_its_head(size: tuple[int, int]) -> None:
    head = struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", len(head)) + b"IHDR" + head
    content = b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", zlib.crc32(b"IHDR" + head))
    content += struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    with pytest.raises(BadImageError, match=r"more than 178,956,970.*: make it smaller"):
        open_image({"bytes": content, "path": "a.png"})
