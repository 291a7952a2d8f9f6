"""A contact sheet of attention maps: photo, all queries in colour, of several each by itself.

Shapes: b images, q queries, g groups, (gh, gw) patch grid.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from toolkit_common.printable import counted, printable

COLOURS = np.array(  # one a group, `maps.MAX_GROUPS` of them
    [
        (230, 25, 75), (60, 180, 75), (0, 130, 255), (255, 200, 0),
        (200, 60, 230), (0, 210, 210), (255, 130, 30), (170, 255, 120),
    ]
)  # fmt: skip
QUANTILES = (0.65, 0.99)  # of strength: fully transparent below, opaque above
POWER = 0.55
LEAST_SPREAD = 0.25  # a map whose shares differ by less is drawn faint: it is almost even
CELL, MARGIN, LINE = 144, 6, 16  # pixels
INK, GREY, WRONG = (23, 32, 42), (91, 102, 115), (180, 40, 20)


@dataclass(frozen=True)
class Caption:
    """Lines below a photo; whether what was predicted is wrong, which is shown in red."""

    lines: tuple[str, ...]
    is_wrong: bool = False


def draw_sheet(
    photos: Sequence[Image.Image],
    maps: np.ndarray,
    *,
    groups: np.ndarray,
    captions: Sequence[Caption],
    title: str,
) -> Image.Image:
    """Draw a row an image: the photo, all groups in colour, and of several each by itself.

    Args:
        photos: What the encoder saw, all of one size.
        maps: Attention of the groups `(b, g, gh, gw)`.
        groups: Group of each query, for the headings.
        captions: What stands below each photo.
        title: Line on top.
    """
    width, height = _cell_size(photos[0])
    headings, step = _headings(groups), CELL + MARGIN
    row_height = height + LINE * max(len(item.lines) for item in captions) + MARGIN
    across = max(len(headings) * step, ceil(_font().getlength(title)) + MARGIN)
    size = (across + MARGIN, 3 * LINE + MARGIN + len(photos) * row_height)
    sheet = Image.new("RGB", size, (255, 255, 255))
    pen = ImageDraw.Draw(sheet)
    pen.text((MARGIN, MARGIN), title, fill=INK, font=_font())
    for column, (heading, colour) in enumerate(headings):
        left, top = MARGIN + column * step, 2 * LINE
        if colour is not None:
            pen.rectangle((left, top + 2, left + 11, top + 12), fill=colour)
        pen.text((left + (16 if colour else 0), top), heading, fill=INK, font=_font())
    for row, (photo, own, caption) in enumerate(zip(photos, maps, captions, strict=True)):
        small = photo.resize((width, height), Image.Resampling.BICUBIC)
        top = 3 * LINE + MARGIN + row * row_height
        cells = [small, draw_overlay(small, own)]
        if len(own) > 1:
            cells += [draw_overlay(small, own[[group]], [group]) for group in range(len(own))]
        for column, cell in enumerate(cells):
            sheet.paste(cell, (MARGIN + column * step, top))
        for number, line in enumerate(caption.lines):
            fill = WRONG if caption.is_wrong and number == 1 else GREY
            pen.text(
                (MARGIN, top + height + number * LINE + 1), _cut(line), fill=fill, font=_font()
            )
    return sheet


def draw_overlay(
    photo: Image.Image, maps: np.ndarray, colours: Sequence[int] | None = None
) -> Image.Image:
    """Lay maps `(g, gh, gw)` over a photo: the strongest map gives the hue, its share the opacity.

    Each map counts against its own largest share, so that a narrow map does not hide a wide one;
    an almost even map, which prefers no place, is faint.
    """
    height, width = photo.height, photo.width
    large = np.stack([_upsample(item, width, height) for item in maps])
    peaks = large.max(axis=(1, 2), keepdims=True)
    strength = large / np.maximum(peaks, 1e-30)
    winner, strongest = strength.argmax(0), strength.max(0)
    low, high = np.quantile(strongest, QUANTILES)
    # Without it noise on an even map would be stretched to full colour.
    spread = max(high - low, LEAST_SPREAD)
    opacity = (((strongest - low) / spread).clip(0, 1) ** POWER)[..., None]
    palette = COLOURS[np.arange(len(maps)) if colours is None else list(colours)]
    grey = np.asarray(photo.convert("L"), dtype=np.float64)[..., None]
    # Pale and grey, so that colours are the maps' alone.
    base = 0.55 * grey + 0.10 * 255
    mixed = (1 - 0.75 * opacity) * base + 0.75 * opacity * palette[winner]
    return Image.fromarray(mixed.round().clip(0, 255).astype(np.uint8))


def _cell_size(photo: Image.Image) -> tuple[int, int]:
    scale = CELL / max(photo.size)
    return max(1, round(photo.width * scale)), max(1, round(photo.height * scale))


def _upsample(item: np.ndarray, width: int, height: int) -> np.ndarray:
    image = Image.fromarray(item.astype(np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR), dtype=np.float64)


def _headings(groups: np.ndarray) -> list[tuple[str, tuple[int, ...] | None]]:
    headings: list[tuple[str, tuple[int, ...] | None]] = [("photo", None)]
    if groups.max() > 0:
        headings.append(("all queries", None))
    for group in range(groups.max() + 1):
        mine = np.flatnonzero(groups == group)
        text = f"query {mine[0]}" if len(mine) == 1 else counted(len(mine), "query", "queries")
        headings.append((text, tuple(int(value) for value in COLOURS[group])))
    return headings


def _cut(text: str) -> str:
    """Return a line that fits below a photo; the end of it, a probability, stays."""
    text = printable(text)
    head, gap, tail = text.rpartition(" ")
    if _font().getlength(text) <= CELL:
        return text
    while head and _font().getlength(f"{head}..{gap}{tail}") > CELL:
        head = head[:-1]
    return f"{head}..{gap}{tail}"


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(11)
