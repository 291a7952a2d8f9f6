"""The contrastive losses: pairs of two modalities, and two views of one image.

Source: Christopoulos et al., "Skin Lesion Phenotyping via Nested Multi-modal Contrastive Learning",
arXiv 2505.23709: L = lambda L_lesions + (1 - lambda) L_patient, both InfoNCE (docs/slimp.md).
The optional image term is SimCLR's NT-Xent (Chen et al., ICML 2020, eq. 1).

Shapes: m pairs, d width.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def info_nce(
    first: Float[Tensor, "m d"],
    second: Float[Tensor, "m d"],
    scale: Float[Tensor, ""] | float,
    *,
    positives: Bool[Tensor, "m m"] | None = None,
    ignored: Bool[Tensor, "m m"] | None = None,
) -> Float[Tensor, ""]:
    """Return symmetric InfoNCE of paired, L2-normalised embeddings.

    Args:
        first: One modality.
        second: The other; row i of both is a pair.
        scale: `1 / temperature`.
        positives: Symmetric; which pairs count as matches, the diagonal by default. A row's target
            is spread evenly over its matches (multi-positive cross-entropy, docs/slimp.md).
        ignored: Symmetric; which pairs are no negatives of each other; matches stay matches.
    """
    logits = scale * first @ second.T
    if positives is None:
        positives = torch.eye(len(first), dtype=torch.bool, device=first.device)
    if ignored is not None:
        # Out of the denominator, not out of the matches: two photographs of a lesion still find
        # theirs.
        logits = logits.masked_fill(ignored & ~positives, -torch.inf)
    rows = _cross_entropy(logits, positives)
    columns = _cross_entropy(logits.T, positives.T)
    return 0.5 * (rows + columns)


def nt_xent(
    first: Float[Tensor, "m d"],
    second: Float[Tensor, "m d"],
    scale: Float[Tensor, ""] | float,
    *,
    ignored: Bool[Tensor, "m m"] | None = None,
) -> Float[Tensor, ""]:
    """Return SimCLR's loss of two views: each of the 2m embeddings looks for its other view.

    Args:
        first: L2-normalised embeddings of one view.
        second: Those of the other; row i of both is one image.
        scale: `1 / temperature`.
        ignored: Symmetric; which images are no negatives of each other.
    """
    count = len(first)
    both = torch.cat([first, second])
    itself = torch.eye(2 * count, dtype=torch.bool, device=both.device)
    # The other view of row i lies `count` rows on, in either half.
    positives = itself.roll(count, 0)
    # Nothing is nearer to an embedding than itself: left in, it would win every row.
    logits = (scale * both @ both.T).masked_fill(itself, -torch.inf)
    if ignored is not None:
        # Both halves show the same images.
        logits = logits.masked_fill(ignored.repeat(2, 2) & ~positives, -torch.inf)
    return _cross_entropy(logits, positives)


def equal_pairs(codes: Tensor) -> Bool[Tensor, "m m"]:
    """Return which rows have equal codes `(m,)` or equal rows of codes `(m, k)`."""
    rows = codes.unsqueeze(1) if codes.ndim == 1 else codes
    return (rows.unsqueeze(0) == rows.unsqueeze(1)).all(dim=2)


def _cross_entropy(logits: Tensor, positives: Tensor) -> Tensor:
    """Mean over rows of the mean over a row's matches; what is at minus infinity is no match."""
    # Filled before the sum: an ignored pair is at minus infinity, and 0 times that is NaN.
    log_shares = logits.log_softmax(dim=1).masked_fill(~positives, 0.0)
    return -(log_shares.sum(dim=1) / positives.sum(dim=1)).mean()
