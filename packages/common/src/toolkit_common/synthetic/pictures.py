"""Draws lesions whose pictures carry their numbers: size, colour, asymmetry, border, axis.

A lesion is an ellipse on skin. Colours are given in CIE L*a*b* (D65), as SLICE-3D measures them.
"""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

FIELD_MM = 15.0  # side of a SLICE-3D crop
EDGE = 12.0  # steepness of a lesion's border
# sRGB to XYZ, IEC 61966-2-1, and the D65 white point.
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
D65 = np.array([0.9505, 1.0, 1.089])


def draw_image(look: pd.Series, size: int, rng: np.random.Generator) -> Image.Image:
    """Draw one lesion, a row of `draw_cohort`, `size` pixels high and wide, in 15 x 15 mm."""
    inside = draw_mask(look, size)
    skin, lesion = (look[[f"{name}{at}" for name in "Lab"]].to_numpy(float) for at in "01")
    colour = skin + inside[..., None] * (lesion - skin)
    colour[..., 0] += rng.normal(0, 1.2, (size, size))
    return Image.fromarray(lab_to_rgb(colour))


def draw_mask(look: pd.Series, size: int) -> np.ndarray:
    """Return how much of each pixel is lesion, 0 to 1 `(size, size)`, soft at the border."""
    # Centres of pixels.
    axis = ((np.arange(size) + 0.5) / size - 0.5) * FIELD_MM
    x, y = np.meshgrid(axis, axis)
    angle = np.deg2rad(look["angle"])
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    turn = np.arctan2(across, along)
    # One bulge for asymmetry, seven for an uneven border: each can be read off the outline.
    radius = 1 + 0.3 * look["asymmetry"] * np.cos(turn) + 0.2 * look["border"] * np.sin(7 * turn)
    distance = np.hypot(2 * along / look["long_mm"], 2 * across / look["short_mm"]) / radius
    # Clipped, as exp of a far pixel would overflow.
    inside: np.ndarray = 1 / (1 + np.exp(np.clip((distance - 1) * EDGE, -50, 50)))
    return inside


def lab_to_rgb(colour: np.ndarray) -> np.ndarray:
    """Turn CIE L*a*b* (D65) `(h, w, 3)` into 8-bit sRGB."""
    light = (colour[..., 0] + 16) / 116
    scaled = np.stack([light + colour[..., 1] / 500, light, light - colour[..., 2] / 200], axis=-1)
    # The inverse of CIE's f: a cube, near black a line.
    xyz = np.where(scaled > 6 / 29, scaled**3, 3 * (6 / 29) ** 2 * (scaled - 4 / 29)) * D65
    # Colours that a screen cannot show are cut to those that it can.
    linear = np.clip(xyz @ np.linalg.inv(TO_XYZ).T, 0, 1)
    # The transfer curve of sRGB.
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return (encoded * 255).round().astype(np.uint8)


def encode_jpeg(image: Image.Image) -> bytes:
    """Return a picture as the bytes of a JPEG file."""
    with BytesIO() as file:
        image.save(file, "JPEG", quality=90)
        return file.getvalue()


def write_pictures(
    looks: pd.DataFrame, paths: Sequence[Path], *, size: int, rng: np.random.Generator
) -> None:
    """Draw one lesion a path; the suffix says the format."""
    for (_, look), path in zip(looks.iterrows(), paths, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        draw_image(look, size, rng).save(path)


def write_masks(looks: pd.DataFrame, paths: Sequence[Path], *, size: int, least: float) -> None:
    """Write the pixels that are lesion by more than `least` as black and white, one file a path."""
    for (_, look), path in zip(looks.iterrows(), paths, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw_mask(look, size) > least).save(path)
