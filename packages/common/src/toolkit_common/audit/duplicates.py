"""Finds images that occur twice: exactly (sha256 of the pixels) or nearly (a perceptual hash).

The perceptual hash is `imagehash.phash` (64 bits, of the 32 x 32 grey image's lowest cosines). Two
hashes within d bits agree wholly on at least one of d + 1 bands (pigeonhole), so that only rows
that share a band are compared: no candidate is missed, and the work grows with the number of
candidates, not with the square of the rows.

A mirrored or turned copy has another hash. Mirroring changes the sign of every second cosine, and
transposing the picture transposes them: all eight views' hashes come out of one transform, and the
smallest of them is the same whichever view it was made of.

Shapes: n images, u distinct hashes.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from PIL import Image

from toolkit_common.data.dataset import ImageData
from toolkit_common.data.loaders import map_images
from toolkit_common.extras import require
from toolkit_common.images.open import BadImageError, Place, open_image

BITS = 64
MAX_DISTANCE = 4  # bits of 64 in which near-duplicates may differ
# Of turned copies: eight views make chance likelier. JPEG copies (quality 80) of 400 photographs of
# the lesion sample, mirrored or turned, differ in 0 bits (78 %), 2 (21 %) or more; no two different
# photographs come as near.
MAX_TURNED = 2
SIDE, LOW = 32, 8  # pixels that the hash looks at, cosines that it keeps, each way


@dataclass(frozen=True)
class Hashes:
    """What every image of a data set hashes to.

    Attributes:
        exact: sha256 of size and pixels `(n,)`, empty where the image does not decode.
        perceptual: 64-bit perceptual hash `(n,)`, uint64.
        turned: The smallest of the perceptual hashes of its eight views `(n,)`, uint64.
        sizes: Width and height in pixels `(n, 2)`, 0 where the image does not decode.
        problems: Row -> why its image does not decode.
    """

    exact: np.ndarray
    perceptual: np.ndarray
    turned: np.ndarray
    sizes: np.ndarray
    problems: dict[int, str]


@dataclass(frozen=True)
class Pair:
    """Two rows that show the same; `distance` in bits, 0 and `exact` where pixels are equal.

    `turned` where one is mirrored or turned against the other.
    """

    first: int
    second: int
    distance: int
    exact: bool
    turned: bool = False


def hash_images(data: ImageData) -> Hashes:
    """Decode every image once and hash it."""
    require("imagehash", extra="audit", purpose="finding near-duplicates")
    exact = np.full(len(data), "", dtype="U64")
    perceptual = np.zeros(len(data), np.uint64)
    turned = np.zeros(len(data), np.uint64)
    sizes = np.zeros((len(data), 2), np.int64)
    problems: dict[int, str] = {}
    for row, result in map_images(data, np.arange(len(data)), _hash, title="hashing images"):
        if isinstance(result, str):
            problems[row] = result
        else:
            exact[row], perceptual[row], turned[row], sizes[row] = result
    return Hashes(exact, perceptual, turned, sizes, problems)


def find_duplicates(hashes: Hashes, *, max_distance: int = MAX_DISTANCE) -> list[Pair]:
    """Return pairs of rows that show the same: exact ones, near ones, mirrored or turned ones.

    Of images with one hash the first stands for all: k equal images give k - 1 pairs, not k^2 / 2.
    """
    rows = np.flatnonzero(hashes.exact != "")
    pairs = [Pair(*pair, 0, exact=True) for pair in _equal(hashes.exact, rows)]
    # Of exact copies one each: the others would repeat all that is near to it.
    alone = rows[np.sort(np.unique(hashes.exact[rows], return_index=True)[1])]
    pairs += _near(hashes.perceptual, alone, max_distance)
    turned = _near(hashes.turned, alone, min(MAX_TURNED, max_distance))
    plain = hashes.perceptual
    return pairs + [
        replace(pair, turned=True)
        for pair in turned
        # What is near as it stands is reported once, as such.
        if np.bitwise_count(plain[pair.first] ^ plain[pair.second]) > max_distance
    ]


def find_near(hashes: np.ndarray, *, max_distance: int) -> tuple[np.ndarray, np.ndarray]:
    """Return all pairs of distinct hashes `(u,)` that differ in 1 to `max_distance` bits."""
    # d + 1 bands: d differing bits leave at least one of them untouched.
    edges = np.linspace(0, BITS, max_distance + 2).astype(int)
    parts = [np.empty((0, 2), np.int64)]
    for low, high in pairwise(edges):
        mask = np.uint64((1 << int(high - low)) - 1)
        band = (hashes >> np.uint64(low)) & mask
        order = np.argsort(band, kind="stable")
        sorted_band, sorted_hashes = band[order], hashes[order]
        at, step = np.arange(len(order)), 1
        while at.size:  # compare each with the next, the one after next ... of its bucket
            at = at[at + step < len(order)]
            at = at[sorted_band[at] == sorted_band[at + step]]
            bits = np.bitwise_count(sorted_hashes[at] ^ sorted_hashes[at + step])
            close = at[(bits > 0) & (bits <= max_distance)]
            parts.append(np.sort(np.stack([order[close], order[close + step]], axis=1), axis=1))
            step += 1
    pairs = np.unique(np.concatenate(parts), axis=0)
    return pairs[:, 0], pairs[:, 1]


def turned_hashes(cosines: np.ndarray) -> np.ndarray:
    """Return the smallest hash of each image's eight views, from `low_cosines` `(n, 8, 8)`."""
    signs = np.where(np.arange(LOW) % 2, -1.0, 1.0)
    mirrors = [np.ones((LOW, LOW)), signs[:, None] * np.ones(LOW), signs * np.ones((LOW, 1)),
               signs[:, None] * signs]  # fmt: skip
    smallest = np.full(len(cosines), np.iinfo(np.uint64).max, np.uint64)
    for view in (cosines, cosines.transpose(0, 2, 1)):
        for mirror in mirrors:
            flat = (view * mirror).reshape(-1, BITS)
            bits = flat > np.median(flat, axis=1, keepdims=True)
            # The first bit of the flat image is the highest, as where `perceptual` is made.
            words = np.packbits(bits, axis=1).view(">u8").ravel().astype(np.uint64)
            smallest = np.minimum(smallest, words)
    return smallest


def low_cosines(small: Image.Image) -> np.ndarray:
    """Return the lowest cosines of a grey image of 32 x 32 pixels, as `imagehash.phash` does."""
    from scipy.fft import dctn

    return dctn(np.asarray(small, float))[:LOW, :LOW]


def _near(values: np.ndarray, rows: np.ndarray, max_distance: int) -> list[Pair]:
    """Return the pairs of rows whose hashes are equal, then those that are near, the nearest first.

    Of rows with one hash the first stands for all.
    """
    pairs = [Pair(*pair, 0, exact=False) for pair in _equal(values, rows)]
    distinct, first = np.unique(values[rows], return_index=True)
    left, right = find_near(distinct, max_distance=max_distance)
    distances = np.bitwise_count(distinct[left] ^ distinct[right])
    firsts, seconds = rows[first[left]], rows[first[right]]
    near = [
        Pair(min(a, b), max(a, b), bits, exact=False)
        for a, b, bits in zip(firsts.tolist(), seconds.tolist(), distances.tolist(), strict=True)
    ]
    return pairs + sorted(near, key=lambda pair: (pair.distance, pair.first, pair.second))


def _equal(values: np.ndarray, rows: np.ndarray) -> Sequence[tuple[int, int]]:
    """Return `(first row, other row)` for every other row with the first one's value."""
    _, first, inverse = np.unique(values[rows], return_index=True, return_inverse=True)
    leaders = rows[first[inverse]]
    repeated = leaders != rows
    return list(zip(leaders[repeated].tolist(), rows[repeated].tolist(), strict=True))


def _hash(place: Place) -> tuple[str, int, int, tuple[int, int]] | str:
    from imagehash import phash

    try:
        image = open_image(place)
    except BadImageError as error:
        return str(error)
    # With the size: the same bytes in another shape are another picture.
    digest = hashlib.sha256(f"{image.size}".encode() + image.tobytes()).hexdigest()
    small = _small(image).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    bits = phash(small).hash.ravel()
    perceptual = int.from_bytes(np.packbits(bits).tobytes(), "big")
    return digest, perceptual, int(turned_hashes(low_cosines(small)[None])[0]), image.size


def _small(image: Image.Image) -> Image.Image:
    """Shrink a large photograph first: the hash looks at 32 x 32 pixels anyway."""
    grey = image.convert("L")
    factor = min(grey.size) // 128
    return grey.reduce(factor) if factor > 1 else grey
