"""From an image to the tensor that an encoder takes."""

import resource

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from helpers.properties import few_examples
from helpers.small_data import noise
from toolkit_common.errors import InputError
from toolkit_common.images.transforms import (
    IMAGENET_MEAN,
    LARGEST,
    LONGEST,
    SLACK,
    Preprocess,
    RandomCrop,
    build_eval_transform,
    build_resize,
    cut_ends,
)
from toolkit_common.torchvision_ops import prepare

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


def test_a_line_of_pixels_is_cut_to_its_middle_before_it_is_enlarged() -> None:
    line = np.zeros((1, 50_000, 3), np.uint8)
    line[:, 24_900:25_100] = 200
    image = Image.fromarray(line)
    assert cut_ends(image).size == (LONGEST, 1)
    assert cut_ends(image.transpose(Image.Transpose.ROTATE_90)).size == (1, LONGEST)
    assert build_eval_transform(Preprocess())(image).unique().tolist() == [200]


def test_images_of_common_shapes_are_not_cut() -> None:
    image = noise(((LONGEST + SLACK) * 3, 3))
    assert cut_ends(image) is image


@pytest.mark.parametrize("size", [(401, 10), (57, 3), (3, 200), (1, 19)])
def test_what_was_cut_and_resized_is_not_cut_again(size: tuple[int, int]) -> None:
    for preprocess in (Preprocess((24, 24)), Preprocess((24, 40))):
        resize = build_resize(preprocess)
        once = resize(noise(size))
        assert np.array_equal(np.asarray(resize(once)), np.asarray(once))


def test_cutting_the_ends_changes_nothing_in_the_middle() -> None:
    preprocess = Preprocess((24, 24), crop_pct=0.8)
    image = noise((400, 10))
    steps = [transforms.Resize(30, transforms.InterpolationMode.BICUBIC),
             transforms.CenterCrop(24), transforms.PILToTensor()]  # fmt: skip
    assert torch.equal(build_eval_transform(preprocess)(image), transforms.Compose(steps)(image))


@pytest.mark.slow
def test_the_more_pixels_are_made_of_an_image_the_less_of_its_length_is_kept() -> None:
    preprocess = Preprocess((24, 24), crop_pct=24 / 4096)
    image = noise((180, 10))
    resized = build_resize(preprocess)(image)
    assert resized.size == (4 * 4096, 4096)  # it was 18 times as long
    assert build_resize(preprocess)(resized) is resized
    middle = build_eval_transform(preprocess)(image.crop((60, 0, 120, 10)))
    assert torch.equal(build_eval_transform(preprocess)(image), middle)
    assert build_resize(Preprocess((24, 24), crop_pct=24 / 512))(image).size == (18 * 512, 512)


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
def test_a_description_names_sizes_and_values(
    preprocess: Preprocess, parts: tuple[str, ...]
) -> None:
    assert all(part in preprocess.describe() for part in parts)
    assert preprocess.mean == IMAGENET_MEAN


@pytest.mark.parametrize("size", [(224, 224), (1, 32)])
@pytest.mark.parametrize("crop_pct", [5e-324, 1e-300, 1e-6, 32 / (LARGEST + 1)])
def test_images_are_not_resized_without_bounds_before_the_crop(
    size: tuple[int, int], crop_pct: float
) -> None:
    for resize in ("shortest", "squash"):
        with pytest.raises(
            InputError,
            match=rf"1 to 8192 pixels .* crop_pct {crop_pct} of .* \({size[0]}, {size[1]}\)",
        ):
            Preprocess(size, resize, crop_pct)  # type: ignore[arg-type]


def test_the_largest_and_the_smallest_size_before_the_crop_are_allowed() -> None:
    assert Preprocess((32, 8), crop_pct=32 / LARGEST).resized == (LARGEST, LARGEST // 4)
    assert Preprocess((4, 4), crop_pct=4.0).resized == (1, 1)
    with pytest.raises(
        InputError, match=r"1 to 8192 pixels .* crop_pct 4.0 of image_size \(3, 4\)"
    ):
        Preprocess((3, 4), crop_pct=4.0)


# Random crops


@given(width=st.integers(1, 60), height=st.integers(1, 60), seed=st.integers(0, 99))
@few_examples
def test_any_image_can_be_cropped_to_the_size(width: int, height: int, seed: int) -> None:
    crop = RandomCrop((8, 6))
    draws = torch.Generator().manual_seed(seed)
    out = crop(noise((width, height)), draws)
    assert out.shape == (3, 8, 6)
    assert torch.equal(out, crop(noise((width, height)), torch.Generator().manual_seed(seed)))


def test_crops_have_the_area_aspect_and_place_they_are_drawn_with() -> None:
    """A picture whose red tells the column and green the row shows what was cut out of it."""
    columns, rows = np.meshgrid(np.arange(200), np.arange(200))
    image = Image.fromarray(np.stack([columns, rows, 0 * rows], axis=2).astype(np.uint8))
    crop = RandomCrop((50, 50), "bilinear", area=0.2)
    areas, aspects, lefts, flips = [], [], [], []
    for seed in range(400):
        out = crop(image, torch.Generator().manual_seed(seed)).double()
        across, down = out[0, 25, -1] - out[0, 25, 0], out[1, -1, 25] - out[1, 0, 25]
        flips.append(bool(across < 0))
        width, height = (float(abs(value)) * 50 / 49 for value in (across, down))
        areas.append(width * height / 200**2)
        aspects.append(width / height)
        if width < 150:
            lefts.append(float(out[0, 25].min()) / (200 - width))
    assert 0.19 < min(areas) < 0.22
    assert max(areas) < 1.02
    assert min(aspects) > 0.72
    assert max(aspects) < 1.38
    assert abs(np.mean(np.log(aspects))) < 0.02
    assert abs(np.mean(lefts) - 0.5) < 0.06
    assert 0.4 < np.mean(flips) < 0.6


def test_a_crop_that_is_too_wide_is_cut_to_the_image() -> None:
    out = RandomCrop((4, 4), area=1.0)(Image.new("RGB", (100, 3), (9, 9, 9)), torch.Generator())
    assert (out == 9).all()


@pytest.mark.slow
@pytest.mark.parametrize("size", [(50_000, 1), (1, 50_000), (50_000, 3)])
@pytest.mark.parametrize(
    "preprocess",
    [Preprocess(), Preprocess(image_size=(224, 448)), Preprocess(resize="squash")],
)
def test_a_thin_image_takes_no_more_memory_than_any(
    size: tuple[int, int], preprocess: Preprocess
) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pixels = build_eval_transform(preprocess)(Image.new("RGB", size))
    assert pixels.shape == (3, *preprocess.image_size)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 64 << 10  # KiB; it was 6.3 GB
