"""Attention maps of a head, and what can be counted on them.

More queries than colours are grouped once for all images (docs/poolings.md): maps of all, side
by side, unit length, eight clusters on the sphere; the first centre is the query of the most even
map, the next ones are the farthest from those before; a group's map is the mean of its queries'.

Shapes: b images, q queries, g groups, n tokens, (gh, gw) patch grid.
"""

import numpy as np
import torch

from toolkit_common.features.contract import Features
from toolkit_common.printable import counted
from toolkit_probing.heads.head import Head
from toolkit_probing.heads.inputs import base_of, read_source
from toolkit_probing.probes import AttentivePool

BATCH = 16
MAX_GROUPS = 8
LLOYD_STEPS = 25
ALMOST_EVEN = 1.5  # times an even share: what is below says nothing of where; our choice


@torch.no_grad()
def attention_maps(head: Head, features: Features, source: str) -> np.ndarray:
    """Return the attention on the patches `(b, q, gh, gw)`; a class token's share is left out.

    Args:
        head: A head with maps.
        features: Of some images.
        source: What it reads of them, metadata beside the tokens or not.
    """
    assert isinstance(head.pool, AttentivePool)
    tokens, grid = read_source(features, base_of(source)), features.grid
    attention = torch.cat([head.pool.attention(part.float()) for part in tokens.split(BATCH)])
    # A class token, where one is read, stands in front.
    patches = attention[..., -grid[0] * grid[1] :]
    return patches.unflatten(-1, grid).cpu().numpy()


def group_queries(maps: np.ndarray, num_groups: int = MAX_GROUPS) -> np.ndarray:
    """Return the group of each query `(q,)`; each its own where there are no more than groups.

    Args:
        maps: Attention of all images `(b, q, gh, gw)`, or of another shape `(b, q, ...)`.
        num_groups: At most so many.
    """
    num_queries = maps.shape[1]
    if num_queries <= num_groups:
        return np.arange(num_queries)
    rows = np.moveaxis(maps, 1, 0).reshape(num_queries, -1).astype(np.float64)
    shares = rows / rows.sum(1, keepdims=True)
    entropy = -(shares * np.log(np.maximum(shares, 1e-30))).sum(1)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    chosen = [int(entropy.argmax())]
    while len(chosen) < num_groups:
        # The query whose nearest centre is farthest.
        chosen.append(int((rows @ rows[chosen].T).max(1).argmin()))
    centres = rows[chosen]
    for _ in range(LLOYD_STEPS):
        groups = (rows @ centres.T).argmax(1)
        # Groups that have become empty keep their centre, and vanish below.
        for group in np.unique(groups):
            centre = rows[groups == group].sum(0)
            centres[group] = centre / np.linalg.norm(centre)
    return np.unique((rows @ centres.T).argmax(1), return_inverse=True)[1]


def group_maps(maps: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return the mean map of each group `(b, g, gh, gw)`."""
    return np.stack([maps[:, groups == group].mean(1) for group in range(groups.max() + 1)], axis=1)


def count_queries(maps: np.ndarray, shown: np.ndarray) -> str:
    """Return in words how many queries there are, and in how many groups they are shown."""
    groups = f" in {counted(shown.shape[1], 'group')}" if shown.shape[1] < maps.shape[1] else ""
    return f"{counted(maps.shape[1], 'query', 'queries')}{groups}"


def peak_to_even(maps: np.ndarray) -> float:
    """Return how many times an even share the strongest patch gets, at most over the maps."""
    return float((maps / maps.mean(axis=(-2, -1), keepdims=True)).max())
