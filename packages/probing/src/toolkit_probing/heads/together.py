"""Heads of EP that read the same tokens at once, each to the bits that it has alone.

A grid of learning rates or seeds is a few heads of one shape at one place. Their products with the
tokens are taken together: tokens are read once for all, and a product of many queries is faster
than as many of few. What follows is each head's own: projection, norm, classifier, loss, gradients.

To the bit, as oneDNN sums along tokens and width whatever the number of queries (tested; where
another library takes the products, with less than gemm.MIN_ROWS queries, in half precision or on a
GPU, heads go one by one).

Shapes: b batch, n tokens, d token width, q queries, o output width.
"""

from collections.abc import Hashable, Sequence
from typing import cast

import numpy as np
from torch import Tensor

from toolkit_probing.heads.head import Head, put_beside
from toolkit_probing.heads.inputs import Inputs
from toolkit_probing.probes import EfficientProbing, gemm
from toolkit_probing.probes.ep_kernel import pool_together

AT_ONCE = 4  # heads: pooled values of more leave the cache (docs/decisions.md)


def kind_of(head: Head, tokens: Tensor) -> Hashable | None:
    """Return what heads that read `tokens` at once have in common; None for one that goes alone."""
    pool = head.pool
    if not isinstance(pool, EfficientProbing) or tokens.requires_grad:
        return None
    if len(pool.queries) < gemm.MIN_ROWS or not gemm.serves(tokens, pool.queries):
        return None
    return len(pool.queries), pool.out_dim


def split_evenly(keys: Sequence[str]) -> list[list[str]]:
    """Cut heads of one kind into groups of at most AT_ONCE, which differ by one head at most."""
    parts = np.array_split(np.array(keys), -(-len(keys) // AT_ONCE))
    return [part.tolist() for part in parts]


def logits_together(heads: Sequence[Head], inputs: Inputs) -> list[Tensor]:
    """Return the logits `(b, c)` of heads of one kind."""
    pools = [cast(EfficientProbing, head.pool) for head in heads]
    queries = [pool.queries * pool.scale for pool in pools]
    pooled = pool_together(inputs.main, queries, [pool.value.weight for pool in pools])
    return [
        head.classify(put_beside(rows, inputs.beside))
        for head, rows in zip(heads, pooled, strict=True)
    ]
