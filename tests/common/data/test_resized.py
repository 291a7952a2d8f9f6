"""Large images are shrunk once; small ones, and everything else, stay as they are."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.small_data import build_data, encode, noise
from toolkit_common.data import resized
from toolkit_common.data.resized import as_read, resize_images, shorter_side
from toolkit_common.images.open import open_image
from toolkit_common.images.transforms import Preprocess, build_eval_transform
from toolkit_common.images.wide import PixelRange


def pictures(tmp_path: Path):
    sizes = {"wide": (80, 40), "tall": (30, 64), "small": (20, 16)}
    paths = []
    for seed, (name, size) in enumerate(sizes.items()):
        paths.append(str(tmp_path / f"{name}.png"))
        noise(size, seed=seed).save(paths[-1])
    in_memory = encode(noise((50, 50), seed=9))
    return build_data(list("abab"), images=[*paths, in_memory], age=[1.0, 2.0, 3.0, 4.0])


def images_of(data):
    return [open_image(row["image"]) for row in data.images]


def test_the_shorter_side_is_at_most_the_size(tmp_path):
    data = pictures(tmp_path)
    small = resize_images(data, np.arange(4), how=shorter_side(20))
    assert [image.size for image in images_of(small)] == [(40, 20), (20, 43), (20, 16), (20, 20)]
    assert small.images[2]["image"] == data.images[2]["image"]
    assert small.table.equals(data.table[small.table.columns])
    assert small.labels("label").targets.tolist() == data.labels("label").targets.tolist()


def test_rows_that_are_not_requested_keep_their_images(tmp_path):
    data = pictures(tmp_path)
    small = resize_images(data, np.array([1]), how=shorter_side(20))
    assert [image.size for image in images_of(small)] == [(80, 40), (20, 43), (20, 16), (50, 50)]


def test_images_of_a_range_are_scaled_once(tmp_path):
    content = encode(Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) // 4))
    data = build_data(list("ab"), images=[content, encode(noise((50, 50)))])
    data = replace(data, pixel_range=PixelRange(0, 16, is_given=True, of_8_bits=True))
    small = resize_images(data, np.arange(2), how=shorter_side(20))
    first, second = (np.asarray(image) for image in images_of(small))
    assert np.array_equal(first, np.asarray(images_of(data)[0]))
    expected = images_of(data)[1].resize((20, 20), Image.Resampling.BICUBIC)
    assert np.array_equal(second, np.asarray(expected))


def test_pixels_are_those_of_the_shrunk_image(tmp_path):
    data = pictures(tmp_path)
    small = resize_images(data, np.arange(4), how=shorter_side(20))
    expected = images_of(data)[0].resize((40, 20), Image.Resampling.BICUBIC)
    assert np.array_equal(np.asarray(images_of(small)[0]), np.asarray(expected))


@pytest.mark.parametrize(
    "preprocess",
    [
        Preprocess(image_size=(14, 14)),
        Preprocess(image_size=(14, 14), crop_pct=0.9, interpolation="bilinear"),
        Preprocess(image_size=(12, 18), crop_pct=1.0),
        Preprocess(image_size=(12, 18), resize="squash"),
    ],
)
def test_an_encoder_sees_the_same_pixels_of_what_is_kept_as_it_reads_it(tmp_path, preprocess):
    data = pictures(tmp_path)
    small = resize_images(data, np.arange(4), how=as_read(preprocess))
    transform = build_eval_transform(preprocess)
    for before, after in zip(images_of(data), images_of(small), strict=True):
        assert torch.equal(transform(before), transform(after))
    assert images_of(small)[1].size < images_of(data)[1].size
    assert small.image_keys == data.image_keys  # so that features are found again
    assert small.fingerprint() == data.fingerprint()


def test_images_cut_for_crops_have_keys_of_their_own(tmp_path):
    data = pictures(tmp_path)
    small = resize_images(data, np.arange(4), how=shorter_side(20))
    assert [a == b for a, b in zip(small.image_keys, data.image_keys, strict=True)] == [
        False, False, True, False
    ]  # fmt: skip


def test_an_image_too_long_for_the_format_is_kept_without_loss_too(tmp_path, monkeypatch):
    monkeypatch.setattr(resized, "LONGEST_WEBP", 30)
    data = pictures(tmp_path)
    small = resize_images(data, np.arange(4), how=shorter_side(20))
    expected = images_of(data)[0].resize((40, 20), Image.Resampling.BICUBIC)
    assert np.array_equal(np.asarray(images_of(small)[0]), np.asarray(expected))


def test_a_second_call_reads_what_the_first_wrote(tmp_path, monkeypatch):
    data = pictures(tmp_path)
    first = resize_images(data, np.arange(4), how=shorter_side(20))
    [file] = (tmp_path / "cache/images").glob("*.hdf5")

    def fail(*_):
        pytest.fail("written again")

    monkeypatch.setattr(resized, "_write", fail)
    second = resize_images(data, np.arange(4), how=shorter_side(20))
    assert second.images[0]["image"] == first.images[0]["image"]
    assert first.images[0]["image"]["path"] == f"{file}#images/0"


def test_another_image_or_size_is_another_file(tmp_path):
    data = pictures(tmp_path)
    resize_images(data, np.arange(4), how=shorter_side(20))
    resize_images(data, np.arange(4), how=shorter_side(24))
    noise((80, 40), seed=77).save(tmp_path / "wide.png")
    resize_images(pictures(tmp_path / "."), np.arange(4), how=shorter_side(20))
    assert len(list((tmp_path / "cache/images").glob("*.hdf5"))) == 3


def test_a_file_that_was_cut_short_never_appears(tmp_path, monkeypatch):
    data = pictures(tmp_path)

    def fail(place, how, with_all):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(resized, "_shrunk", fail)
        with pytest.raises(KeyboardInterrupt):
            resize_images(data, np.arange(4), how=shorter_side(20))
    assert list((tmp_path / "cache/images").iterdir()) == []
    resize_images(data, np.arange(4), how=shorter_side(20))
