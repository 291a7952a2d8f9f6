"""Weighted k-nearest-neighbour classification on frozen features, k and temperature in one go.

Source: Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance Discrimination" (CVPR
2018), section 3.4, as DINO uses it: cosine similarity, votes weighted by exp(sim / T). Right from
one query and two classes on, and for any k (k > m takes all m).

Shapes: m database rows, b queries, d width, c classes.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

# A product's sizes decide how it rounds: queries that are shared out in such chunks have the votes
# that they have together. With the rows below it bounds memory at 32 MiB in fp32.
CHUNK_QUERIES = 1 << 10
CHUNK_ROWS = 1 << 13  # database rows on the device at once
BLOCK_ELEMENTS = 1 << 26  # numbers of the queries for which the database is walked through once


def knn_probabilities(
    queries: Float[Tensor, "b d"],
    database: Float[Tensor, "m d"],
    targets: Int[Tensor, " m"],
    *,
    num_classes: int,
    ks: Sequence[int],
    temperatures: Sequence[float],
    weights: Float[Tensor, " m"] | None = None,
    device: torch.device | str = "cpu",
) -> dict[tuple[int, float], Float[Tensor, "b c"]]:
    """Return each query's share of votes per class, for every k and temperature.

    Queries and database may be larger than the device's memory: both are taken to it in pieces.

    Args:
        queries: Features to classify.
        database: Features with known classes.
        targets: Their classes.
        num_classes: Number of classes c.
        ks: Numbers of neighbours.
        temperatures: Softmax temperatures T; `inf` gives every neighbour one vote.
        weights: What the vote of each database row counts; None for 1 each.
        device: Where to compute; the votes are returned on the queries' own.
    """
    if weights is not None:
        counts = weights > 0  # else all neighbours of a query may be without a vote
        database, targets, weights = database[counts], targets[counts], weights[counts]
    most = min(max(ks), len(database))
    targets = targets.to(device)
    if weights is not None:
        weights = weights.to(device, queries.dtype)  # once, and not for every k and temperature
    votes: dict[tuple[int, float], list[Tensor]] = {(k, t): [] for k in ks for t in temperatures}
    # The database travels once for so many queries, which are usually all.
    num_chunks = max(1, BLOCK_ELEMENTS // (queries.shape[1] * CHUNK_QUERIES))
    for block in queries.split(num_chunks * CHUNK_QUERIES):
        chunks = block.to(device).split(CHUNK_QUERIES)
        for similarity, rows in _nearest(chunks, database, most=most):
            classes = targets[rows]
            for k, temperature in votes:
                # Subtracting the largest leaves the shares as they are and keeps exp finite.
                share_of_each = ((similarity[:, :k] - similarity[:, :1]) / temperature).exp()
                if weights is not None:
                    share_of_each = share_of_each * weights[rows[:, :k]]
                total = share_of_each.new_zeros(len(rows), num_classes)
                # Added up: neighbours share classes, and plain indexing would keep one vote each.
                total.scatter_add_(1, classes[:, :k], share_of_each)
                share = total / total.sum(dim=1, keepdim=True)
                votes[k, temperature].append(share.to(queries.device))
    return {setting: torch.cat(parts) for setting, parts in votes.items()}


def _nearest(
    queries: Sequence[Tensor], database: Tensor, *, most: int
) -> list[tuple[Tensor, Tensor]]:
    """Return similarity and number of each query's nearest rows `(b, most)`, the nearest first.

    Args:
        queries: In pieces, each of which is multiplied at once.
        database: What is taken to their device in pieces, each once.
        most: How many to return.
    """
    chunks = [F.normalize(chunk, dim=1) for chunk in queries]
    best = [chunk.new_empty(len(chunk), 0) for chunk in chunks]
    nearest = [torch.empty(item.shape, dtype=torch.int64, device=item.device) for item in best]
    # The nearest of all are among the nearest of each piece: `most` a query is all that is held.
    for at, rows in zip(
        range(0, len(database), CHUNK_ROWS), database.split(CHUNK_ROWS), strict=True
    ):
        piece = F.normalize(rows.to(chunks[0].device), dim=1).T
        for number, chunk in enumerate(chunks):
            near, index = (chunk @ piece).topk(min(most, len(rows)), dim=1)
            seen = torch.cat([nearest[number], index + at], dim=1)
            # The nearest so far stand first, each piece is held against them.
            both = torch.cat([best[number], near], dim=1)
            best[number], index = both.topk(min(most, seen.shape[1]), dim=1)
            nearest[number] = seen.gather(1, index)
    return [*zip(best, nearest, strict=True)]
