"""Crops: new ones each epoch, the same for one seed and epoch, whatever the batches."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from helpers.small_data import build_data, image_bytes
from helpers.tiny_encoders import write_open_clip
from toolkit_common.backbones.load import build_encoder, load_backbone, parse_backbone_id
from toolkit_common.features.contract import LayerFeatures
from toolkit_common.features.encode import VECTOR_BATCH, CropSource, Extraction, encode_images
from toolkit_common.features.extract import extract
from toolkit_common.images.open import open_image
from toolkit_common.images.transforms import Preprocess, RandomCrop, build_eval_transform
from toolkit_common.seed import generator

ROWS = np.array([5, 0, 3])


def crops(folder: Path, text: str = "timm:test_vit?image_size=32", **changes) -> CropSource:
    how = Extraction(folder, store="memory", batch_size=2, random_crops=True)
    data = build_data("ababab", images=[image_bytes(row) for row in range(6)])
    backbone = load_backbone(text, random_init=True)
    extracted = extract(
        backbone, data, ROWS, how=replace(how, **changes), accelerator=Accelerator(cpu=True)
    )
    assert extracted.crops is not None
    return extracted.crops


def read(source: CropSource, epoch: int, *batches: list[int]) -> list[LayerFeatures]:
    return list(source.iterate([np.array(batch) for batch in batches], epoch=epoch))


def test_features_are_those_of_the_cropped_images(tmp_path: Path) -> None:
    source = crops(tmp_path, seed=3)
    (result,) = read(source, 7, [0, 1, 2])
    encoder = source._encoder
    crop = RandomCrop((32, 32), encoder.backbone.info.preprocess.interpolation)
    images = [
        crop(open_image(encoder.data.images[int(row)]["image"]), generator(3, "crop", 7, int(row)))
        for row in ROWS
    ]
    expected = encoder.encode(torch.stack(images))
    torch.testing.assert_close(result[6].patches, expected[6].patches)
    torch.testing.assert_close(result[6].vectors["cls"], expected[6].vectors["cls"])


@pytest.mark.slow
def test_an_epoch_is_a_function_of_seed_and_number_not_of_the_batches(tmp_path: Path) -> None:
    source = crops(tmp_path)
    (whole,) = read(source, 1, [0, 1, 2])
    parts = read(crops(tmp_path), 1, [2], [0, 1])
    torch.testing.assert_close(parts[0][6].patches, whole[6].patches[2:])
    torch.testing.assert_close(parts[1][6].patches, whole[6].patches[:2])
    for other in (read(source, 2, [0, 1, 2]), read(crops(tmp_path, seed=1), 1, [0, 1, 2])):
        assert not torch.allclose(other[0][6].patches, whole[6].patches)


def test_features_of_crops_can_be_trained_on(tmp_path: Path) -> None:
    (result,) = read(crops(tmp_path), 0, [0, 1])
    weight = torch.zeros(64, requires_grad=True)
    (result[6].patches @ weight).sum().backward()
    assert weight.grad is not None


def test_open_clips_own_crops_are_nearly_the_whole_image(tmp_path: Path) -> None:
    source = crops(tmp_path / "a", write_open_clip(tmp_path / "clip", "vit"))
    crop = source._encoder.crop
    assert (crop.area, crop.flips) == (0.9, False)


def test_by_default_there_are_no_crops(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        crops(tmp_path, random_crops=False)


class Trained(nn.Module):
    """An encoder in training, which reads the class token."""

    def __init__(self) -> None:
        super().__init__()
        parsed = parse_backbone_id("timm:test_vit?image_size=32")
        self.image_encoder = build_encoder(parsed, random_init=True)[0].eval()

    @property
    def preprocess(self) -> Preprocess:
        return self.image_encoder.preprocess

    def encode_images(self, images: Tensor) -> Tensor:
        vectors: Tensor = self.image_encoder(images).prefix[:, 0]
        return vectors


def test_vectors_of_an_encoder_in_training_come_in_the_order_of_the_rows() -> None:
    count = VECTOR_BATCH + 3
    data = build_data(["a"] * count, images=[image_bytes(seed) for seed in range(count)])
    encoder, rows = Trained(), np.arange(count)[::-1].copy()
    vectors = encode_images(encoder, data, rows, device=torch.device("cpu"))
    preprocess = encoder.preprocess
    for place in (0, 1, count - 1):
        image = open_image(data.images[int(rows[place])]["image"])
        pixels = preprocess.normalize(build_eval_transform(preprocess)(image)[None])
        torch.testing.assert_close(vectors[place], encoder.encode_images(pixels)[0].detach())
    assert not vectors.requires_grad
    assert all(parameter.requires_grad for parameter in encoder.parameters())
