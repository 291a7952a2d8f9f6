"""From a patient's lesions to the patient's phenotype: pooling over ragged sets.

The mean is the paper's (as reported in its reviews, docs/slimp.md). A mean drowns one
malignant lesion among hundreds, hence two alternatives: gated attention (Ilse et al.,
"Attention-based Deep Multiple Instance Learning", ICML 2018, eq. 9) and mean beside maximum.

All map values `(m, d)` and segments `(m,)` to `(p, e)`.

Shapes: m lesions, p patients, d width, e width of the phenotype.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from typing_extensions import override

from toolkit_slimp.architecture import Phenotype

HIDDEN_DIM = 128  # Ilse et al. use 64 to 128


class MeanPhenotype(nn.Module):
    """The mean of a patient's lesions."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.out_dim = dim

    @override
    def forward(
        self, values: Float[Tensor, "m d"], segments: Int[Tensor, " m"], num_segments: int
    ) -> Float[Tensor, "p d"]:
        return segment_mean(values, segments, num_segments)


class MeanMaxPhenotype(nn.Module):
    """The mean of a patient's lesions beside the maximum of each feature: e is 2 d."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.out_dim = 2 * dim

    @override
    def forward(
        self, values: Float[Tensor, "m d"], segments: Int[Tensor, " m"], num_segments: int
    ) -> Float[Tensor, "p e"]:
        means = segment_mean(values, segments, num_segments)
        return torch.cat([means, segment_max(values, segments, num_segments)], dim=1)


class AttentionPhenotype(nn.Module):
    """A mean of a patient's lesions weighted by gated attention."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.out_dim = dim
        self.content = nn.Linear(dim, HIDDEN_DIM)
        self.gate = nn.Linear(dim, HIDDEN_DIM)
        self.score = nn.Linear(HIDDEN_DIM, 1)

    @override
    def forward(
        self, values: Float[Tensor, "m d"], segments: Int[Tensor, " m"], num_segments: int
    ) -> Float[Tensor, "p d"]:
        scores = self.score(self.content(values).tanh() * self.gate(values).sigmoid())
        shares = segment_softmax(scores.squeeze(1), segments, num_segments).to(values.dtype)
        sums = values.new_zeros(num_segments, values.shape[1])
        # Summed flat: a patient of one lesion and one of 9,000 need no padding to a common length.
        return sums.index_add(0, segments, shares.unsqueeze(1) * values)


PHENOTYPES: dict[Phenotype, type[nn.Module]] = {
    "mean": MeanPhenotype,
    "attention": AttentionPhenotype,
    "mean_max": MeanMaxPhenotype,
}


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
    # Not `bincount`, which asks the device for the largest segment.
    counts = values.new_zeros(num_segments).index_add(0, segments, values.new_ones(len(values)))
    return sums / counts.unsqueeze(1)


def segment_max(
    values: Float[Tensor, "m d"], segments: Int[Tensor, " m"], num_segments: int
) -> Float[Tensor, "p d"]:
    """Return each segment's largest value of each column; ties share the gradient evenly."""
    # Below every value, as features may be negative.
    start = values.new_full((num_segments, values.shape[1]), -torch.inf)
    index = segments.unsqueeze(1).expand_as(values)
    return start.scatter_reduce(0, index, values, reduce="amax")


def segment_softmax(
    scores: Float[Tensor, " m"], segments: Int[Tensor, " m"], num_segments: int
) -> Float[Tensor, " m"]:
    """Return the softmax of each segment's scores, in fp32 or wider."""
    wide = scores.to(torch.promote_types(scores.dtype, torch.float32))
    # It cancels out of the shares, so that no gradient need go through it.
    largest = segment_max(wide.detach().unsqueeze(1), segments, num_segments)[segments, 0]
    powers = (wide - largest).exp()
    sums = powers.new_zeros(num_segments).index_add(0, segments, powers)
    return powers / sums[segments]
