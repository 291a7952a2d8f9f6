"""SimPool: the mean token asks, the normalised tokens answer.

Source: Psomas et al., "Keep It SimPool" (ICCV 2023), arXiv 2309.06891; equations in
docs/poolings.md: one head, no biases, no value or output projection, the query not normalised, no
generalised mean. Neither keys nor normalised tokens are built (see `attention`).

Shapes: b batch, n tokens, d token width, o output width (= d).
"""

from collections.abc import Mapping
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import override

from toolkit_probing.probes.attention import NormedTokens, absorb_keys, norm_tokens
from toolkit_probing.probes.base import AttentivePool

EPS = 1e-6


class SimPool(AttentivePool):
    """Pool tokens with their projected mean as the query.

    Args:
        dim: Token width d.
    """

    title: ClassVar[str] = "SimPool"
    source: ClassVar[str] = "Psomas et al., 2023"
    shifts: ClassVar[Mapping[str, int]] = {"norm.bias": 1}

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.out_dim = dim
        self.norm = nn.LayerNorm(dim, eps=EPS)
        self.to_query = nn.Linear(dim, dim, bias=False)
        self.to_key = nn.Linear(dim, dim, bias=False)

    def _attend(self, normed: NormedTokens) -> Tensor:
        query = self.to_query(normed.tokens.mean(1))  # raw: the query is not normalised
        queries = absorb_keys(query, self.to_key.weight, 1) * self.norm.weight  # (b, 1, d)
        return normed.scores(queries).softmax(-1)

    @override
    def attention(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b q n"]:
        return self._attend(norm_tokens(tokens, EPS))

    @override
    def forward(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b o"]:
        normed = norm_tokens(tokens, EPS)
        # Weights sum to 1: gain and bias of the norm may follow the pooling.
        return normed.sum(self._attend(normed))[:, 0] * self.norm.weight + self.norm.bias
