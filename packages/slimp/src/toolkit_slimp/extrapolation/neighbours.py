"""The nearest lesions of a reference, and nobody who may be the same person.

Who is whom is told by keyed digests (`toolkit_common.seen.identities`): two lesions are related if
they share one, or are each related to a third. A copy of a query's image under another name in the
reference so takes all lesions of that patient with it.

Shapes: n queries, m reference lesions, d feature width, k neighbours.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt64
from torch import Tensor

CHUNK_ELEMENTS = 1 << 25  # similarities held at once: 128 MiB in fp32

Identities = Sequence[UInt64[np.ndarray, " _"]]


@dataclass(frozen=True)
class Nearest:
    """The nearest lesions of each query, the nearest first.

    Attributes:
        places: In the reference; what stands where there are too few is of no meaning.
        similarity: Cosine; `-inf` where there are too few.
    """

    places: Int[np.ndarray, "n k"]
    similarity: Float[np.ndarray, "n k"]

    @property
    def is_found(self) -> Bool[np.ndarray, " n"]:
        """Which queries have a neighbour."""
        return np.isfinite(self.similarity[:, 0])

    def weights(self, temperature: float) -> Float[np.ndarray, "n k"]:
        """Return softmax weights of the similarities: 0 where there are too few."""
        # Subtracting the largest leaves the shares as they are and keeps exp finite.
        first = np.where(self.is_found, self.similarity[:, 0], 0.0)[:, None]
        raw = np.exp((self.similarity.astype(float) - first) / temperature)
        total = raw.sum(axis=1, keepdims=True)
        return np.asarray(np.divide(raw, total, out=np.zeros_like(raw), where=total > 0))


def relatives(
    queries: Identities, reference: Identities
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " m"]]:
    """Return a number for each query and each reference lesion, equal for those who are related.

    Args:
        queries: Digests of each query.
        reference: Digests of each reference lesion.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    everybody = [*queries, *reference]
    owners = np.repeat(np.arange(len(everybody)), [len(item) for item in everybody])
    _, names = np.unique(np.concatenate(everybody), return_inverse=True)
    # Lesions and digests are the nodes of one graph, an edge from each lesion to each of its own.
    size = len(everybody) + names.max(initial=-1) + 1
    edges = coo_array((np.ones(len(owners), bool), (owners, names + len(everybody))), (size, size))
    _, codes = connected_components(edges, directed=False)
    return codes[: len(queries)], codes[len(queries) : len(everybody)]


def nearest(
    queries: Float[Tensor, "n d"],
    reference: Float[Tensor, "m d"],
    kin: tuple[Int[np.ndarray, " n"], Int[np.ndarray, " m"]],
    *,
    usable: Bool[np.ndarray, " m"],
    k: int,
) -> Nearest:
    """Return the k nearest usable lesions of each query that are no relatives of it.

    Args:
        queries: Features, of unit length.
        reference: Features, of unit length.
        kin: What `relatives` has returned of both.
        usable: Which lesions may be a neighbour.
        k: How many; fewer where the reference has fewer.
    """
    rows = torch.from_numpy(np.flatnonzero(usable)).to(reference.device)
    count = min(k, len(rows))
    if not count:
        return Nearest(np.zeros((len(queries), 1), int), np.full((len(queries), 1), -np.inf))
    known = reference[rows]
    codes = [torch.from_numpy(item.astype(np.int64)).to(reference.device) for item in kin]
    theirs = codes[1][rows]
    places, similarity = [], []
    size = max(1, CHUNK_ELEMENTS // len(rows))
    for mine, features in zip(codes[0].split(size), queries.split(size), strict=True):
        cosine = features @ known.T
        cosine.masked_fill_(mine[:, None] == theirs[None], -torch.inf)
        near, index = cosine.topk(count, dim=1)
        places.append(rows[index].cpu().numpy())
        similarity.append(near.cpu().numpy())
    return Nearest(np.concatenate(places), np.concatenate(similarity))
