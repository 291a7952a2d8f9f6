"""`--cache-images`: the pictures an encoder reads, shrunk once where they are much larger.

Where whole images are read, what the encoder itself resizes them to is kept, without loss: tokens
stay the same to the bit, and no store is computed again. Random crops need more of an image than
that; what is read whole of the smaller images then has other tokens, by how much is measured.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from toolkit_common.backbones.contract import Backbone
from toolkit_common.console import console
from toolkit_common.data.dataset import ImageData
from toolkit_common.data.resized import Resizing, as_read, resize_images, shorter_side
from toolkit_common.errors import InputError
from toolkit_common.images.open import open_image
from toolkit_common.images.transforms import build_eval_transform
from toolkit_probing.settings import FeatureSettings, ProbeSettings
from toolkit_probing.task.task import Task

LOOKED_AT = 16  # images whose change is measured


@dataclass(frozen=True)
class Shrunk:
    """A task as its images are read.

    Attributes:
        task: With shrunk images, or its own.
        kept: `exact`, or pixels of their shorter side; None where nothing was shrunk.
        token_change: By how much patch tokens change, of their norm; None as `kept`.
    """

    task: Task
    kept: int | str | None = None
    token_change: float | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """What results hold."""
        return {"cache_images": self.kept, "token_change": self.token_change}


def refuse_bad_cache(settings: FeatureSettings, task: Task, backbone: Backbone) -> None:
    """Refuse a cache that cannot be or does harm.

    Raises:
        InputError: If its images would be enlarged again, are too small to cut random crops out
            of, or come from a stream.
    """
    # What images are resized to, not what is cut out of that.
    size, needed = settings.cache_images, max(backbone.info.preprocess.resized)
    if size is None:
        return
    if task.data.is_streamed:
        raise InputError(
            f"--cache-images {size} reads images in any order, and {task.data.id!r} is a stream: "
            "leave one of them out"
        )
    if size == "exact" and _cuts_crops(settings):
        raise InputError(
            "--cache-images exact keeps what the encoder reads of a whole image, and --augment "
            f"crops needs more: give the pixels of the shorter side, {2 * needed} or more"
        )
    if size != "exact" and size < needed:
        raise InputError(
            f"--cache-images {size} is below the {needed} pixels that {backbone.info.name} resizes "
            "images to: they would be enlarged again; --cache-images exact keeps those"
        )


def shrink_images(
    settings: FeatureSettings, task: Task, backbone: Backbone, *, accelerator: Accelerator
) -> Shrunk:
    """Shrink the task's images once, where `--cache-images` is set, and print what that changes."""
    size = settings.cache_images
    if size is None:
        return Shrunk(task)
    crops = _cuts_crops(settings)
    preprocess = backbone.info.preprocess
    # A number is more than is read without crops: the exact size is kept, whatever it is.
    how = shorter_side(int(size)) if crops else as_read(preprocess)
    # One process writes the file, the others find it.
    with accelerator.main_process_first():
        small = resize_images(task.data, task.rows, how=how)
    change = token_change(task.data, small, task.rows, backbone=backbone, accelerator=accelerator)
    console.print(_describe(how, change, backbone))
    return Shrunk(replace(task, data=small), int(size) if crops else "exact", change)


def token_change(
    before: ImageData,
    after: ImageData,
    rows: np.ndarray,
    *,
    backbone: Backbone,
    accelerator: Accelerator,
) -> float:
    """Return by how much patch tokens change, as a share of their norm, on some whole images.

    Args:
        before: The data set with its own images.
        after: The same with others.
        rows: A few spread over these rows are looked at.
        backbone: Its deepest layer is looked at.
        accelerator: Where it runs.
    """
    # Evenly spread: the same ones each time, without a draw.
    few = rows[np.linspace(0, len(rows) - 1, min(len(rows), LOOKED_AT)).astype(int)].tolist()
    preprocess = backbone.info.preprocess
    transform = build_eval_transform(preprocess)
    first, second = (
        torch.stack([transform(open_image(data.images[row]["image"])) for row in few])
        for data in (before, after)
    )
    if torch.equal(first, second):  # what is read is the same, and so is what is made of it
        return 0.0
    backbone.to(accelerator.device)
    with torch.inference_mode():
        one, other = (
            backbone.forward_layers(preprocess.normalize(images.to(accelerator.device)))[-1].patches
            for images in (first, second)
        )
    return float(((other - one).norm(dim=-1) / one.norm(dim=-1)).mean())


def _cuts_crops(settings: FeatureSettings) -> bool:
    return isinstance(settings, ProbeSettings) and settings.augment == "crops"


def _describe(how: Resizing, change: float, backbone: Backbone) -> str:
    if how.is_exact:
        height, width = backbone.info.preprocess.resized
        sides = f"{height} pixels" if height == width else f"{height} x {width} pixels"
        return (
            f"images: kept once, without loss, as the encoder resizes them ({sides}): its tokens "
            "are those of the files"
        )
    return (
        f"images: shrunk once to {how.name} pixels on the shorter side, without loss; random crops "
        "are cut out of the smaller images, and whole ones are resized again when read: their "
        f"patch tokens change by {change:.1%} of their norm"
    )
