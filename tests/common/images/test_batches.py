"""Images of every kind that people have become the batches that an encoder takes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.small_data import encode, noise
from toolkit_common.errors import InputError
from toolkit_common.images.batches import EncoderTransform, as_batches
from toolkit_common.images.transforms import Preprocess, build_eval_transform

SMALL = Preprocess((16, 16), mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
IMAGE = noise((40, 30))


def expected() -> torch.Tensor:
    return SMALL.normalize(build_eval_transform(SMALL)(IMAGE).unsqueeze(0))


def test_the_transform_gives_what_the_loaders_give_normalised() -> None:
    assert torch.equal(EncoderTransform(SMALL)(IMAGE), expected()[0])


@pytest.mark.parametrize("kind", ["pil", "list", "array", "path", "str", "floats", "bytes", "one"])
def test_one_image_is_the_same_however_it_is_given(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(encode(IMAGE))
    given = {
        "pil": IMAGE,
        "list": [IMAGE],
        "array": np.asarray(IMAGE),
        "path": path,
        "str": str(path),
        "floats": expected(),
        "bytes": build_eval_transform(SMALL)(IMAGE).unsqueeze(0),
        "one": EncoderTransform(SMALL)(IMAGE),
    }
    (batch,) = as_batches(given[kind], SMALL)
    assert torch.equal(batch, expected())


def test_many_come_in_batches_in_their_order() -> None:
    images = [noise((20, 20), seed=seed) for seed in range(5)]
    parts = list(as_batches(images, SMALL, size=2))
    assert [len(part) for part in parts] == [2, 2, 1]
    whole = torch.cat(parts)
    assert torch.equal(whole, torch.cat(list(as_batches(whole, SMALL, size=3))))
    assert torch.equal(whole[3], EncoderTransform(SMALL)(images[3]))


def test_modes_and_turns_are_seen_to_as_in_files(tmp_path: Path) -> None:
    grey, clear = IMAGE.convert("L"), Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    (first, white) = next(as_batches([grey, clear], SMALL))
    assert torch.equal(first, EncoderTransform(SMALL)(grey.convert("RGB")))
    assert torch.equal(white, EncoderTransform(SMALL)(Image.new("RGB", (20, 20), "white")))
    turned = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    IMAGE.save(turned, exif=exif, quality=95)
    with Image.open(turned) as image:
        assert torch.equal(EncoderTransform(SMALL)(image), EncoderTransform(SMALL)(turned))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "no image was given"),
        (torch.zeros(2, 3, 8, 8), r"\(b, 3, 16, 16\).* got \(2, 3, 8, 8\), torch.float32"),
        (torch.zeros(2, 3, 16, 16, dtype=torch.int64), "got .* torch.int64: give PIL images"),
        (torch.zeros(0, 3, 16, 16), r"got \(0, 3, 16, 16\)"),
        (np.zeros((1, 8, 8, 3)), r"got ndarray of \(8, 8, 3\), float64"),
        (["none.png"], "none.png: no such file"),
        ([Image.new("I;16", (8, 8))], "holds more than 8 bits"),
    ],
)
def test_what_is_no_image_is_named(images, message: str) -> None:
    with pytest.raises(InputError, match=message):
        list(as_batches(images, SMALL))
