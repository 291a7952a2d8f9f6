"""What can be counted on attention maps, image by image, and against masks (docs/attention.md).

Every function takes shares: attention on the patches, of each query made to sum to 1. What is
undefined (overlap of one query, entropy of one patch, an empty mask) is NaN.

Shapes: b images, q queries, n patches, g groups, (gh, gw) patch grid.
"""

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float

MOSTLY = 0.5  # of a patch inside the mask: it then counts as inside

Shares = Float[np.ndarray, "b q n"]
Mask = Float[np.ndarray, "b n"]  # share of each patch that lies inside
Figures = dict[str, np.ndarray]  # statistic -> `(b,)`


def shares_of(maps: Float[np.ndarray, "b q gh gw"]) -> Shares:
    """Return maps as shares in float64, patches in one row."""
    rows = maps.reshape(*maps.shape[:2], -1).astype(np.float64)
    with np.errstate(invalid="ignore"):  # a class token may have taken all: 0 / 0
        shares: Shares = rows / rows.sum(-1, keepdims=True)
    return shares


def entropy(shares: Shares) -> np.ndarray:
    """Return the mean entropy of the queries, as a share of that of an even map."""
    if shares.shape[-1] == 1:
        return np.full(len(shares), np.nan)
    return _entropy(shares).mean(-1) / np.log(shares.shape[-1])


def peak(shares: Shares) -> np.ndarray:
    """Return the strongest patch as a multiple of an even share, the mean over queries."""
    return shares.max(-1).mean(-1) * shares.shape[-1]


def overlap(shares: Shares) -> np.ndarray:
    """Return what two queries have in common, `sum_n min(a_n, b_n)`, the mean over all pairs."""
    num_queries = shares.shape[1]
    if num_queries == 1:
        return np.full(len(shares), np.nan)
    # Sorted by size, a share is the smaller one against all that come after it.
    larger = np.arange(num_queries)[::-1, None]
    common = (np.sort(shares, axis=1) * larger).sum((1, 2))
    return common / (num_queries * (num_queries - 1) / 2)


def coverage(shares: Shares) -> np.ndarray:
    """Return the effective share of patches that all queries together read."""
    return np.exp(_entropy(shares.mean(1))) / shares.shape[-1]


def effective_queries(shares: Shares) -> np.ndarray:
    """Return how many different queries there are: 1 where all are alike, q where none meet.

    The Vendi score (Friedman and Dieng, 2023) of the maps by their Bhattacharyya coefficients.
    """
    roots = np.sqrt(shares)
    similar = roots @ roots.swapaxes(1, 2) / shares.shape[1]
    undefined = ~np.isfinite(similar).all((1, 2))
    values = np.linalg.eigvalsh(np.where(undefined[:, None, None], 0.0, similar))
    # Rounding leaves some a little below zero.
    numbers = np.exp(_entropy(values.clip(0.0)))
    return np.where(undefined, np.nan, numbers)


def pointing(shares: Shares, mask: Mask) -> np.ndarray:
    """Return whether the strongest patch of all queries' mean map lies inside (0 or 1).

    Of equally strong ones it is the share that does.
    """
    joint = shares.mean(1)
    strongest = joint == joint.max(-1, keepdims=True)
    inside = mask >= MOSTLY
    hits = (strongest & inside).sum(-1) / np.maximum(strongest.sum(-1), 1)
    return _where_known(hits, shares, mask)


def iou(shares: Shares, mask: Mask) -> np.ndarray:
    """Return intersection over union of the mask and as many of the strongest patches.

    Strongest by all queries' mean map; what is equally strong at the end shares the last places.
    """
    joint, area = shares.mean(1), mask.sum(-1)
    count = np.maximum(1, area.round()).astype(int)
    last = np.take_along_axis(-np.sort(-joint, axis=-1), count[:, None] - 1, -1)
    above, level = joint > last, joint == last
    rest = (count - above.sum(-1)) / np.maximum(level.sum(-1), 1)
    chosen = above + level * rest[:, None]
    common = (chosen * mask).sum(-1)
    return _where_known(common / (count + area - common), shares, mask)


def inside(shares: Shares, mask: Mask) -> np.ndarray:
    """Return the share of attention inside the mask, the mean over queries."""
    return _where_known((shares.mean(1) * mask).sum(-1), shares, mask)


def area(shares: Shares, mask: Mask) -> np.ndarray:
    """Return the share of the image inside the mask: what an even map has of `inside`."""
    return _where_known(mask.mean(-1), shares, mask)


OF_MAPS: Mapping[str, Callable[[Shares], np.ndarray]] = {
    "entropy": entropy,
    "peak": peak,
    "overlap": overlap,
    "coverage": coverage,
    "effective_queries": effective_queries,
}
OF_MASKS: Mapping[str, Callable[[Shares, Mask], np.ndarray]] = {
    "pointing": pointing,
    "iou": iou,
    "inside": inside,
    "area": area,
}


def statistics_of(maps: Float[np.ndarray, "b q gh gw"], mask: Mask | None) -> Figures:
    """Return every statistic of some images.

    Args:
        maps: Attention.
        mask: Share of each patch inside the image's mask, NaN for images that have none; None
            where no masks were requested.
    """
    shares = shares_of(maps)
    figures = {name: count(shares) for name, count in OF_MAPS.items()}
    if mask is not None:
        # None is as an empty one: there is nothing to meet.
        known = np.nan_to_num(mask)
        figures |= {name: count(shares, known) for name, count in OF_MASKS.items()}
    return figures


def _entropy(shares: np.ndarray) -> np.ndarray:
    """Return the entropy of the last axis in nats; 0 log 0 is 0."""
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    return -(shares * logs).sum(-1)


def _where_known(values: np.ndarray, shares: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return NaN for images without a mask, with an empty one, or without maps."""
    known = np.isfinite(shares).all((1, 2)) & (mask.sum(-1) > 0)
    return np.where(known, values, np.nan)
