"""Images that occur twice are found, exactly and nearly, without comparing all with all."""

from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features
from datasets import Image as ImageFeature
from hypothesis import given, settings
from hypothesis import strategies as st
from imagehash import phash
from PIL import Image, ImageEnhance

from helpers.small_data import build_data, encode, image_bytes
from toolkit_common import extras
from toolkit_common.audit.alike import read_greys
from toolkit_common.audit.duplicates import (
    MAX_TURNED,
    Pair,
    find_duplicates,
    find_near,
    hash_images,
    low_cosines,
    propose_pairs,
    turned_hashes,
)
from toolkit_common.data.dataset import ImageData
from toolkit_common.errors import InputError
from toolkit_common.sources.load import load_data


def smooth(seed: int) -> Image.Image:
    """A picture of a few random blobs: unlike noise it survives shrinking."""
    cells = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(cells).resize((96, 96), Image.Resampling.BICUBIC)


def duplicates_of(data: ImageData) -> list[Pair]:
    return find_duplicates(hash_images(data), partial(read_greys, data)).pairs


@given(
    st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=12, unique=True),
    st.lists(st.integers(0, 63), max_size=5, unique=True),
    st.integers(1, 5),
)
@settings(max_examples=60, deadline=None)
def test_near_hashes_are_those_of_comparing_all_with_all(
    values: list[int], flips: list[int], distance: int
) -> None:
    flipped = values[0] ^ sum(1 << bit for bit in flips)
    hashes = np.array(list(dict.fromkeys([*values, flipped])), np.uint64)
    expected = {
        (a, b)
        for a, b in combinations(range(len(hashes)), 2)
        if 0 < (int(hashes[a]) ^ int(hashes[b])).bit_count() <= distance
    }
    left, right = find_near(hashes, max_distance=distance)
    assert set(zip(left.tolist(), right.tolist(), strict=True)) == expected


def test_equal_pixels_are_exact_in_any_container_and_changed_ones_near() -> None:
    bright = ImageEnhance.Brightness(smooth(0)).enhance(1.05)
    images = [smooth(0), smooth(1), bright]
    contents = [encode(image) for image in images] + [encode(smooth(0), "BMP")]
    pairs = duplicates_of(build_data(["a", "b"] * 2, images=contents))
    kinds = {(pair.first, pair.second): pair.exact for pair in pairs}
    assert kinds == {(0, 3): True, (0, 2): False}


def test_many_equal_images_give_a_pair_each() -> None:
    contents = [encode(smooth(0))] * 5
    pairs = duplicates_of(build_data(["a"] * 5, images=contents))
    assert [(pair.first, pair.second) for pair in pairs] == [(0, row) for row in range(1, 5)]


def test_a_broken_image_is_named_and_has_no_duplicate() -> None:
    hashes = hash_images(build_data(["a", "b"], images=[b"no image", b"no image"]))
    assert set(hashes.problems) == {0, 1}
    assert "not an image" in hashes.problems[0]
    assert propose_pairs(hashes) == []


@pytest.mark.parametrize("turn", list(Image.Transpose))
def test_a_mirrored_or_turned_copy_is_detected_as_one(turn: Image.Transpose) -> None:
    images = [smooth(0), smooth(1), smooth(0).transpose(turn), smooth(2)]
    contents = [encode(image, "JPEG", quality=90) for image in images]
    (pair,) = duplicates_of(build_data(["a", "b"] * 2, images=contents))
    assert (pair.first, pair.second, pair.exact, pair.turned) == (0, 2, False, True)
    assert pair.distance <= MAX_TURNED
    assert pair.correlation > 0.98


def test_a_turned_hash_is_the_smallest_of_the_librarys_eight() -> None:
    picture = smooth(3).convert("L").resize((32, 32))
    views = [picture, *(picture.transpose(turn) for turn in Image.Transpose)]
    bits = [np.packbits(phash(view).hash.ravel()).tobytes() for view in views]
    cosines = np.stack([low_cosines(view) for view in views])
    assert set(turned_hashes(cosines)) == {min(int.from_bytes(item, "big") for item in bits)}


def test_what_is_near_as_it_stands_is_not_reported_as_turned() -> None:
    symmetric = smooth(0)
    symmetric.paste(symmetric.crop((0, 0, 48, 96)).transpose(Image.Transpose.FLIP_LEFT_RIGHT),
                    (48, 0))  # fmt: skip
    bright = ImageEnhance.Brightness(symmetric).enhance(1.05)
    contents = [encode(image) for image in (symmetric, bright, symmetric)]
    pairs = duplicates_of(build_data(["a", "b", "a"], images=contents))
    assert [(pair.exact, pair.turned) for pair in pairs] == [(True, False), (False, False)]


@pytest.mark.slow
def test_a_stream_hashes_as_the_file_does(tmp_path: Path) -> None:
    contents = [image_bytes(row) for row in range(300)]
    rows = Dataset.from_dict(
        {"image": [{"bytes": content, "path": None} for content in contents],
         "label": [row % 2 for row in range(300)]},
        features=Features(image=ImageFeature(decode=False), label=ClassLabel(names=["a", "b"])),
    )  # fmt: skip
    rows.to_parquet(tmp_path / "train.parquet")
    stream = hash_images(load_data(f"hf:{tmp_path}?streaming=1"))
    files = hash_images(build_data(["a", "b"] * 150, images=contents))
    assert stream.problems == {}
    assert stream.exact.tolist() == files.exact.tolist()


def test_hashing_needs_imagehash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "is_installed", lambda library: library != "imagehash")
    message = "near-duplicates needs imagehash, .*: pip install 'toolkit-common.audit.'$"
    with pytest.raises(InputError, match=message):
        hash_images(build_data(["a"], images=[image_bytes(0)]))
