"""Whether two images that hash alike show the same: their pixels are laid over each other.

A perceptual hash proposes; on lesions it is mostly wrong, as one dark blob on plain skin is like
another. Here grey images of 64 x 64 pixels are aligned (shift and scale, and brightness and
contrast, by Gauss-Newton steps: Lucas and Kanade 1981) and correlated twice: as they are, and in
their detail, a band of frequencies that holds edges, hairs and grain but not the blob, divided by
its local strength, so that grain counts as much as the blob's edge. Both must be high. On the
lesion sample of PAD-UFES-20 copies (compressed, resized, mirrored, brighter, cropped) have a detail
of 0.76 or more, pairs across patients that the hash proposes 0.23 or less (docs/datasets.md).

Shapes: n images, s = 64 pixels a side, t = 16 pixels a side.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image
from scipy.ndimage import affine_transform, gaussian_filter

from toolkit_common.data.dataset import ImageData
from toolkit_common.data.loaders import map_images
from toolkit_common.images.open import BadImageError, Place, open_image

SIDE, COARSE_SIDE = 64, 16  # pixels
ALIKE, DETAIL = 0.9, 0.75  # least correlations of aligned grey images, and of their detail
COARSE = 0.8  # least correlation of 16 x 16 pixels as they lie, for a pair to be aligned at all
BAND = (0.7, 3.0)  # standard deviations between which detail lies, in pixels
LOCAL, NOISE = 3.0, 1.0  # how far local strength is measured, in pixels, and what is none, in greys
PYRAMID = ((3.0, 12), (1.0, 8))  # blur in pixels, and steps at most, of the alignment
FARTHEST = (0.2, 10.0)  # scale and shift in pixels beyond which an alignment has gone astray
LEAST_OVERLAP = 0.7  # of the area
Y, X = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2

Greys = Callable[[np.ndarray], Iterator[tuple[int, np.ndarray]]]


@dataclass(frozen=True)
class Likeness:
    """Correlations of two grey images, and of their detail, in [-1, 1].

    `turned` where one had to be mirrored or turned for them.
    """

    whole: float
    detail: float
    turned: bool = False

    @property
    def is_same(self) -> bool:
        """Whether both show the same."""
        return self.whole >= ALIKE and self.detail >= DETAIL


def reduce_grey(image: Image.Image) -> Image.Image:
    """Return an image in grey; a large photograph is shrunk in whole pixels, which is quick."""
    grey = image.convert("L")
    factor = min(grey.size) // (2 * SIDE)
    return grey.reduce(factor) if factor > 1 else grey


def squash(grey: Image.Image, side: int) -> np.ndarray:
    """Return a grey image of `(side, side)` pixels, uint8."""
    return np.asarray(grey.resize((side, side), Image.Resampling.BOX))


def read_greys(data: ImageData, rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield rows and their grey images `(s, s)`; those that do not decode are left out."""
    for row, grey in map_images(data, rows, _read, title="comparing images"):
        if grey is not None:
            yield row, grey


def views_of(grey: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the eight views `(..., s, s)` of images, mirrored and turned by right angles."""
    for turned in (grey, grey.swapaxes(-1, -2)):
        for down in (1, -1):
            for right in (1, -1):
                yield turned[..., ::down, ::right]


def coarse_likeness(first: np.ndarray, second: np.ndarray, *, turned: bool) -> np.ndarray:
    """Return the correlation of pairs of small images `(n, t, t)` as they lie, `(n,)`.

    With `turned` the best of the second's eight views.
    """
    one = _standardised(first)
    views = views_of(second) if turned else [second]
    scores = [np.einsum("np,np->n", one, _standardised(view)) for view in views]
    return np.asarray(np.max(scores, axis=0))


def likeness(first: np.ndarray, second: np.ndarray, *, turned: bool = False) -> Likeness:
    """Align two grey images `(s, s)` and compare them.

    Args:
        first: A grey image.
        second: Another, of which views are tried.
        turned: Whether it may be mirrored or turned by right angles: the likest view counts.
    """
    one, other = first.astype(float), second.astype(float)
    if not turned:
        return _aligned_likeness(one, other)
    blurred = gaussian_filter(one, 2)
    views = [(_correlate(blurred, gaussian_filter(view, 2)), number, view)
             for number, view in enumerate(views_of(other))]  # fmt: skip
    # Aligning costs: only the two views that are likest from afar.
    likest = sorted(views, key=lambda item: item[0], reverse=True)[:2]
    tried = [
        replace(_aligned_likeness(one, view), turned=number > 0)
        for from_afar, number, view in likest
        if from_afar >= COARSE
    ]
    return max(tried, key=lambda item: item.detail, default=Likeness(0.0, 0.0))


def _aligned_likeness(first: np.ndarray, second: np.ndarray) -> Likeness:
    everywhere = np.ones((SIDE, SIDE), bool)
    plain = _compare(first, second, everywhere)
    moved = None if plain.is_same else _align(first, second)
    if moved is None:
        return plain
    y, x = (1 + moved[0]) * Y + moved[2], (1 + moved[1]) * X + moved[3]
    inside = (np.abs(y) <= SIDE / 2) & (np.abs(x) <= SIDE / 2)
    if inside.mean() < LEAST_OVERLAP:
        return plain
    aligned = _compare(first, _warp(second, moved), inside)
    return max(plain, aligned, key=lambda item: item.whole)


def _compare(first: np.ndarray, second: np.ndarray, where: np.ndarray) -> Likeness:
    detail = _correlate(*(_detail(image)[where] for image in (first, second)))
    return Likeness(_correlate(first[where], second[where]), detail)


def _detail(image: np.ndarray) -> np.ndarray:
    band = gaussian_filter(image, BAND[0]) - gaussian_filter(image, BAND[1])
    return np.asarray(band / np.sqrt(gaussian_filter(band**2, LOCAL) + NOISE**2))


def _align(first: np.ndarray, second: np.ndarray) -> np.ndarray | None:
    """Return scales and shifts `(4,)`, down and right, that lay `second` over `first`, if any do.

    Each step solves for them, and for contrast and brightness, by the slopes of `second`.
    """
    moved = np.zeros(4)
    for blur, steps in PYRAMID:
        target, image = gaussian_filter(first, blur), gaussian_filter(second, blur)
        slopes = np.gradient(image)
        for _ in range(steps):
            here, down, right = (_warp(item, moved) for item in (image, *slopes))
            ways = np.stack([down * Y, right * X, down, right, here, np.ones_like(here)])
            ways = ways.reshape(6, -1)
            normal = ways @ ways.T
            # A flat image has no slopes: the smallest of steps then.
            normal += 1e-6 * np.trace(normal) / 6 * np.eye(6)
            step = np.linalg.solve(normal, ways @ (target - here).ravel())[:4]
            moved = moved + step
            if (np.abs(moved[:2]) > FARTHEST[0]).any() or (np.abs(moved[2:]) > FARTHEST[1]).any():
                return None
            if (np.abs(step) < (5e-4, 5e-4, 0.02, 0.02)).all():
                break
    return moved


def _warp(image: np.ndarray, moved: np.ndarray) -> np.ndarray:
    centre, scale = (SIDE - 1) / 2, 1 + moved[:2]
    offset = centre - scale * centre + moved[2:]
    return np.asarray(affine_transform(image, scale, offset, order=1, mode="nearest"))


def _correlate(first: np.ndarray, second: np.ndarray) -> float:
    one, other = (_standardised(item.reshape(1, -1))[0] for item in (first, second))
    return float(one @ other)


def _standardised(images: np.ndarray) -> np.ndarray:
    """Return images as vectors `(n, pixels)` of mean 0 and norm 1; flat ones are 0."""
    flat = images.reshape(len(images), -1).astype(float)
    flat = flat - flat.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.divide(flat, norms, out=np.zeros_like(flat), where=norms > 1e-6)


def _read(place: Place) -> np.ndarray | None:
    try:
        return squash(reduce_grey(open_image(place)), SIDE)
    except BadImageError:  # reported where it was hashed
        return None
