"""How embeddings are spread: effective rank, alignment, uniformity, and whether they collapsed.

Sources: effective rank, Roy and Vetterli, "The Effective Rank" (EUSIPCO 2007), of embeddings that
are not centred as in RankMe (Garrido et al., ICML 2023), so that equal rows have rank 1; alignment
and uniformity, Wang and Isola (ICML 2020), equations 3 and 4 with alpha = 2, t = 2.

Shapes: m embeddings of unit length, d width.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

# Our choice: equal embeddings have rank 1 and uniformity 0, uniform ones min(m, d) and nearly -4.
# Seen in 22 short runs on the embedded lesions (ViT-Ti and EfficientNet-Lite0, temperatures 0.01 to
# 5, learning rates 10 to 1000 times ours): whatever collapsed ended at rank 1.0 to 1.2, uniformity
# -0.001 to 0, and passed 1.4 and -0.008 on the way; whatever trained stayed at rank 3.1 and
# uniformity -0.044 or wider. Missed: two runs that learned nothing and did not collapse either
# (EfficientNet at 100 times our rates, two patients a batch: rank 2.1 to 2.3, -0.02 to -0.03).
MIN_EFFECTIVE_RANK = 2.0
MAX_UNIFORMITY = -0.02
MIN_ROWS = 8  # fewer say nothing about a collapse


def effective_rank(embeddings: Float[Tensor, "m d"]) -> float:
    """Return exp of the entropy of the normalised singular values, in [1, min(m, d)]."""
    # float64: in a collapse all but one singular value are nearly 0, and that is what counts.
    values = torch.linalg.svdvals(embeddings.double())
    shares = values / values.sum()
    return float(torch.special.entr(shares).sum().exp())


def alignment(first: Float[Tensor, "m d"], second: Float[Tensor, "m d"]) -> float:
    """Return the mean squared distance of matching rows, in [0, 4]: less is nearer."""
    return float((first.double() - second.double()).square().sum(dim=1).mean())


def uniformity(embeddings: Float[Tensor, "m d"]) -> float:
    """Return log mean exp(-2 |x - y|^2) over pairs of rows: 0 for equal rows, less is wider.

    Raises:
        ValueError: If there is no pair.
    """
    if len(embeddings) < 2:
        raise ValueError(f"uniformity needs two embeddings, got {len(embeddings)}")
    squared = F.pdist(embeddings.double()).square()
    return float(torch.logsumexp(-2.0 * squared, dim=0) - math.log(len(squared)))


@torch.no_grad()
def describe_spread(
    first: Float[Tensor, "m d"], second: Float[Tensor, "m d"] | None, *, prefix: str = ""
) -> dict[str, float]:
    """Return effective rank and uniformity of `first`, and alignment of pairs, as values to log."""
    values = {} if second is None else {"alignment": alignment(first, second)}
    values["effective_rank"] = effective_rank(first)
    if len(first) > 1:
        values["uniformity"] = uniformity(first)
    return {f"{prefix}{name}": value for name, value in values.items()}


def collapse_warning(embeddings: Float[Tensor, "m d"]) -> str | None:
    """Return why embeddings count as collapsed, or None where they do not."""
    if len(embeddings) < MIN_ROWS:
        return None
    rank, width = effective_rank(embeddings), uniformity(embeddings)
    if rank >= MIN_EFFECTIVE_RANK and width <= MAX_UNIFORMITY:
        return None
    return (
        f"this run has collapsed: embeddings have effective rank {rank:.2f} (healthy from "
        f"{MIN_EFFECTIVE_RANK}), uniformity {width:.3f} (healthy to {MAX_UNIFORMITY}); "
        "lower --lr and --image-lr, or take more patients a batch"
    )
