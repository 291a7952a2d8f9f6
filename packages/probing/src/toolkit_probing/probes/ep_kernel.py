"""The kernel of EP: attention, pooling and projection with a backward pass of its own.

`y_j = W_j (a_j X)`, `a_j = softmax(q_j X^T)`. What autograd would keep or build and this does not:
scores beside attention, gradients of pooled values for the whole batch, gradients of tokens that
nobody needs. Kept for the backward pass: attention (b, q, n) and pooled values (q, b, d). On a
CPU the backward pass goes through the batch in chunks, and where it fits the gradient of the value
map takes the place of the pooled values, which are done with by then.

Several heads may go through it at once: products with tokens take the queries of all of them and
read the tokens once, each head is projected by itself. Chunks are those of one head, so that sums
run over the same images in the same order.

Shapes: b batch, n tokens, d token width, h heads, q queries of one, o output width, m = o/q.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from toolkit_probing.probes import gemm

CHUNK = 1 << 20  # numbers of a chunk's gradient of pooled values: 4 MiB in fp32
MAX_SLACK = 2  # the most that a gradient's storage may exceed it


def attend(tokens: Tensor, queries: Tensor) -> Tensor:
    """Return the attention `(b, q, n)` of scaled queries `(q, d)` over tokens `(b, n, d)`."""
    scores = gemm.scores(queries, tokens)
    if scores.dtype in (torch.float16, torch.bfloat16):
        # As autocast has it: in half precision the shares of many tokens do not sum to 1.
        return scores.softmax(-1, dtype=torch.float32).to(tokens.dtype)
    if torch.is_grad_enabled():
        return scores.softmax(-1)
    # In place, as inside the kernel nothing is recorded; the largest goes so that exp stays finite.
    scores.sub_(scores.amax(-1, keepdim=True)).exp_()
    return scores.div_(scores.sum(-1, keepdim=True))


def ep_pool(tokens: Tensor, queries: Tensor, weight: Tensor) -> Tensor:
    """Pool tokens `(b, n, d)` by scaled queries `(q, d)` and project by `weight` `(o, d)`.

    Under autocast the products run in its dtype and the softmax in fp32. The backward pass cannot
    be differentiated again: torch says so.

    Returns:
        Pooled values `(b, o)`.
    """
    return pool_together(tokens, [queries], [weight])[0]


def pool_together(
    tokens: Tensor, queries: Sequence[Tensor], weights: Sequence[Tensor]
) -> tuple[Tensor, ...]:
    """Return what `ep_pool` does of the same tokens for each of some heads of equal shapes."""
    device, maps = tokens.device.type, [*queries, *weights]
    if not torch.amp.is_autocast_available(device):  # shapes alone: the meta device
        return _EfficientPool.apply(tokens, *maps)  # type: ignore[no-untyped-call]
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        # By hand, as the backward pass runs outside autocast and must meet the same dtypes.
        # Autocast too leaves float64 as it is.
        tokens, *maps = (
            item if item.dtype == torch.float64 else item.to(dtype) for item in (tokens, *maps)
        )
    with torch.autocast(device, enabled=False):
        pooled: tuple[Tensor, ...] = _EfficientPool.apply(tokens, *maps)  # type: ignore[no-untyped-call]
    return pooled


class _EfficientPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tokens: Tensor, *maps: Tensor) -> tuple[Tensor, ...]:
        num_heads, (b, _, d) = len(maps) // 2, tokens.shape
        queries, weights = torch.cat(maps[:num_heads]), maps[num_heads:]  # (h q, d)
        attention = attend(tokens, queries)
        pooled = tokens.new_empty(len(queries), b, d)
        # Queries first: the projection and the gradient of its map are one product a query.
        gemm.each_transposed(attention, tokens.transpose(1, 2), out=pooled.transpose(0, 1))
        ctx.save_for_backward(tokens, queries, attention, pooled, *weights)
        ctx.is_overwritten = False
        parts = pooled.chunk(num_heads)
        return tuple(_project(part, weight) for part, weight in zip(parts, weights, strict=True))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        tokens, queries, attention, pooled, *weights = ctx.saved_tensors
        q = len(queries) // len(weights)
        m = len(weights[0]) // q
        rows_first = [grad.unflatten(1, (q, m)).transpose(0, 1) for grad in grads]  # (q, b, m)
        needs_tokens, *needs = ctx.needs_input_grad
        needs_queries, needs_weights = any(needs[: len(weights)]), needs[len(weights) :]
        if ctx.is_overwritten:  # a second pass through a retained graph
            pooled = torch.bmm(attention, tokens).transpose(0, 1)
        # Only where the blocks fit one before the other, and where what the gradient keeps alive
        # beyond itself is small.
        ctx.is_overwritten = any(needs_weights) and m <= len(tokens) <= MAX_SLACK * m
        grad_weights = [
            _grad_weight(grad, part, in_place=ctx.is_overwritten) if is_needed else None
            for grad, part, is_needed in zip(
                rows_first, pooled.split(q), needs_weights, strict=True
            )
        ]
        del pooled
        # Before the chunks are built; the gradient's memory lives on where it lies in it.
        grad_tokens = torch.empty_like(tokens) if needs_tokens else None
        grad_queries = torch.zeros_like(queries)
        blocks = [weight.unflatten(0, (q, m)) for weight in weights]
        for rows in _chunks(tokens, q) if needs_tokens or needs_queries else ():
            x, a = tokens[rows], attention[rows]
            grad_pooled = _grad_pooled([grad[:, rows] for grad in rows_first], blocks)
            grad_scores = gemm.each_transposed(grad_pooled, x)
            mean = torch.linalg.vecdot(grad_scores, a).unsqueeze(-1)
            # Of the softmax: a (g - sum(g a)), row by row, in place.
            grad_scores.sub_(mean).mul_(a)
            if needs_queries:
                grad_queries += gemm.sum_over_tokens(grad_scores, x)
            if grad_tokens is not None:
                torch.bmm(a.transpose(1, 2), grad_pooled, out=grad_tokens[rows])
                grad_tokens[rows] += grad_scores.transpose(1, 2) @ queries
        return grad_tokens, *grad_queries.split(q), *grad_weights


def _project(pooled: Tensor, weight: Tensor) -> Tensor:
    blocks = weight.unflatten(0, (len(pooled), -1))  # (q, m, d)
    return torch.bmm(pooled, blocks.transpose(1, 2)).transpose(0, 1).flatten(1)


def _grad_weight(grads: Tensor, pooled: Tensor, *, in_place: bool) -> Tensor:
    """Return the gradient `(o, d)` of the value map; `in_place` in the memory of `pooled`."""
    (q, _, m), d = grads.shape, pooled.shape[-1]
    if not in_place:
        return torch.bmm(grads.transpose(1, 2), pooled).flatten(0, 1)
    # Block j of the gradient ends before block j+1 of the pooled values starts: m <= b.
    flat = pooled.data.reshape(-1)  # `.data`: torch need not watch over what is not read again
    for j in range(q):
        flat[j * m * d : (j + 1) * m * d] = (grads[j].T @ pooled[j]).flatten()
    return flat[: q * m * d].view(q * m, d)


def _grad_pooled(grads: Sequence[Tensor], blocks: Sequence[Tensor]) -> Tensor:
    """Return the gradient `(b, h q, d)` of the pooled values of all heads, from `(q, b, m)`."""
    q, b, _ = grads[0].shape
    out = grads[0].new_empty(len(grads) * q, b, blocks[0].shape[2])
    for part, grad, block in zip(out.split(q), grads, blocks, strict=True):
        torch.bmm(grad, block, out=part)
    return out.transpose(0, 1)


def _chunks(tokens: Tensor, num_queries: int) -> list[slice]:
    """Cut the batch; whole on accelerators, where launches cost more than memory traffic."""
    b, _, d = tokens.shape
    size = max(1, CHUNK // (num_queries * d)) if tokens.device.type == "cpu" else max(1, b)
    return [slice(start, start + size) for start in range(0, b, size)]
