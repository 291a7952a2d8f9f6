"""Large images are shrunk once; small ones, and everything else, stay as they are."""

from pathlib import Path

import numpy as np
import pytest

from helpers.small_data import build_data, encode, noise
from toolkit_common.data import resized
from toolkit_common.data.resized import pixel_change, resize_images
from toolkit_common.images.open import open_image
from toolkit_common.images.transforms import Preprocess, build_eval_transform


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
    small = resize_images(data, np.arange(4), size=20)
    assert [image.size for image in images_of(small)] == [(40, 20), (20, 43), (20, 16), (20, 20)]
    assert small.images[2]["image"] == data.images[2]["image"]
    assert small.table.equals(data.table[small.table.columns])
    assert small.labels("label").targets.tolist() == data.labels("label").targets.tolist()


def test_rows_that_are_not_requested_keep_their_images(tmp_path):
    data = pictures(tmp_path)
    small = resize_images(data, np.array([1]), size=20)
    assert [image.size for image in images_of(small)] == [(80, 40), (20, 43), (20, 16), (50, 50)]


def test_pixels_are_those_of_the_shrunk_image_but_for_jpeg(tmp_path):
    flat = noise((64, 64)).resize((8, 8)).resize((64, 64))
    data = build_data(list("ab"), images=[encode(flat)] * 2)
    result = np.asarray(images_of(resize_images(data, np.arange(2), size=32))[0], float)
    expected = np.asarray(flat.resize((32, 32)), float)
    assert np.abs(result - expected).mean() < 6


def test_a_second_call_reads_what_the_first_wrote(tmp_path, monkeypatch):
    data = pictures(tmp_path)
    first = resize_images(data, np.arange(4), size=20)
    [file] = (tmp_path / "cache/images").iterdir()

    def fail(*_):
        pytest.fail("written again")

    monkeypatch.setattr(resized, "_write", fail)
    second = resize_images(data, np.arange(4), size=20)
    assert second.images[0]["image"] == first.images[0]["image"]
    assert first.images[0]["image"]["path"] == f"{file}#images/0"


def test_another_image_or_size_is_another_file(tmp_path):
    data = pictures(tmp_path)
    resize_images(data, np.arange(4), size=20)
    resize_images(data, np.arange(4), size=24)
    noise((80, 40), seed=77).save(tmp_path / "wide.png")
    resize_images(pictures(tmp_path / "."), np.arange(4), size=20)
    assert len(list((tmp_path / "cache/images").iterdir())) == 3


def test_a_file_that_was_cut_short_never_appears(tmp_path, monkeypatch):
    data = pictures(tmp_path)

    def fail(place, size):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(resized, "_shrunk", fail)
        with pytest.raises(KeyboardInterrupt):
            resize_images(data, np.arange(4), size=20)
    assert list((tmp_path / "cache/images").iterdir()) == []
    resize_images(data, np.arange(4), size=20)


def test_the_change_of_the_input_is_a_mean_over_pixels_and_images(tmp_path, monkeypatch):
    monkeypatch.setattr(resized, "LOOKED_AT", 2)
    data = pictures(tmp_path)
    small = resize_images(data, np.arange(4), size=20)
    transform = build_eval_transform(Preprocess(image_size=(14, 14)))
    result = pixel_change(data, small, np.arange(4), transform=transform)
    changes = []
    for row in (0, 3):
        first, second = (
            transform(images_of(item)[row]).numpy().astype(float) for item in (data, small)
        )
        changes += [abs(a - b) for a, b in zip(first.ravel(), second.ravel(), strict=True)]
    assert result == pytest.approx(sum(changes) / len(changes), rel=1e-6)
    assert result > 0
    assert pixel_change(data, data, np.arange(4), transform=transform) == 0
