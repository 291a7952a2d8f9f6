"""Copies of a picture show the same, however changed; pictures that are alike do not."""

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from helpers.small_data import build_data, encode
from toolkit_common.audit import duplicates
from toolkit_common.audit.alike import (
    SIDE,
    coarse_likeness,
    likeness,
    read_greys,
    reduce_grey,
    squash,
    views_of,
)
from toolkit_common.audit.duplicates import find_duplicates, hash_images, propose_pairs
from toolkit_common.images.open import open_image
from toolkit_common.sources.load import load_data

CHANGES = {
    "re-encoded": lambda image: image,
    "half": lambda image: image.resize((image.width // 2, image.height // 2)),
    "cropped": lambda image: image.crop((3, 7, image.width - 6, image.height - 2)),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "less contrast": lambda image: ImageEnhance.Contrast(image).enhance(0.7),
}


def grey(image: Image.Image) -> np.ndarray:
    return squash(reduce_grey(image), SIDE)


def blob(radius: float, *, seed: int) -> Image.Image:
    """A dark spot on plain skin with grain of its own."""
    y, x = np.mgrid[:96, :96].astype(float)
    # Off the middle and a little long, as a picture of four equal quarters has no cosines to hash.
    edge = 1 / (1 + np.exp((np.hypot(y - 40, (x - 56) / 1.4) - radius) / 2))
    grain = np.random.default_rng(seed).normal(0, 6, (96, 96))
    values = (190 - 110 * edge + grain).clip(0, 255).astype(np.uint8)
    return Image.fromarray(values).convert("RGB")


@pytest.fixture(scope="module")
def photographs() -> list[Image.Image]:
    data = load_data("lesions")
    return [open_image(data.images[row]["image"]) for row in range(0, 60, 5)]


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_of_a_photograph_shows_the_same(photographs, change) -> None:
    for image in photographs:
        copy = open_image({"bytes": encode(CHANGES[change](image), "JPEG", quality=70), "path": ""})
        like = likeness(grey(image), grey(copy))
        assert like.is_same, like
        assert not like.turned


@pytest.mark.slow
def test_a_turned_copy_shows_the_same_and_says_so(photographs) -> None:
    for turn in Image.Transpose:
        copy = photographs[0].transpose(turn)
        assert likeness(grey(photographs[0]), grey(copy), turned=True).turned
        assert likeness(grey(photographs[0]), grey(copy), turned=True).is_same


def test_dark_spots_on_plain_skin_are_proposed_and_not_confirmed() -> None:
    images = [blob(16, seed=0), blob(16.5, seed=1), blob(15.5, seed=2)]
    data = build_data(list("aba"), images=[encode(image) for image in images])
    hashes = hash_images(data)
    assert len(propose_pairs(hashes)) == 3
    like = likeness(grey(images[0]), grey(images[1]))
    assert like.whole > 0.93
    assert like.detail < 0.6
    duplicates = find_duplicates(hashes, lambda rows: read_greys(data, rows))
    assert (duplicates.pairs, duplicates.proposed, duplicates.not_compared) == ([], 3, 0)


def test_pictures_that_lie_as_they_should_have_the_correlation_of_their_pixels() -> None:
    rng = np.random.default_rng(0)
    first = rng.integers(0, 256, (SIDE, SIDE)).astype(np.uint8)
    second = (0.5 * first + 20 + rng.normal(0, 4, first.shape)).astype(np.uint8)
    expected = np.corrcoef(first.ravel(), second.ravel())[0, 1]
    assert likeness(first, second).whole == pytest.approx(expected, abs=1e-9)


def test_small_pictures_correlate_in_their_likest_view() -> None:
    first = np.random.default_rng(0).integers(0, 256, (2, 16, 16)).astype(np.uint8)
    second = np.stack([first[0].T[::-1], first[0]])
    plain = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(first, second, strict=True)]
    assert coarse_likeness(first, second, turned=False) == pytest.approx(plain)
    best = max(np.corrcoef(first[1].ravel(), view.ravel())[0, 1] for view in views_of(first[0]))
    assert coarse_likeness(first, second, turned=True) == pytest.approx([1.0, best])


def test_flat_pictures_are_like_nothing() -> None:
    flat = np.full((SIDE, SIDE), 7, np.uint8)
    assert not likeness(flat, flat).is_same
    assert not likeness(flat, grey(blob(16, seed=0))).is_same


def test_pairs_beyond_those_that_time_allows_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "MOST_COMPARED", 1)
    image = blob(16, seed=0)
    contents = [encode(image), *(encode(image, "JPEG", quality=quality) for quality in (90, 60))]
    data = build_data(list("aba"), images=contents)
    result = find_duplicates(hash_images(data), lambda rows: read_greys(data, rows))
    assert len(result.pairs) == 1
    assert result.not_compared == result.proposed - 1 > 0
