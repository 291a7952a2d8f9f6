"""`--cache-images`: the pictures an encoder reads, shrunk once where they are much larger."""

from dataclasses import dataclass, replace
from typing import Any

from accelerate import Accelerator

from toolkit_common.backbones.contract import Backbone
from toolkit_common.console import console
from toolkit_common.data.resized import QUALITY, pixel_change, resize_images
from toolkit_common.errors import InputError
from toolkit_common.images.transforms import build_eval_transform
from toolkit_probing.settings import FeatureSettings, ProbeSettings
from toolkit_probing.task.task import Task


@dataclass(frozen=True)
class Shrunk:
    """A task as its images are read.

    Attributes:
        task: With shrunk images, or its own.
        size: Pixels of their shorter side; None where nothing was shrunk.
        pixel_change: Mean change of the encoder's input, of 255; None as `size`.
    """

    task: Task
    size: int | None = None
    pixel_change: float | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """What results hold."""
        return {"cache_images": self.size, "pixel_change": self.pixel_change}


def refuse_bad_cache(settings: FeatureSettings, task: Task, backbone: Backbone) -> None:
    """Refuse a cache that cannot be or does harm.

    Raises:
        InputError: If its images would be enlarged again, or come from a stream.
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
    if size < needed:
        raise InputError(
            f"--cache-images {size} is below the {needed} pixels that {backbone.info.id} resizes "
            "images to: they would be enlarged again"
        )


def shrink_images(
    settings: FeatureSettings, task: Task, backbone: Backbone, *, accelerator: Accelerator
) -> Shrunk:
    """Shrink the task's images once, where `--cache-images` is set, and print what that changes.

    Such images are resized twice, and cut into a JPEG in between: not the bits that the encoder
    would see without.
    """
    size = settings.cache_images
    if size is None:
        return Shrunk(task)
    # One process writes the file, the others find it.
    with accelerator.main_process_first():
        small = resize_images(task.data, task.rows, size=size)
    transform = build_eval_transform(backbone.info.preprocess)
    change = pixel_change(task.data, small, task.rows, transform=transform)
    crops = "; random crops are cut out of the smaller images"
    console.print(
        f"images: shrunk once to {size} pixels on the shorter side (JPEG {QUALITY}) and resized "
        f"again when read: the encoder's input changes by {change:.2g} of 255 on average"
        + (crops if isinstance(settings, ProbeSettings) and settings.augment == "crops" else "")
    )
    return Shrunk(replace(task, data=small), size, change)
