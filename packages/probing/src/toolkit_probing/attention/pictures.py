"""Images to draw attention over: which, what the encoder sees of them and gives for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from toolkit_common.backbones.contract import Backbone
from toolkit_common.errors import InputError
from toolkit_common.features.contract import Features, concatenate, features_of
from toolkit_common.images.open import BadImageError, Place, open_image
from toolkit_common.images.transforms import build_eval_transform
from toolkit_common.images.walk import find_files, is_image
from toolkit_common.images.wide import PixelRange
from toolkit_probing.task.task import Task

BATCH = 16


@dataclass(frozen=True)
class Picture:
    """An image to draw: where it is, and what to write below it."""

    place: Place
    caption: str


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


def images_of_test(task: Task) -> list[Picture]:
    """Return a task's own test images, class by class."""
    rows = task.splits.test[np.argsort(task.targets_of("test"), kind="stable")]
    classes, targets = task.labels.classes, task.labels.targets
    return [
        Picture(task.data.images[int(row)]["image"], str(classes[targets[row]])) for row in rows
    ]


def spread(items: Sequence[Picture], count: int) -> list[Picture]:
    """Return at most `count` of the items, evenly spaced."""
    at = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[index] for index in at]


def encode(
    backbone: Backbone, pictures: Sequence[Picture], *, layer: int
) -> tuple[list[Image.Image], Features]:
    """Return what the encoder sees of the images, and what it gives for them at a layer.

    Raises:
        InputError: If an image does not decode.
    """
    info = backbone.info
    transform = build_eval_transform(info.preprocess)
    try:
        images = torch.stack([transform(open_image(item.place)) for item in pictures])
    except BadImageError as error:
        raise InputError(f"cannot draw: {error}") from None
    parts = []
    for part in images.split(BATCH):
        tokens = backbone.forward_layers(info.preprocess.normalize(part))[info.layers.index(layer)]
        parts.append({layer: features_of(tokens, info.facts, with_patches=True)})
    photos = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images]
    return photos, concatenate(parts)[layer]
