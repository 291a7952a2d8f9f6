"""Masks of the images that maps are held against: which file, and how much of each patch is inside.

Shapes: (gh, gw) patch grid.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from toolkit_common.errors import InputError
from toolkit_common.images.open import BadImageError, Place, open_image
from toolkit_common.images.transforms import Preprocess, build_eval_transform
from toolkit_common.images.walk import find_files, is_image

# As lesion sets call them: `ID_segmentation.png` (ISIC, HAM10000), `ID_lesion.bmp` (PH2).
ENDING = re.compile(r"[_-](masks?|segmentations?|seg|lesion|gt)$", re.IGNORECASE)
OTHERS = re.compile(r"_(dermoscopic_image|roi\d*|superpixels)$", re.IGNORECASE)  # PH2's, ISIC's
GREY = (0.1, 0.9)  # what is between is neither black nor white
MOST_GREY = 0.05  # how much of a mask may be
SLACK = 0.02  # of the aspect: sizes are rounded where copies were made smaller

Masks = Mapping[str, Path]  # by the name of the image


def find_masks(folder: Path) -> Masks:
    """Return the masks below a folder, by the name of their image without ending.

    A file that is called as its image is a mask where none is called as masks are (`ID_lesion`):
    beside one it is the image, as in PH2's own folders.

    Raises:
        InputError: If there is none, or two are of one name.
    """
    if not folder.is_dir():
        raise InputError(f"no folder of masks at {folder}")
    files = [file for file in find_files(folder) if is_image(file) and not OTHERS.search(file.stem)]
    marked = {ENDING.sub("", file.stem) for file in files if ENDING.search(file.stem)}
    masks: dict[str, Path] = {}
    for file in files:
        name = ENDING.sub("", file.stem)
        if name == file.stem and name in marked:
            continue
        if name in masks:
            raise InputError(f"two masks are called {name}: {masks[name]} and {file}")
        masks[name] = file
    if not masks:
        raise InputError(
            f"no mask at {folder}: give a folder of images, such as ID.png or ID_mask.png"
        )
    return masks


def choose_masks(masks: Masks, names: Sequence[str]) -> list[Path | None]:
    """Return the mask of each image, None for those without.

    Args:
        masks: By the name of the image.
        names: Ids of the images, or their files' names.

    Raises:
        InputError: If no image has one, or two images are of one name.
    """
    short = [Path(name).stem if is_image(Path(name)) else Path(name).name for name in names]
    doubled = {name for name in short if name in masks and short.count(name) > 1}
    if doubled:
        raise InputError(
            f"several images are called {min(doubled)}: which one the mask is of, nobody knows"
        )
    chosen = [masks.get(name) for name in short]
    if not any(chosen):
        raise InputError(
            f"none of {len(masks)} masks is of an image: they are called as {min(masks)}, the "
            f"images as {short[0]}"
        )
    return chosen


def read_mask(
    file: Path, image: Place, *, preprocess: Preprocess, grid: tuple[int, int]
) -> np.ndarray:
    """Return which share of each patch lies inside a mask `(gh, gw)`, of what the encoder sees.

    Args:
        file: The mask: black outside, white (or any one value) inside.
        image: The image that it is of.
        preprocess: How the encoder takes images: the mask is cut in the same way.
        grid: Patch grid.

    Raises:
        InputError: If it does not decode, has another aspect than the image, or is no mask.
    """
    try:
        mask, size = open_image({"bytes": None, "path": str(file)}), open_image(image).size
    except BadImageError as error:
        raise InputError(f"cannot read a mask: {error}") from None
    if abs(mask.width * size[1] / (mask.height * size[0]) - 1) > SLACK:
        raise InputError(
            f"{file} has {mask.width} x {mask.height} pixels, its image {size[0]} x {size[1]}: the "
            "aspects differ, so that nobody knows what it covers"
        )
    # As large as the image, so that both are resized alike; values are not mixed before.
    values = np.asarray(mask.resize(size, Image.Resampling.NEAREST)).max(-1).astype(float)
    values /= max(values.max(), 1.0)
    if ((values > GREY[0]) & (values < GREY[1])).mean() > MOST_GREY:
        raise InputError(f"{file} is no mask: it has more values than one for outside and inside")
    white = np.uint8(255) * (values > 0.5)
    seen = build_eval_transform(preprocess)(Image.fromarray(white).convert("RGB"))[0].numpy()
    shares = Image.fromarray((seen > 127).astype(np.float32))
    return np.asarray(shares.resize((grid[1], grid[0]), Image.Resampling.BOX), np.float64)
