"""From a PIL image to the uint8 tensor that an encoder takes, and to the normalised batch.

Resizing and cropping happen in the loader's workers on uint8 images; normalising happens on the
device, so that a batch travels as a quarter of the bytes. Values are those of torchvision's
`Resize`, `CenterCrop`, `ToTensor`, `Normalize` chain.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import isfinite
from typing import Literal

import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from toolkit_common.errors import InputError

RESIZES = ("shortest", "squash")
INTERPOLATIONS = ("nearest", "nearest-exact", "bilinear", "bicubic", "box", "hamming", "lanczos")
LARGEST = 8192  # pixels of a side, cropped or resized: tables of positions are made for it
LONGEST = 16  # times the shorter side: of what is much longer the ends are cut off first
ROOM = LONGEST << 22  # pixels, about, that are made of one: all 16 times up to a side of 2048
SLACK = 2  # times: what was cut and resized, both rounded, is not cut again
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Transform = Callable[[Image.Image], Tensor]


@dataclass(frozen=True)
class Preprocess:
    """How an encoder wants its images.

    Attributes:
        image_size: Height and width in pixels.
        resize: `shortest` side to `image_size / crop_pct`, or `squash` both; then centre crop.
        crop_pct: Share of the resized image's side that the centre crop keeps.
        interpolation: `bilinear`, `bicubic`, ... as PIL names them.
        mean: Per channel, of values in [0, 1].
        std: Per channel, of values in [0, 1].
    """

    image_size: tuple[int, int] = (224, 224)
    resize: Literal["shortest", "squash"] = "shortest"
    crop_pct: float = 0.875
    interpolation: str = "bicubic"
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    def __post_init__(self) -> None:
        """Refuse what no image can be given as; it may come from a file.

        Raises:
            InputError: If a size, also that before the crop, the mean or the std cannot be.
        """
        if len(self.image_size) != 2 or not all(1 <= side <= LARGEST for side in self.image_size):
            raise InputError(f"image_size is 1 to {LARGEST} pixels, got {self.image_size}")
        if self.resize not in RESIZES or self.interpolation not in INTERPOLATIONS:
            raise InputError(
                f"images are resized by {RESIZES} and {INTERPOLATIONS}, got {self.resize!r}, "
                f"{self.interpolation!r}"
            )
        if not 0.0 < self.crop_pct <= 4.0:
            raise InputError(f"crop_pct is a share of the resized side, got {self.crop_pct}")
        # No integers yet: of a share near 0 the side is infinite.
        if not all(1.0 <= side / self.crop_pct < LARGEST + 1 for side in self.image_size):
            raise InputError(
                f"images are resized to 1 to {LARGEST} pixels before the crop, got crop_pct "
                f"{self.crop_pct} of image_size {self.image_size}"
            )
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != 3 or not all(map(isfinite, values)):
                raise InputError(f"{name} is three finite numbers, got {values}")
        if min(self.std) <= 0.0:
            raise InputError(f"std is above 0, as pixels are divided by it, got {self.std}")

    @property
    def resized(self) -> tuple[int, int]:
        """Height and width that images are resized to before the centre crop."""
        # Truncated, as timm does.
        height, width = (int(side / self.crop_pct) for side in self.image_size)
        return height, width

    def normalize(self, images: UInt8[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
        """Scale to [0, 1], subtract the mean and divide by the std, in fp32."""
        device, pin = images.device, images.is_cuda  # from pinned memory nobody waits
        mean, std = (
            torch.tensor(values, pin_memory=pin).view(3, 1, 1).to(device, non_blocking=pin)
            for values in (self.mean, self.std)
        )
        # In place on the copy that `float` made: no further tensors of the batch's size.
        return (images.float() / 255.0).sub_(mean).div_(std)

    def describe(self) -> str:
        """Return one line for humans."""
        height, width = self.image_size
        resized = self.resized
        how = (
            f"squashed to {resized[0]} x {resized[1]}"
            if self.resize == "squash"
            else f"shorter side to {min(resized)}"
        )
        mean, std = (", ".join(f"{value:.3f}" for value in item) for item in (self.mean, self.std))
        return (
            f"{height} x {width} px, {how}, centre crop, {self.interpolation}, mean ({mean}), "
            f"std ({std})"
        )


@dataclass(frozen=True)
class RandomCrop:
    """A random part of an image, resized: the crop of MAE's linear probing (docs/protocols.md).

    One draw of area and aspect ratio, cut to what the image holds, where torchvision's
    `RandomResizedCrop` would draw again. A crop is a function of its generator alone.

    Attributes:
        size: Height and width in pixels.
        interpolation: As PIL names it.
        area: Smallest share of the image's area; the largest is 1.
        flips: Whether half of the crops are mirrored.
    """

    size: tuple[int, int]
    interpolation: str = "bicubic"
    area: float = 0.08
    flips: bool = True

    def __call__(self, image: Image.Image, draws: torch.Generator) -> UInt8[Tensor, "3 h w"]:
        """Return a crop as a tensor.

        Args:
            image: An RGB image.
            draws: Where the random numbers come from.
        """
        from toolkit_common.torchvision_ops import prepare

        prepare()
        from torchvision.transforms import InterpolationMode
        from torchvision.transforms import functional as F

        # All five at once, used or not: a crop's place must not depend on whether it is mirrored.
        share, ratio, down, right, mirror = torch.rand(5, generator=draws).tolist()
        area = (self.area + (1.0 - self.area) * share) * image.width * image.height
        aspect = (3.0 / 4.0) ** (1.0 - 2.0 * ratio)  # log-uniform from 3/4 to 4/3
        width = max(1, min(image.width, round((area * aspect) ** 0.5)))
        height = max(1, min(image.height, round((area / aspect) ** 0.5)))
        top = int(down * (image.height - height + 1))
        left = int(right * (image.width - width + 1))
        mode = InterpolationMode(self.interpolation)
        crop = F.resized_crop(image, top, left, height, width, list(self.size), mode)
        pixels: Tensor = F.pil_to_tensor(F.hflip(crop) if self.flips and mirror < 0.5 else crop)
        return pixels


def build_eval_transform(preprocess: Preprocess) -> Transform:
    """Return the deterministic transform: RGB image -> uint8 `(3, h, w)`."""
    from toolkit_common.torchvision_ops import prepare

    prepare()
    from torchvision import transforms

    crop = transforms.CenterCrop(preprocess.image_size)
    return transforms.Compose([build_resize(preprocess), crop, transforms.PILToTensor()])


def build_resize(preprocess: Preprocess) -> Callable[[Image.Image], Image.Image]:
    """Return its first step, which leaves an image that it has made as it is."""
    from toolkit_common.torchvision_ops import prepare

    prepare()
    from torchvision import transforms

    mode = transforms.InterpolationMode(preprocess.interpolation)
    height, width = preprocess.image_size
    resized = preprocess.resized
    resize: Callable[[Image.Image], Image.Image]
    if preprocess.resize == "squash":
        resize = transforms.Resize(resized, mode)
    # One number: torchvision resizes the shorter side to it, keeping the aspect.
    elif height == width:
        resize = transforms.Resize(resized[0], mode)
    else:
        # The shorter side at one number may be too small for the longer side of such a target.
        from timm.data.transforms import ResizeKeepRatio

        resize = ResizeKeepRatio(resized, interpolation=mode.value)  # covers both sides
    # Squashing enlarges nothing beyond its target.
    if preprocess.resize == "squash":
        return resize
    longest = max(2, min(LONGEST, ROOM // max(resized) ** 2))
    return transforms.Compose([partial(cut_ends, longest=longest), resize])


def cut_ends(image: Image.Image, *, longest: int = LONGEST) -> Image.Image:
    """Cut the ends of an image that is more than `longest` times as long as wide, and not nearly.

    Enlarged by its shorter side a line of 50000 x 1 pixels would be 10 GB, of which the centre crop
    keeps the middle.
    """
    width, height = image.size
    shorter = min(width, height)
    if max(width, height) <= (longest + SLACK) * shorter:
        return image
    left, top = (max(0, side - longest * shorter) // 2 for side in image.size)
    return image.crop((left, top, width - left, height - top))
