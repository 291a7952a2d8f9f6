"""Small pictures of a data set: examples of each class, and what a broken image is shown as."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from PIL import Image, ImageDraw

from toolkit_common.data.dataset import ImageData, Labels
from toolkit_common.images.open import BadImageError, open_image
from toolkit_common.pages.pictures import picture
from toolkit_common.printable import counted

TILE = 112  # pixels
MARGIN = 4
HEADING = 16
PER_CLASS = 8
MAX_CLASSES = 20
NO_LABEL = "without label"
ON_PAGE, CLASSES_ON_PAGE = 4, 12  # of a class; classes


@dataclass(frozen=True)
class Examples:
    """A class, the pictures of it that are shown, and how many images it has."""

    name: str
    pictures: Sequence[Markup]
    count: int


def draw_contact_sheet(
    data: ImageData, labels: Labels | None, *, per_class: int = PER_CLASS, seed: int = 0
) -> Image.Image:
    """Draw random images of each class, of different groups where there are enough.

    The first `MAX_CLASSES` are shown; without labels all images make one row.
    """
    labels = labels or without_labels(data)
    classes = labels.classes[:MAX_CLASSES]
    height = HEADING + TILE + MARGIN
    size = (per_class * (TILE + MARGIN) + MARGIN, len(classes) * height + MARGIN)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for code, name in enumerate(classes):
        rows = np.flatnonzero(labels.targets == code)
        top = code * height + MARGIN
        draw.text((MARGIN, top), f"{name}: {counted(len(rows), 'image')}", fill="black")
        for at, row in enumerate(_choose(rows, data.groups, per_class, seed=seed)):
            place = (MARGIN + at * (TILE + MARGIN), top + HEADING)
            sheet.paste(draw_tile(data, int(row)), place)
    return sheet


def without_labels(data: ImageData) -> Labels:
    """Return one class for all images, of data without a label."""
    return Labels("", (NO_LABEL,), np.zeros(len(data), np.int64))


def examples_of(
    data: ImageData, labels: Labels, rows: np.ndarray | None = None, *, seed: int = 0
) -> Iterator[Examples]:
    """Yield a few random pictures of each class, of different groups where there are enough.

    The alternative text names the class alone: ids may tell who somebody is.

    Args:
        data: The data set, at hand.
        labels: Whose classes; the first `CLASSES_ON_PAGE` are shown.
        rows: Of which rows; all by default.
        seed: The same one chooses the same pictures.
    """
    within = np.arange(len(data)) if rows is None else rows
    for code, name in enumerate(labels.classes[:CLASSES_ON_PAGE]):
        own = within[labels.targets[within] == code]
        chosen = _choose(own, data.groups, ON_PAGE, seed=seed)
        pictures = [picture(draw_tile(data, int(row)), label=f"example of {name}")
                    for row in chosen]  # fmt: skip
        yield Examples(name, pictures, len(own))


def draw_tile(data: ImageData, row: int, *, side: int = TILE) -> Image.Image:
    """Return an image whole, shrunk or enlarged into a square; a broken one is gray."""
    tile = Image.new("RGB", (side, side), "gray")
    try:
        image = open_image(data.images[row]["image"])
    except BadImageError:
        return tile
    scale = side / max(image.size)
    width, height = (max(1, round(length * scale)) for length in image.size)
    tile.paste(image.resize((width, height)), ((side - width) // 2, (side - height) // 2))
    return tile


def _choose(rows: np.ndarray, groups: np.ndarray | None, count: int, *, seed: int) -> np.ndarray:
    mixed = np.random.default_rng(seed).permutation(rows)
    if groups is None:
        return mixed[:count]
    # One of each group first: images of one patient say little new.
    first = np.sort(np.unique(groups[mixed].astype(str), return_index=True)[1])
    others = np.setdiff1d(np.arange(len(mixed)), first)
    return mixed[np.concatenate([first, others])[:count]]
