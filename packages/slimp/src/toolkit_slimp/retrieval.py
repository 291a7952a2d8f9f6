"""How well pairs find each other: recall of image -> metadata and back, ties counted as hits."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def recall_at(
    first: Float[Tensor, "m d"],
    second: Float[Tensor, "m d"],
    k: int,
    *,
    positives: Bool[Tensor, "m m"] | None = None,
) -> float:
    """Return the share of rows of `first` that find a match in `second` among their k nearest.

    A rank is the number of non-matches that are strictly nearer than the nearest match, so that a
    tie counts as a hit (specs/traps.md 18).

    Args:
        first: Normalised embeddings that ask.
        second: Normalised embeddings that answer.
        k: How many answers are looked at.
        positives: Which pairs match; the diagonal by default.
    """
    similarity = first.float() @ second.float().T
    if positives is None:
        positives = torch.eye(len(first), dtype=torch.bool, device=first.device)
    best = similarity.masked_fill(~positives, -torch.inf).amax(dim=1, keepdim=True)
    ranks = ((similarity > best) & ~positives).sum(dim=1)
    return float((ranks < k).float().mean())
