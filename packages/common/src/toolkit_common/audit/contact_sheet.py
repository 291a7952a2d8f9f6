"""Example pictures of a data set: a row of images for each class, as one picture."""

import numpy as np
from PIL import Image, ImageDraw

from toolkit_common.data.dataset import ImageData, Labels
from toolkit_common.images.open import BadImageError, open_image

TILE = 112  # pixels
MARGIN = 4
HEADING = 16
PER_CLASS = 8
MAX_CLASSES = 20
NO_LABEL = "without label"


def draw_contact_sheet(
    data: ImageData, labels: Labels | None, *, per_class: int = PER_CLASS, seed: int = 0
) -> Image.Image:
    """Draw random images of each class, of different groups where there are enough.

    Args:
        data: The data set.
        labels: Its classes; the first `MAX_CLASSES` are shown. None makes one row of all images.
        per_class: Images of each class.
        seed: Of the choice.
    """
    if labels is None:
        labels = Labels("", (NO_LABEL,), np.zeros(len(data), np.int64))
    classes = labels.classes[:MAX_CLASSES]
    height = HEADING + TILE + MARGIN
    size = (per_class * (TILE + MARGIN) + MARGIN, len(classes) * height + MARGIN)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for code, name in enumerate(classes):
        rows = np.flatnonzero(labels.targets == code)
        top = code * height + MARGIN
        draw.text((MARGIN, top), f"{name}: {len(rows):,} images", fill="black")
        for at, row in enumerate(_choose(rows, data.groups, per_class, seed)):
            place = (MARGIN + at * (TILE + MARGIN), top + HEADING)
            sheet.paste(_tile(data, int(row)), place)
    return sheet


def _choose(rows: np.ndarray, groups: np.ndarray | None, count: int, seed: int) -> np.ndarray:
    mixed = np.random.default_rng(seed).permutation(rows)
    if groups is None:
        return mixed[:count]
    first = np.sort(np.unique(groups[mixed].astype(str), return_index=True)[1])
    others = np.setdiff1d(np.arange(len(mixed)), first)
    return mixed[np.concatenate([first, others])[:count]]


def _tile(data: ImageData, row: int) -> Image.Image:
    """Return an image whole, shrunk or enlarged into a square; a broken one is gray."""
    tile = Image.new("RGB", (TILE, TILE), "gray")
    try:
        image = open_image(data.images[row]["image"])
    except BadImageError:
        return tile
    scale = TILE / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    tile.paste(image.resize((width, height)), ((TILE - width) // 2, (TILE - height) // 2))
    return tile
