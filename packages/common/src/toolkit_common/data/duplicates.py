"""Finds images that occur twice: exactly (sha256 of the pixels) or nearly (a perceptual hash).

The perceptual hash is `imagehash.phash` (64 bits, of the 32 x 32 grey image's lowest cosines). Two
hashes within d bits agree wholly on at least one of d + 1 bands (pigeonhole), so that only rows
that share a band are compared: no candidate is missed, and the work grows with the number of
candidates, not with the square of the rows.

Shapes: n images, u distinct hashes.
"""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from os import cpu_count

import numpy as np
from PIL import Image

from toolkit_common.data.base import ImageData
from toolkit_common.data.images import BadImageError, Place, open_image
from toolkit_common.data.loaders import chunks
from toolkit_common.training.progress import progress

BITS = 64
MAX_DISTANCE = 4  # bits of 64 in which near-duplicates may differ
CHUNK = 1024  # images whose results wait in memory at once


@dataclass(frozen=True)
class Hashes:
    """What every image of a data set hashes to.

    Attributes:
        exact: sha256 of size and pixels `(n,)`, empty where the image does not decode.
        perceptual: 64-bit perceptual hash `(n,)`, uint64.
        problems: Row -> why its image does not decode.
    """

    exact: np.ndarray
    perceptual: np.ndarray
    problems: dict[int, str]


@dataclass(frozen=True)
class Pair:
    """Two rows that show the same; `distance` in bits, 0 and `exact` where pixels are equal."""

    first: int
    second: int
    distance: int
    exact: bool


def hash_images(data: ImageData) -> Hashes:
    """Decode every image once and hash it; threads decode, memory is bounded by a chunk."""
    exact = np.full(len(data), "", dtype="U64")
    perceptual = np.zeros(len(data), np.uint64)
    problems: dict[int, str] = {}
    with progress("hashing images", len(data)) as advance, ThreadPoolExecutor(cpu_count()) as pool:
        for chunk in chunks(np.arange(len(data)), CHUNK):
            found = pool.map(lambda row: _hash(data.images[row]["image"]), chunk.tolist())
            for row, result in zip(chunk.tolist(), found, strict=True):
                if isinstance(result, str):
                    problems[row] = result
                else:
                    exact[row], perceptual[row] = result
                advance()
    return Hashes(exact, perceptual, problems)


def find_duplicates(hashes: Hashes, *, max_distance: int = MAX_DISTANCE) -> list[Pair]:
    """Return pairs of rows that show the same, exact ones first.

    Of images with one hash the first stands for all: k equal images give k - 1 pairs, not k^2 / 2.
    """
    rows = np.flatnonzero(hashes.exact != "")
    pairs = [Pair(*pair, 0, exact=True) for pair in _equal(hashes.exact, rows)]
    alone = rows[np.sort(np.unique(hashes.exact[rows], return_index=True)[1])]
    pairs += [Pair(*pair, 0, exact=False) for pair in _equal(hashes.perceptual, alone)]
    values, first = np.unique(hashes.perceptual[alone], return_index=True)
    left, right = find_near(values, max_distance=max_distance)
    distances = np.bitwise_count(values[left] ^ values[right])
    firsts, seconds = alone[first[left]], alone[first[right]]
    near = [
        Pair(min(a, b), max(a, b), bits, exact=False)
        for a, b, bits in zip(firsts.tolist(), seconds.tolist(), distances.tolist(), strict=True)
    ]
    return pairs + sorted(near, key=lambda pair: (pair.distance, pair.first, pair.second))


def find_near(hashes: np.ndarray, *, max_distance: int) -> tuple[np.ndarray, np.ndarray]:
    """Return all pairs of distinct hashes `(u,)` that differ in 1 to `max_distance` bits."""
    edges = np.linspace(0, BITS, max_distance + 2).astype(int)
    found = [np.empty((0, 2), np.int64)]
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
            found.append(np.sort(np.stack([order[close], order[close + step]], axis=1), axis=1))
            step += 1
    pairs = np.unique(np.concatenate(found), axis=0)
    return pairs[:, 0], pairs[:, 1]


def _equal(values: np.ndarray, rows: np.ndarray) -> Sequence[tuple[int, int]]:
    """Return `(first row, other row)` for every other row with the first one's value."""
    _, first, inverse = np.unique(values[rows], return_index=True, return_inverse=True)
    leaders = rows[first[inverse]]
    repeated = leaders != rows
    return list(zip(leaders[repeated].tolist(), rows[repeated].tolist(), strict=True))


def _hash(place: Place) -> tuple[str, int] | str:
    from imagehash import phash

    try:
        image = open_image(place)
    except BadImageError as error:
        return str(error)
    digest = hashlib.sha256(f"{image.size}".encode() + image.tobytes()).hexdigest()
    bits = phash(_small(image)).hash.ravel()
    return digest, int.from_bytes(np.packbits(bits).tobytes(), "big")


def _small(image: Image.Image) -> Image.Image:
    """Shrink a large photograph first: the hash looks at 32 x 32 pixels anyway."""
    grey = image.convert("L")
    factor = min(grey.size) // 128
    return grey.reduce(factor) if factor > 1 else grey
