"""Attention of learned queries, in the cheap order: pool tokens first, project what is pooled.

Many papers' probes are this, `y = gather(a X)` with `a = softmax(queries . X)`, and differ in how
the tokens are normalised, what makes the queries, and what follows the pooling. The queries are the
same for every image, so that the key map folds into them (see `attention`).

Shapes: b batch, n tokens, d token width, q queries (or heads of one), o output width.
"""

from abc import abstractmethod
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from toolkit_probing.probes.attention import RawTokens, ReadTokens, norm_tokens
from toolkit_probing.probes.base import AttentivePool


class LearnedQuery(AttentivePool):
    """A pooling by learned queries; a paper's class says which and what follows.

    Attributes:
        eps: Of the layer norm that tokens are read through; None reads them raw.
    """

    eps: ClassVar[float | None] = None

    @abstractmethod
    def folded_queries(self) -> Float[Tensor, "q d"]:
        """Return the queries of tokens as they are read, key map and scale folded in."""

    @abstractmethod
    def gather(self, pooled: Float[Tensor, "b q d"]) -> Float[Tensor, "b o"]:
        """Return the output, from what each query pools of the tokens as they are read."""

    @override
    def attention(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b q n"]:
        return self.scores(self.read(tokens)).softmax(-1)

    @override
    def forward(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b o"]:
        read = self.read(tokens)
        return self.gather(read.sum(self.scores(read).softmax(-1)))

    def read(self, tokens: Tensor) -> ReadTokens:
        """Return the tokens as queries meet them."""
        return RawTokens(tokens) if self.eps is None else norm_tokens(tokens, self.eps)

    def scores(self, read: ReadTokens) -> Tensor:
        """Return the scores of tokens, before the softmax."""
        return read.scores(self.folded_queries())
