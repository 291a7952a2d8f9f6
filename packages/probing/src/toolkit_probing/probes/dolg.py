"""DOLG's local branch as a probe: tokens weighted by a learned score.

Source: Yang et al., "DOLG: Single-Stage Image Retrieval with Deep Orthogonal Fusion" (ICCV 2021),
arXiv 2108.02927, without the dilated convolutions; equations in docs/poolings.md:
`u = BN(W x + b)`, `s = softplus(w . relu(u) + c)`, `y = mean_n s_n u_n / |u_n|`. Both convolutions
are 1 x 1, hence linear maps: no grid is needed, and the class token may be read.

Shapes: b batch, n tokens, d token width, o output width (= d).
"""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from toolkit_common.training.distributed import BatchNorm
from toolkit_probing.probes import gemm
from toolkit_probing.probes.attention import dropped
from toolkit_probing.probes.base import Pool

TINY = 1e-12  # of the norm, as F.normalize


class Dolg(Pool):
    """Pool projected tokens of unit length by a softplus score.

    Args:
        dim: Token width d.
    """

    title: ClassVar[str] = "DOLG local branch"
    source: ClassVar[str] = "Yang et al., 2021"

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.out_dim = dim
        self.map = nn.Linear(dim, dim)
        self.norm = BatchNorm(dim)
        self.score = nn.Linear(dim, 1)
        for linear in (self.map, self.score):
            # He's, by fan-out.
            nn.init.normal_(linear.weight, std=(2 / linear.out_features) ** 0.5)

    @override
    def forward(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b o"]:
        bias: Tensor = self.map.bias
        if self.training:  # the norm takes the bias away again
            bias = bias.detach() + dropped(bias)
        mapped = gemm.linear(tokens, self.map.weight, bias)
        # Images and tokens are one axis to the norm.
        u = self.norm(mapped.flatten(0, 1)).unflatten(0, tokens.shape[:2])
        score = F.softplus(self.score(u.relu()))[..., 0]  # (b, n)
        length = torch.linalg.vector_norm(u, dim=-1).clamp_min(TINY)
        weights = (score / length).unsqueeze(1).to(u.dtype)
        return (weights @ u)[:, 0] / tokens.shape[1]
