"""The nested loss: lesions with their metadata inside, patients with theirs outside.

Source: Christopoulos et al., "Skin Lesion Phenotyping via Nested Multi-modal Contrastive Learning",
arXiv 2505.23709: L = lambda L_lesions + (1 - lambda) L_patient, both InfoNCE; the patient's
phenotype is the mean over the patient's lesions (specs/slimp.md 1.2).

Shapes: m lesions, p patients, d width.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def info_nce(
    first: Float[Tensor, "m d"],
    second: Float[Tensor, "m d"],
    scale: Float[Tensor, ""] | float,
    *,
    positives: Bool[Tensor, "m m"] | None = None,
) -> Float[Tensor, ""]:
    """Return symmetric InfoNCE of paired, L2-normalised embeddings.

    Args:
        first: One modality.
        second: The other; row i of both is a pair.
        scale: `1 / temperature`.
        positives: Symmetric; which pairs count as matches, the diagonal by default. A row's target
            is spread evenly over its matches (multi-positive cross-entropy, specs/slimp.md 6.2).
    """
    logits = scale * first @ second.T
    if positives is None:
        positives = torch.eye(len(first), dtype=torch.bool, device=first.device)
    targets = positives.to(logits.dtype)
    rows = _cross_entropy(logits, targets)
    columns = _cross_entropy(logits.T, targets.T)
    return 0.5 * (rows + columns)


def segment_mean(
    values: Float[Tensor, "m d"], segments: Int[Tensor, " m"], num_segments: int
) -> Float[Tensor, "p d"]:
    """Average the rows of each segment; every segment must have one.

    Args:
        values: Rows.
        segments: Which segment each row belongs to, 0 to `num_segments - 1`.
        num_segments: Number of segments p.
    """
    sums = values.new_zeros(num_segments, values.shape[1]).index_add(0, segments, values)
    counts = torch.bincount(segments, minlength=num_segments).to(values.dtype)
    return sums / counts.unsqueeze(1)


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    shares = targets / targets.sum(dim=1, keepdim=True)
    return -(shares * logits.log_softmax(dim=1)).sum(dim=1).mean()
