"""From an image to the tensor that an encoder takes."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from properties import few_examples
from small_data import noise
from toolkit_common.backbones.torchvision_ops import prepare
from toolkit_common.data.transforms import IMAGENET_MEAN, Preprocess, build_eval_transform

prepare()
from torchvision import transforms  # noqa: E402


@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from(["shortest", "squash"]),
       st.sampled_from([1.0, 0.95, 0.5]), st.sampled_from([(8, 8), (12, 6), (5, 9)]))  # fmt: skip
@few_examples
def test_any_image_gets_the_size_of_the_input(
    width: int, height: int, resize: str, crop_pct: float, size: tuple[int, int]
) -> None:
    preprocess = Preprocess(size, resize, crop_pct)  # type: ignore[arg-type]
    out = build_eval_transform(preprocess)(noise((width, height)))
    assert out.shape == (3, *size)
    assert out.dtype == torch.uint8


def test_the_values_are_those_of_torchvisions_chain() -> None:
    preprocess = Preprocess((24, 24), crop_pct=0.8, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    chain = transforms.Compose([
        transforms.Resize(30, transforms.InterpolationMode.BICUBIC),
        transforms.CenterCrop(24),
        transforms.ToTensor(),
        transforms.Normalize((0.1, 0.2, 0.3), (0.4, 0.5, 0.6)),
    ])  # fmt: skip
    image = noise((61, 47))
    ours = preprocess.normalize(build_eval_transform(preprocess)(image).unsqueeze(0))[0]
    torch.testing.assert_close(ours, chain(image), rtol=0, atol=1e-6)


def test_squashing_shows_the_whole_image_and_cropping_does_not() -> None:
    pixels = np.zeros((10, 100, 3), np.uint8)
    pixels[:, :20] = 255
    image = Image.fromarray(pixels)
    squashed = build_eval_transform(Preprocess((10, 10), "squash", 1.0))(image)
    cropped = build_eval_transform(Preprocess((10, 10), "shortest", 1.0))(image)
    assert squashed[0, 0, 0] == 255
    assert cropped.max() == 0


def test_normalising_is_exact_and_leaves_its_input_alone() -> None:
    images = torch.arange(0, 256, dtype=torch.uint8).view(1, 1, 16, 16).repeat(2, 3, 1, 1)
    before = images.clone()
    out = Preprocess(mean=(0.5, 0.25, 0.0), std=(0.5, 1.0, 2.0)).normalize(images)
    assert out.dtype == torch.float32
    assert out[0, 0, 0, 0] == -1.0
    assert out[0, 0, 15, 15] == 1.0
    torch.testing.assert_close(out[1, 1], images[1, 1] / 255.0 - 0.25)
    torch.testing.assert_close(out[1, 2], images[1, 2] / 510.0)
    assert torch.equal(images, before)


@pytest.mark.parametrize(
    ("preprocess", "parts"),
    [
        (Preprocess(), ("224 x 224 px", "shorter side to 256", "centre crop", "bicubic", "0.485")),
        (Preprocess((32, 48), "squash", 0.5, "bilinear"), ("squashed to 64 x 96", "bilinear")),
    ],
)
def test_a_description_tells_sizes_and_values(
    preprocess: Preprocess, parts: tuple[str, ...]
) -> None:
    assert all(part in preprocess.describe() for part in parts)
    assert preprocess.mean == IMAGENET_MEAN
