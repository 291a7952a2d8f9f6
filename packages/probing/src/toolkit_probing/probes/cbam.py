"""CBAM as a probe: a channel gate, then a spatial gate over the patch grid.

Source: Woo et al., "CBAM: Convolutional Block Attention Module" (ECCV 2018), arXiv 1807.06521;
equations in docs/poolings.md: channel gate `sigma(M(avg X) + M(max X))`, M of two layers without
biases, a 16th wide; on its output, spatial gate `sigma(BN(conv7x7([mean_c; max_c])))`;
`y = mean_n relu(X gates + X)`. Gates are positive, so that this is `relu(X) (1 + gates)`: two sums
over rectified tokens, and nothing of their size is kept for the backward pass.

Shapes: b batch, n tokens, d token width, o output width (= d), (gh, gw) grid.
"""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import override

from toolkit_common.errors import InputError
from toolkit_common.training.distributed import BatchNorm
from toolkit_probing.probes import gemm
from toolkit_probing.probes.base import Pool

REDUCTION = 16
KERNEL = 7


class Cbam(Pool):
    """Pool gated tokens.

    Args:
        dim: Token width d.
        grid: Patch grid (gh, gw) with n = gh * gw.

    Raises:
        InputError: If `dim` is below 16, or (when called) the tokens are not those of the grid.
    """

    title: ClassVar[str] = "CBAM"
    source: ClassVar[str] = "Woo et al., 2018"
    needs_grid: ClassVar[bool] = True

    def __init__(self, dim: int, *, grid: tuple[int, int]) -> None:
        super().__init__()
        if dim < REDUCTION:
            raise InputError(f"method cbam needs tokens of width {REDUCTION} or more, got {dim=}")
        self.out_dim = dim
        self.grid = grid
        self.channel_gate = nn.Sequential(
            nn.Linear(dim, dim // REDUCTION, bias=False),
            nn.ReLU(),
            nn.Linear(dim // REDUCTION, dim, bias=False),
        )
        self.conv = nn.Conv2d(2, 1, KERNEL, padding=KERNEL // 2, bias=False)
        self.norm = BatchNorm(1)

    @override
    def forward(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b o"]:
        # A class token or another crop has no place on the grid, and would shift all others.
        if tokens.shape[1] != self.grid[0] * self.grid[1]:
            raise InputError(
                f"method cbam reads a {self.grid[0]} x {self.grid[1]} grid of patches, got "
                f"{tokens.shape[1]} tokens: give it the patches alone, of that grid"
            )
        extremes = torch.stack([tokens.mean(1), tokens.amax(1)])  # (2, b, d)
        # The gate's two maps are shared by mean and maximum, and their outputs are added.
        channels = self.channel_gate(extremes).sum(0).sigmoid().unsqueeze(1)  # (b, 1, d)
        planes = self.conv(self._planes(tokens, channels).unflatten(-1, self.grid)).flatten(2)
        places = self.norm(planes).sigmoid()  # (b, 1, n)
        positive = tokens.relu()
        # The gate of channels is the same for all tokens: it follows the sum over them.
        gated = channels * gemm.pool(places / tokens.shape[1], positive)  # (b, 1, d)
        return positive.mean(1) + gated[:, 0]

    @staticmethod
    def _planes(tokens: Tensor, channels: Tensor) -> Tensor:
        """Return each place's mean and maximum over gated channels, `(b, 2, n)`."""
        mean = gemm.scores(channels / tokens.shape[-1], tokens)[:, 0]
        # Where the maximum is, is all that is kept: amax would keep the gated tokens for its
        # backward.
        with torch.no_grad():
            best = (tokens * channels).argmax(-1)  # (b, n)
        largest = tokens.gather(2, best.unsqueeze(-1))[..., 0] * channels[:, 0].gather(1, best)
        return torch.stack([mean, largest], dim=1)
