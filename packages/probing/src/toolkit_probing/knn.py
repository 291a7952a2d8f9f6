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

CHUNK_ELEMENTS = 1 << 25  # similarities held at once: bounds memory at 128 MiB in fp32


def knn_probabilities(
    queries: Float[Tensor, "b d"],
    database: Float[Tensor, "m d"],
    targets: Int[Tensor, " m"],
    *,
    num_classes: int,
    ks: Sequence[int],
    temperatures: Sequence[float],
) -> dict[tuple[int, float], Float[Tensor, "b c"]]:
    """Return each query's share of votes per class, for every k and temperature.

    Args:
        queries: Features to classify.
        database: Features with known classes.
        targets: Their classes.
        num_classes: Number of classes c.
        ks: Numbers of neighbours.
        temperatures: Softmax temperatures T; `inf` gives every neighbour one vote.
    """
    database = F.normalize(database, dim=1)
    queries = F.normalize(queries, dim=1)
    most = min(max(ks), len(database))
    size = max(1, CHUNK_ELEMENTS // len(database))
    votes: dict[tuple[int, float], list[Tensor]] = {(k, t): [] for k in ks for t in temperatures}
    for chunk in queries.split(size):
        similarity, index = (chunk @ database.T).topk(most, dim=1)
        classes = targets[index]  # (b, k)
        for k, temperature in votes:
            # Subtracting the largest leaves the shares as they are and keeps exp finite.
            weights = ((similarity[:, :k] - similarity[:, :1]) / temperature).exp()
            total = weights.new_zeros(len(chunk), num_classes)
            total.scatter_add_(1, classes[:, :k], weights)
            votes[k, temperature].append(total / total.sum(dim=1, keepdim=True))
    return {setting: torch.cat(parts) for setting, parts in votes.items()}
