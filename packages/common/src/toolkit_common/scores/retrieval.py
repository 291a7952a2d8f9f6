"""How well a search finds what belongs together: by label among images, and between modalities.

No order among equal similarities is known, and none is made up: precision at k is its mean over all
orders of what ties at the k-th place, average precision takes all that ties at once (as
scikit-learn's `average_precision_score` does), and recall of pairs counts a tie as a hit.

Shapes: b queries, m database rows, d width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

CHUNK_ELEMENTS = 1 << 24  # similarities held at once; sorting them takes four times that

Pair = tuple[Int[Tensor, " b"], Int[Tensor, " m"]]


@dataclass(frozen=True)
class LabelRetrieval:
    """How well images of a query's label are found, a value a query; NaN where there is none.

    Attributes:
        precision: k -> share of the k nearest with the query's label, in [0, 1]; of fewer than k
            candidates their share.
        average_precision: Mean precision at the places of those with the query's label, in [0, 1].
    """

    precision: Mapping[int, Float[Tensor, " b"]]
    average_precision: Float[Tensor, " b"]


def retrieve_by_label(
    queries: Float[Tensor, "b d"],
    database: Float[Tensor, "m d"],
    labels: Pair,
    *,
    ks: Sequence[int],
    groups: Pair | None = None,
) -> LabelRetrieval:
    """Search a database with queries by cosine, and see whose label comes first.

    Args:
        queries: Features that search.
        database: Features that are searched.
        labels: Of both.
        ks: How many of the nearest precision looks at.
        groups: Of both, such as patients: nobody is found by the own group, itself included. None
            where no query is in the database.
    """
    known = F.normalize(database.float(), dim=1)
    size = max(1, CHUNK_ELEMENTS // max(1, len(database)))
    precision: dict[int, list[Tensor]] = {k: [] for k in ks}
    averages = []
    for rows in torch.arange(len(queries)).split(size):
        cosine = F.normalize(queries[rows].float(), dim=1) @ known.T
        is_candidate = torch.ones_like(cosine, dtype=torch.bool)
        if groups is not None:
            is_candidate = groups[0][rows, None] != groups[1][None]
        hits = (labels[0][rows, None] == labels[1][None]) & is_candidate
        cosine = cosine.masked_fill(~is_candidate, -torch.inf)
        ordered, order = cosine.sort(dim=1, descending=True, stable=True)
        found = hits.gather(1, order)
        for k, parts in precision.items():
            parts.append(_precision(ordered, found, is_candidate.sum(dim=1), k=k))
        averages.append(_average_precision(ordered, found))
    return LabelRetrieval(
        {k: torch.cat(parts) for k, parts in precision.items()}, torch.cat(averages)
    )


def mean_by_label(values: Float[Tensor, " b"], labels: Int[Tensor, " b"]) -> dict[int, float]:
    """Return the mean over the queries of each label, undefined ones left out; NaN without any.

    Of average precision that is mAP by label, and its mean over labels weighs rare ones alike.
    """
    return {
        int(label): float(values[labels == label].nanmean()) for label in labels.unique().tolist()
    }


def recall_at(
    first: Float[Tensor, "m d"],
    second: Float[Tensor, "m d"],
    k: int,
    *,
    positives: Bool[Tensor, "m m"] | None = None,
) -> float:
    """Return the share of rows of `first` that find a match in `second` among their k nearest.

    Args:
        first: Normalised embeddings that search, such as those of images.
        second: Normalised embeddings that are searched, such as those of the images' metadata.
        k: How many of the nearest are looked at.
        positives: Which pairs match; the diagonal by default.
    """
    return float((match_ranks(first, second, positives=positives) < k).float().mean())


def match_ranks(
    first: Float[Tensor, "m d"],
    second: Float[Tensor, "m d"],
    *,
    positives: Bool[Tensor, "m m"] | None = None,
) -> Int[Tensor, " m"]:
    """Return how many non-matches are strictly nearer to each row than its nearest match.

    So that a tie counts as a hit (docs/traps.md 18); arguments as `recall_at`.
    """
    # In half precision near ones would tie, and ties are hits.
    similarity = first.float() @ second.float().T
    if positives is None:
        positives = torch.eye(len(first), dtype=torch.bool, device=first.device)
    # The nearest match decides: who has identical metadata cannot be told apart by them.
    best = similarity.masked_fill(~positives, -torch.inf).amax(dim=1, keepdim=True)
    return ((similarity > best) & ~positives).sum(dim=1)


def _precision(ordered: Tensor, found: Tensor, num_candidates: Tensor, *, k: int) -> Tensor:
    """Return precision at k of each row; what ties at the last place counts by its mean."""
    count = num_candidates.clamp(max=k)
    last = ordered.gather(1, (count - 1).clamp(min=0)[:, None])
    above, tied = ordered > last, ordered == last
    open_places = count - above.sum(dim=1)
    share = (found & tied).sum(dim=1) / tied.sum(dim=1)
    hits = (found & above).sum(dim=1) + open_places * share
    return torch.where(count > 0, hits / count, torch.nan)


def _average_precision(ordered: Tensor, found: Tensor) -> Tensor:
    """Return average precision of each row; what ties is read at once."""
    width = ordered.shape[1]
    places = torch.arange(width).expand_as(ordered)
    is_end = torch.ones_like(found)
    is_end[:, :-1] = ordered[:, :-1] != ordered[:, 1:]
    # Of each place the last one that ties with it: the smallest end from there on.
    ends = torch.where(is_end, places, width).flip(1).cummin(dim=1).values.flip(1)
    shares = found.double().cumsum(dim=1) / (places + 1)
    total = found.sum(dim=1)
    # 0 / 0 is NaN: undefined where nothing could be found.
    return ((found * shares.gather(1, ends)).sum(dim=1) / total).float()
