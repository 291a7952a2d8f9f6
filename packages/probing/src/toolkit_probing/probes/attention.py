"""What makes attentive probes cheap: pool raw tokens first, project after.

Where a query does not depend on the other tokens' keys, both projections move off the token axis:

    scores_h = (W_k,h^T q_h) . x / sqrt(m)    a key bias adds a constant over n: softmax drops it
    y_h      = W_v,h (a_h X) + b_v,h          a_h sums to 1

so that no keys or values (b, n, d) are built. A layer norm of the tokens moves too: with
`rstd_n = 1 / std_n`, `w . norm(x_n) = rstd_n (centred w) . x_n` and
`sum_n a_n norm(x_n) = centred sum_n (a_n rstd_n) x_n`. Where tokens need no gradient, as in
probing, none is computed or stored; autograd keeps nothing of size (b, n, d) but the tokens.

Shapes: b batch, n tokens, d token width, h heads, m = o/h head width, o output width.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from toolkit_common.errors import InputError
from toolkit_probing.probes import gemm


def check_heads(dim: int, num_heads: int) -> int:
    """Return `num_heads` if it divides `dim`.

    Raises:
        InputError: If it does not.
    """
    if num_heads < 1 or dim % num_heads:
        valid = ", ".join(str(count) for count in range(1, 65) if dim % count == 0)
        raise InputError(
            f"dim must be a multiple of num_heads, got {dim=}, {num_heads=}; choose num_heads "
            f"from: {valid}"
        )
    return num_heads


def absorb_keys(queries: Tensor, weight: Tensor, num_heads: int) -> Tensor:
    """Turn queries `(..., o)` of all heads and the key map `(o, d)` into queries of raw tokens.

    Returns:
        `(..., h, d)`, scaled by `m ** -0.5`.
    """
    heads = queries.unflatten(-1, (num_heads, -1))
    # Here, where there are h m numbers, and not on the scores, of which there are b h n.
    heads = heads * heads.shape[-1] ** -0.5
    return torch.einsum("...hm,hmd->...hd", heads, weight.unflatten(0, (num_heads, -1)))


def dropped(bias: Tensor) -> Tensor:
    """Return 0, made of a bias that a softmax or a batch norm takes away again.

    It gives the bias the gradient that it has, zero. By way of scores or rows that would be their
    rounding, which adaptive optimizers take for a direction (docs/traps.md 33).
    """
    return 0 * bias.sum()


def project_values(pooled: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Apply each head's block of the value map `(o, d)` to its pooled tokens `(b, h, d)`.

    Returns:
        `(b, o)`, heads concatenated.
    """
    blocks = weight.unflatten(0, (pooled.shape[1], -1))
    values = torch.einsum("bhd,hmd->bhm", pooled, blocks).flatten(1)
    # Weights sum to 1, so that the bias passes the pooling unchanged.
    return values if bias is None else values + bias


def fold_keys(query: Tensor, joint: nn.Linear, num_heads: int) -> Tensor:
    """As `absorb_keys`, with the key map of a joint map of (queries,) keys and values."""
    return absorb_keys(query, _blocks(joint.weight, joint)[-2], num_heads)  # (q, k, v) or (k, v)


def project_out(pooled: Tensor, joint: nn.Linear, out: nn.Linear) -> Tensor:
    """Project pooled tokens `(b, h, d)` by the value map of a joint map, then out, to `(b, o)`."""
    values = (_blocks(item, joint)[-1] for item in (joint.weight, joint.bias))
    return out(project_values(pooled, *values))


def _blocks(rows: Tensor, joint: nn.Linear) -> tuple[Tensor, ...]:
    return rows.chunk(joint.out_features // joint.in_features)


@runtime_checkable
class ReadTokens(Protocol):
    """Tokens as queries meet them, raw or normalised, and never written out."""

    def scores(self, queries: Tensor) -> Tensor:
        """Return their products `(b, q, n)` with queries."""
        ...

    def sum(self, weights: Tensor) -> Tensor:
        """Return their sums `(b, q, d)` by weights `(b, q, n)`."""
        ...


@dataclass(frozen=True)
class RawTokens:
    """Tokens `(b, n, d)` as they are."""

    tokens: Tensor

    def scores(self, queries: Tensor) -> Tensor:
        """Return their products `(b, q, n)` with queries."""
        return gemm.scores(queries, self.tokens)

    def sum(self, weights: Tensor) -> Tensor:
        """Return their sums `(b, q, d)` by weights `(b, q, n)`."""
        return gemm.pool(weights, self.tokens)


@dataclass(frozen=True)
class NormedTokens:
    """Tokens under a layer norm without affine that is never written out.

    Attributes:
        tokens: Raw tokens `(b, n, d)`.
        rstd: One over their standard deviation, `(b, 1, n)`.
    """

    tokens: Tensor
    rstd: Tensor

    def scores(self, queries: Tensor) -> Tensor:
        """Return the products `(b, q, n)` of normalised tokens with queries."""
        # Centred queries: the means of tokens fall out of the product, no token is centred.
        return gemm.scores(centre(queries), self.tokens) * self.rstd

    def sum(self, weights: Tensor) -> Tensor:
        """Return the sums `(b, q, d)` of normalised tokens by weights `(b, q, n)`."""
        return centre(gemm.pool(weights * self.rstd, self.tokens))


def norm_tokens(tokens: Tensor, eps: float) -> NormedTokens:
    """Normalise tokens over their width; statistics in fp32 at least."""
    # float64 stays: gradients are tested in it.
    dtype = torch.promote_types(tokens.dtype, torch.float32)
    # E[x^2] - E[x]^2 needs no centred copy of the tokens; its rounding may fall below 0.
    mean = tokens.mean(-1, dtype=dtype)
    square = torch.linalg.vector_norm(tokens, dim=-1, dtype=dtype).square() / tokens.shape[-1]
    variance = (square - mean.square()).clamp_min(0)
    # Beside scores `(b, q, n)`: the same for all queries.
    return NormedTokens(tokens, (variance + eps).rsqrt().unsqueeze(1))


def centre(vectors: Tensor) -> Tensor:
    """Subtract from each vector its mean over the width."""
    return vectors - vectors.mean(-1, keepdim=True)


class Mlp(nn.Module):
    """The two layers of a transformer block: `d -> 4 d -> d` with GELU."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.first = nn.Linear(dim, 4 * dim)
        self.second = nn.Linear(4 * dim, dim)

    @override
    def forward(self, vectors: Tensor) -> Tensor:
        return self.second(F.gelu(self.first(vectors)))


def norm_vector(vector: Tensor, eps: float) -> Tensor:
    """Layer norm without affine of a single vector or of one a row."""
    return F.layer_norm(vector, vector.shape[-1:], eps=eps)
