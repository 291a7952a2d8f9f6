"""Images to draw attention over: which, what the encoder sees of them and gives for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from toolkit_common.backbones.contract import Backbone
from toolkit_common.errors import InputError
from toolkit_common.features.contract import LayerFeatures, concatenate, features_of
from toolkit_common.images.open import BadImageError, Place, open_image
from toolkit_common.images.transforms import build_eval_transform
from toolkit_common.images.walk import find_files, is_image
from toolkit_common.images.wide import PixelRange
from toolkit_probing.attention.judged import JudgedImages

BATCH = 16


@dataclass(frozen=True)
class Picture:
    """An image to draw.

    Attributes:
        place: Where it is.
        name: Of its file, or its id.
        truth: Its class, where that is known.
        at: Its number among the run's test images; None of others.
    """

    place: Place
    name: str
    truth: str | None = None
    at: int | None = None


def find_images(path: Path, pixels: PixelRange | None) -> list[Picture]:
    """Return the images at a path: the file, or all below the folder.

    Args:
        path: File or folder.
        pixels: The range of values of the images that the head was trained on.

    Raises:
        InputError: If there is none.
    """
    files = [path] if path.is_file() else list(filter(is_image, find_files(path)))
    if not files:
        raise InputError(f"no image at {path}: give a file or a folder with images")
    return [
        Picture({"bytes": None, "path": str(file), "range": pixels}, file.stem) for file in files
    ]


def images_of_test(judged: JudgedImages) -> list[Picture]:
    """Return the test images of a run, class by class."""
    task = judged.task
    ids, classes, targets = judged.ids, task.labels.classes, task.targets_of("test")
    return [
        Picture(judged.place(int(at)), ids[at], str(classes[targets[at]]), int(at))
        for at in np.argsort(targets, kind="stable")
    ]


def spread(items: Sequence[Picture], count: int | None) -> list[Picture]:
    """Return at most `count` of the items, evenly spaced; all without one."""
    return [items[at] for at in evenly(len(items), count)]


def evenly(total: int, count: int | None) -> np.ndarray:
    """Return at most `count` of `total` numbers, evenly spaced; all without one."""
    count = total if count is None else min(count, total)
    return np.linspace(0, total - 1, count).round().astype(int)


def see(backbone: Backbone, places: Sequence[Place]) -> UInt8[Tensor, "b 3 h w"]:
    """Return what the encoder sees of images: resized, its centre cut out.

    Raises:
        InputError: If an image does not decode.
    """
    transform = build_eval_transform(backbone.info.preprocess)
    try:
        return torch.stack([transform(open_image(place)) for place in places])
    except BadImageError as error:
        raise InputError(f"cannot draw: {error}") from None


def to_photos(images: UInt8[Tensor, "b 3 h w"]) -> list[Image.Image]:
    """Return images as Pillow has them."""
    return [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images]


def encode(backbone: Backbone, images: UInt8[Tensor, "b 3 h w"]) -> LayerFeatures:
    """Return what the encoder gives for images that it sees, at each of its layers."""
    info, parts = backbone.info, []
    for part in images.split(BATCH):
        layers = backbone.forward_layers(info.preprocess.normalize(part))
        kept = [features_of(tokens, info.facts, with_patches=True) for tokens in layers]
        parts.append(dict(zip(info.layers, kept, strict=True)))
    return concatenate(parts)
