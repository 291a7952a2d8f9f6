"""Images as people have them in Python, as the batches that an encoder takes.

Shapes: b images, (h, w) the encoder's input.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from toolkit_common.errors import InputError
from toolkit_common.images.open import open_image, to_rgb
from toolkit_common.images.transforms import Preprocess, build_eval_transform

BATCH = 64

Picture = Image.Image | np.ndarray | str | Path  # an array: uint8 RGB (height, width, 3)
Pictures = Picture | Sequence[Picture] | Tensor


@dataclass(frozen=True)
class EncoderTransform:
    """From an image to what its encoder takes, as the transforms of timm and torchvision are used.

    An image is one of PIL in any mode and size, a file, or a uint8 array `(height, width, 3)`.

    Raises:
        InputError: If it is none of these, or does not decode.
    """

    preprocess: Preprocess

    def __call__(self, image: Picture) -> Float[Tensor, "3 h w"]:
        """Return the resized, cropped and normalised image."""
        pixels = build_eval_transform(self.preprocess)(_open(image))
        return self.preprocess.normalize(pixels.unsqueeze(0))[0]


def as_batches(images: Pictures, preprocess: Preprocess, *, size: int = BATCH) -> Iterator[Tensor]:
    """Yield normalised batches `(b, 3, h, w)` of one image, several, or a tensor of them.

    A tensor `(b, 3, h, w)` or `(3, h, w)` has the encoder's size: one of floats is taken as it is,
    as an `EncoderTransform` has made it; uint8 is normalised.

    Raises:
        InputError: If there is no image, one does not decode, or a tensor has another shape.
    """
    if isinstance(images, Tensor):
        for part in _checked(images, preprocess).split(size):
            yield part.float() if part.is_floating_point() else preprocess.normalize(part)
        return
    transform = EncoderTransform(preprocess)
    is_one = isinstance(images, str | Path | Image.Image)
    is_one = is_one or (isinstance(images, np.ndarray) and images.ndim == 3)
    several: Sequence[Any] = [images] if is_one else list(images)  # type: ignore[arg-type]
    if not several:
        raise InputError("no image was given")
    for at in range(0, len(several), size):
        yield torch.stack([transform(image) for image in several[at : at + size]])


def _checked(images: Tensor, preprocess: Preprocess) -> Tensor:
    images = images.unsqueeze(0) if images.ndim == 3 else images
    is_kind = images.is_floating_point() or images.dtype == torch.uint8
    if not is_kind or images.shape[1:] != (3, *preprocess.image_size) or not len(images):
        height, width = preprocess.image_size
        raise InputError(
            f"a tensor of images is (b, 3, {height}, {width}), of floats as .transform makes them "
            f"or uint8, got {tuple(images.shape)}, {images.dtype}: give PIL images, which are "
            "resized"
        )
    return images


def _open(image: Any) -> Image.Image:
    if isinstance(image, str | Path):
        return open_image({"bytes": None, "path": str(image)})
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.shape[2:] == (3,):
        return Image.fromarray(image)
    if isinstance(image, Image.Image):
        return to_rgb(image)
    shape = f" of {image.shape}, {image.dtype}" if isinstance(image, np.ndarray) else ""
    raise InputError(
        "an image is one of PIL, the path of a file, or a uint8 array (height, width, 3), got "
        f"{type(image).__name__}{shape}"
    )
