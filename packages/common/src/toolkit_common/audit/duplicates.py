"""Finds images that occur twice: exactly (sha256 of the pixels) or nearly.

A perceptual hash, `imagehash.phash` (64 bits, of the 32 x 32 grey image's lowest cosines), proposes
what is nearly the same, and the pixels decide (`toolkit_common.audit.alike`). Two hashes within d
bits agree wholly on at least one of d + 1 bands (pigeonhole), so that only rows that share a band
are compared: no candidate is missed, and the work grows with the number of candidates, not with
the square of the rows.

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

from toolkit_common.audit.alike import (
    COARSE,
    COARSE_SIDE,
    Greys,
    coarse_likeness,
    likeness,
    reduce_grey,
    squash,
)
from toolkit_common.console import progress
from toolkit_common.data.dataset import ImageData
from toolkit_common.data.loaders import map_images
from toolkit_common.extras import require
from toolkit_common.images.open import BadImageError, Place, open_image

BITS = 64
# Bits of 64 in which the hashes of near-duplicates may differ: as they stand, mirrored or turned
# (eight views make chance likelier). Few candidates of so many rows can be looked at, where they
# are many.
MAX_DISTANCE, MAX_TURNED = 8, 6
MANY_ROWS, MAX_OF_MANY, MAX_TURNED_OF_MANY = 20_000, 4, 2
MOST_COMPARED = 3_000  # pairs, the nearest: half a minute
CHUNK = 4096  # pairs whose small images are in memory at once
SIDE, LOW = 32, 8  # pixels that the hash looks at, cosines that it keeps, each way


@dataclass(frozen=True)
class Hashes:
    """What every image of a data set hashes to.

    Attributes:
        exact: sha256 of size and pixels `(n,)`, empty where the image does not decode.
        perceptual: 64-bit perceptual hash `(n,)`, uint64.
        turned: The smallest of the perceptual hashes of its eight views `(n,)`, uint64.
        sizes: Width and height in pixels `(n, 2)`, 0 where the image does not decode.
        coarse: In grey, of 16 x 16 pixels `(n, 16, 16)`, uint8.
        problems: Row -> why its image does not decode.
    """

    exact: np.ndarray
    perceptual: np.ndarray
    turned: np.ndarray
    sizes: np.ndarray
    coarse: np.ndarray
    problems: dict[int, str]


@dataclass(frozen=True)
class Pair:
    """Two rows that show the same.

    Attributes:
        first: Row.
        second: Row.
        distance: Bits in which their hashes differ.
        exact: Their pixels are equal.
        turned: One is mirrored or turned against the other.
        correlation: Of their pixels, laid over each other; 1 where they are equal.
    """

    first: int
    second: int
    distance: int
    exact: bool
    turned: bool = False
    correlation: float = 1.0


@dataclass(frozen=True)
class Duplicates:
    """What occurs twice.

    Attributes:
        pairs: Exact ones, and near ones that pixels confirm.
        proposed: Near pairs that the hashes proposed.
        not_compared: How many of these were left out, as there are too many of them.
    """

    pairs: list[Pair]
    proposed: int
    not_compared: int


def hash_images(data: ImageData) -> Hashes:
    """Decode every image once and hash it."""
    require("imagehash", extra="audit", purpose="finding near-duplicates")
    exact = np.full(len(data), "", dtype="U64")
    perceptual = np.zeros(len(data), np.uint64)
    turned = np.zeros(len(data), np.uint64)
    sizes = np.zeros((len(data), 2), np.int64)
    coarse = np.zeros((len(data), COARSE_SIDE, COARSE_SIDE), np.uint8)
    problems: dict[int, str] = {}
    for row, result in map_images(data, np.arange(len(data)), _hash, title="hashing images"):
        if isinstance(result, str):
            problems[row] = result
        else:
            exact[row], perceptual[row], turned[row], sizes[row], coarse[row] = result
    return Hashes(exact, perceptual, turned, sizes, coarse, problems)


def join_hashes(own: Hashes, other: Hashes) -> Hashes:
    """Return the hashes of two data sets as of one; `problems` are those of the first."""
    return Hashes(
        exact=np.concatenate([own.exact, other.exact]),
        perceptual=np.concatenate([own.perceptual, other.perceptual]),
        turned=np.concatenate([own.turned, other.turned]),
        sizes=np.concatenate([own.sizes, other.sizes]),
        coarse=np.concatenate([own.coarse, other.coarse]),
        problems=own.problems,
    )


def find_duplicates(hashes: Hashes, greys: Greys, *, border: int | None = None) -> Duplicates:
    """Return pairs of rows that show the same: exact ones, near ones, mirrored or turned ones.

    Args:
        hashes: Of all rows.
        greys: Reads the grey images of rows, see `toolkit_common.audit.alike.read_greys`.
        border: Number of the first row of a second data set: pairs of one row of each alone.
    """
    pairs = propose_pairs(hashes)
    if border is not None:
        pairs = [pair for pair in pairs if pair.first < border <= pair.second]
    exact = [pair for pair in pairs if pair.exact]
    near = [pair for pair in pairs if not pair.exact]
    likely = _likely(near, hashes.coarse)
    confirmed = _confirmed(likely[:MOST_COMPARED], greys)
    return Duplicates(exact + confirmed, len(near), max(0, len(likely) - MOST_COMPARED))


def propose_pairs(hashes: Hashes) -> list[Pair]:
    """Return pairs of rows whose hashes are equal or near, the nearest first.

    Of images with one hash the first stands for all: k equal images give k - 1 pairs, not k^2 / 2.
    """
    rows = np.flatnonzero(hashes.exact != "")
    near, turned_near = MAX_DISTANCE, MAX_TURNED
    if len(rows) > MANY_ROWS:
        near, turned_near = MAX_OF_MANY, MAX_TURNED_OF_MANY
    pairs = [Pair(*pair, 0, exact=True) for pair in _equal(hashes.exact, rows)]
    # Of exact copies one each: the others would repeat all that is near to it.
    alone = rows[np.sort(np.unique(hashes.exact[rows], return_index=True)[1])]
    pairs += _near(hashes.perceptual, alone, near)
    plain = hashes.perceptual
    return pairs + [
        replace(pair, turned=True)
        for pair in _near(hashes.turned, alone, turned_near)
        # What is near as it stands is proposed once, as such.
        if np.bitwise_count(plain[pair.first] ^ plain[pair.second]) > near
    ]


def _likely(pairs: Sequence[Pair], coarse: np.ndarray) -> list[Pair]:
    """Return the pairs that are alike from afar, the nearest first."""
    likely = []
    for turned in (False, True):
        of_kind = [pair for pair in pairs if pair.turned == turned]
        for start in range(0, len(of_kind), CHUNK):
            part = of_kind[start : start + CHUNK]
            one, other = (coarse[[getattr(pair, side) for pair in part]]
                          for side in ("first", "second"))  # fmt: skip
            alike = coarse_likeness(one, other, turned=turned) >= COARSE
            likely += [
                pair for pair, is_alike in zip(part, alike.tolist(), strict=True) if is_alike
            ]
    return sorted(likely, key=lambda pair: pair.distance)


def _confirmed(pairs: Sequence[Pair], greys: Greys) -> list[Pair]:
    """Return the pairs whose pixels show the same."""
    rows = np.unique([row for pair in pairs for row in (pair.first, pair.second)]).astype(int)
    images = dict(greys(rows)) if len(rows) else {}
    confirmed = []
    with progress("comparing pairs", len(pairs)) as advance:
        for pair in pairs:
            advance()
            if pair.first in images and pair.second in images:
                like = likeness(images[pair.first], images[pair.second], turned=pair.turned)
                if like.is_same:
                    kept = replace(pair, turned=like.turned, correlation=like.whole)
                    confirmed.append(kept)
    return confirmed


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


def _hash(place: Place) -> tuple[str, int, int, tuple[int, int], np.ndarray] | str:
    from imagehash import phash

    try:
        image = open_image(place)
    except BadImageError as error:
        return str(error)
    # With the size: the same bytes in another shape are another picture.
    digest = hashlib.sha256(f"{image.size}".encode() + image.tobytes()).hexdigest()
    grey = reduce_grey(image)
    small = grey.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    bits = phash(small).hash.ravel()
    perceptual = int.from_bytes(np.packbits(bits).tobytes(), "big")
    turned = int(turned_hashes(low_cosines(small)[None])[0])
    return digest, perceptual, turned, image.size, squash(grey, COARSE_SIDE)
