"""How well a search finds what belongs together: by label among images, and between modalities.

No order among equal similarities is known, and none is made up: precision at k is its mean over all
orders of what ties at the k-th place, average precision takes all that ties at once (as
scikit-learn's `average_precision_score` does), and recall of pairs counts a tie as a hit.

Shapes: b queries, m database rows, d width.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from toolkit_common.scores.statistics import (
    MOSTLY_UNDEFINED,
    ONE_GROUP,
    SHIFTED,
    UNDEFINED,
    Estimate,
    chunks_of_weights,
    defined,
    interval,
    is_mostly_defined,
)

CHUNK_ELEMENTS = 1 << 24  # similarities held at once; sorting them takes four times that
AVERAGE = "average_precision"

Pair = tuple[Int[Tensor, " b"], Int[Tensor, " m"]]


def retrieve_by_label(
    queries: Float[Tensor, "b d"],
    database: Float[Tensor, "m d"],
    labels: Pair,
    *,
    ks: Sequence[int],
    groups: Pair | None = None,
) -> Mapping[str, Float[Tensor, " b"]]:
    """Search a database with queries by cosine, and see whose label comes first.

    Args:
        queries: Features that search.
        database: Features that are searched.
        labels: Of both.
        ks: How many of the nearest precision looks at.
        groups: Of both, such as patients: nobody is found by the own group, itself included. None
            where no query is in the database.

    Returns:
        A value a query, in [0, 1], NaN where there is none: `precision_at_K`, the share of the K
        nearest (of fewer candidates all) with the query's label; `average_precision`, the mean
        precision at the places of those with the query's label.
    """
    known = F.normalize(database.float(), dim=1)
    size = max(1, CHUNK_ELEMENTS // max(1, len(database)))
    values: dict[str, list[Tensor]] = {
        name: [] for name in (*(f"precision_at_{k}" for k in ks), AVERAGE)
    }
    for rows in torch.arange(len(queries)).split(size):
        cosine = F.normalize(queries[rows].float(), dim=1) @ known.T
        is_candidate = torch.ones_like(cosine, dtype=torch.bool)
        if groups is not None:
            is_candidate = groups[0][rows, None] != groups[1][None]
        hits = (labels[0][rows, None] == labels[1][None]) & is_candidate
        cosine = cosine.masked_fill(~is_candidate, -torch.inf)
        ordered, order = cosine.sort(dim=1, descending=True, stable=True)
        hits = hits.gather(1, order)
        for k in ks:
            own = _precision(ordered, hits, is_candidate.sum(dim=1), k=k)
            values[f"precision_at_{k}"].append(own)
        values[AVERAGE].append(_average_precision(ordered, hits))
    return {name: torch.cat(parts) for name, parts in values.items()}


def mean_by_label(values: np.ndarray, labels: np.ndarray) -> dict[int, float | None]:
    """Return the mean over the queries of each label, undefined ones left out; None without any.

    Of average precision that is mAP by label, and its mean over labels weighs rare ones alike.
    """
    known = ~np.isnan(values)
    return {
        int(label): float(values[mine & known].mean()) if (mine & known).any() else None
        for label in np.unique(labels)
        for mine in [labels == label]
    }


def estimate_by_label(
    runs: Sequence[np.ndarray], labels: np.ndarray, groups: np.ndarray, *, seed: int = 0
) -> Estimate:
    """Estimate the mean over labels of the mean over each label's queries, undefined ones left out.

    Args:
        runs: A value a query, one array a repeat.
        labels: Of the queries; each that has a defined query counts alike.
        groups: Group of each, which the bootstrap draws whole.
        seed: Of the bootstrap.
    """
    ones = np.ones((1, len(labels)))
    values = np.array([_macro(run, labels, ones)[0] for run in runs])
    drawn = np.concatenate(
        [[], *(np.mean([_macro(run, labels, weights) for run in runs], axis=0)
               for _, weights in chunks_of_weights(groups, seed))]
    )  # fmt: skip
    mean = defined(values.mean())
    ci = interval(drawn, mean)
    why = SHIFTED if is_mostly_defined(drawn) else MOSTLY_UNDEFINED
    why = ONE_GROUP if np.unique(groups).size < 2 else why
    return Estimate(
        mean=mean,
        sd=defined(values.std(ddof=1)) if len(runs) > 1 else None,
        ci=ci,
        values=tuple(defined(value) for value in values),
        resamples=len(drawn),
        why_no_ci=None if ci else UNDEFINED if mean is None else why,
    )


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


def _macro(values: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the mean over labels in each of some resamples `(r, b)`; NaN where one is absent."""
    known = ~np.isnan(values)
    means = []
    for label in np.unique(labels[known]):
        mine = known & (labels == label)
        total = weights[:, mine].sum(axis=1)
        # A resample without one of the labels has no mean over them, as balanced accuracy has none.
        share = weights[:, mine] @ values[mine] / np.where(total > 0, total, np.nan)
        means.append(share)
    return np.mean(means, axis=0) if means else np.full(len(weights), np.nan)


def _precision(ordered: Tensor, hits: Tensor, num_candidates: Tensor, *, k: int) -> Tensor:
    """Return precision at k of each row; what ties at the last place counts by its mean."""
    count = num_candidates.clamp(max=k)
    last = ordered.gather(1, (count - 1).clamp(min=0)[:, None])
    above, tied = ordered > last, ordered == last
    share = (hits & tied).sum(dim=1) / tied.sum(dim=1)
    found = (hits & above).sum(dim=1) + (count - above.sum(dim=1)) * share
    return torch.where(count > 0, found / count, torch.nan)


def _average_precision(ordered: Tensor, hits: Tensor) -> Tensor:
    """Return average precision of each row; what ties is read at once."""
    width = ordered.shape[1]
    places = torch.arange(width).expand_as(ordered)
    is_end = torch.ones_like(hits)
    is_end[:, :-1] = ordered[:, :-1] != ordered[:, 1:]
    # Of each place the last one that ties with it: the smallest end from there on.
    ends = torch.where(is_end, places, width).flip(1).cummin(dim=1).values.flip(1)
    shares = hits.double().cumsum(dim=1) / (places + 1)
    # 0 / 0 is NaN: undefined where nothing could be found.
    return ((hits * shares.gather(1, ends)).sum(dim=1) / hits.sum(dim=1)).float()
