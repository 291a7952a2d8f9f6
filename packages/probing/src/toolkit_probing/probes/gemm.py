"""Products of a few queries with many tokens, at the speed the CPU has.

torch hands fp32 products on x86 to MKL, which leaves half the width of AVX-512 unused on other
makers' processors; oneDNN, which torch ships too, does not. It is reached by the operator that
torch's own compiler emits for linear layers. Where that does not serve (another device or dtype,
autocast, a torch without it, tokens that need a gradient) plain products do the same sums, with
autograd as it comes; on CUDA they are what one wants. Ratios: benchmarks/results/probes.md.

The tokens of a frozen encoder need no gradient, so none is computed or stored: the backward pass of
`scores` is one product with the tokens, and so is that of `pool`.

Shapes: b batch, n tokens, d token width, q queries, r rows, k summed width, c columns.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

MIN_ROWS = 12  # below, a call for each image costs more than the faster product saves
ROWS_AT_ONCE = 1024  # tokens summed by one product: their block stays in the cache


def scores(queries: Tensor, tokens: Tensor) -> Tensor:
    """Return the products `(b, q, n)` of tokens `(b, n, d)` with queries.

    Args:
        queries: `(q, d)` for all images, or `(b, q, d)`, each image its own.
        tokens: Tokens; where they need no gradient none is built.
    """
    # Tuned encoders want gradients of tokens, which the functions below never make.
    if tokens.requires_grad or not serves(queries, tokens):
        return queries @ tokens.transpose(1, 2)
    function = _SharedScores if queries.ndim == 2 else _OwnScores
    return _apply(function, queries, tokens)


def pool(weights: Tensor, tokens: Tensor) -> Tensor:
    """Return the sums `(b, q, d)` of tokens `(b, n, d)` by weights `(b, q, n)`."""
    if tokens.requires_grad or not serves(weights, tokens):
        return weights @ tokens
    return _apply(_Pool, weights, tokens)


def linear(tokens: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Project every token `(b, n, k)` by `weight` `(c, k)`, as `F.linear` does, gradients too."""
    if not serves(tokens, weight):
        return F.linear(tokens, weight, bias)
    projected = _apply(_Linear, tokens, weight)
    return projected if bias is None else projected + bias


def serves(*operands: Tensor) -> bool:
    """Tell whether the faster product takes these operands."""
    return (
        all(item.device.type == "cpu" and item.dtype == torch.float32 for item in operands)
        and all(item.numel() > 0 for item in operands)
        and not torch.is_autocast_enabled("cpu")  # it does not know the operator
        and torch.backends.mkldnn.is_available()
        and bool(torch.backends.mkldnn.enabled)
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def times_transposed(left: Tensor, right: Tensor) -> Tensor:
    """Return `left @ right.T` of `(r, k)` and `(c, k)`, without autograd.

    `right` may be a transposed view. Only where `serves` says so is this the faster product.
    """
    return _product(left, right) if serves(left, right) else left @ right.T


def each_transposed(left: Tensor, right: Tensor, out: Tensor | None = None) -> Tensor:
    """Return `left[i] @ right[i].T` of `(b, r, k)` and `(b, c, k)`, without autograd.

    Args:
        left: The flat operand.
        right: The large one; may be a transposed view.
        out: Where the result goes; any strides.
    """
    if left.shape[1] < MIN_ROWS or not serves(left, right):
        if out is None or not torch.compiler.is_compiling():
            return torch.bmm(left, right.transpose(1, 2), out=out)
        # torch 2.11 takes the batch of a product that is given its place for a constant.
        return out.copy_(torch.bmm(left, right.transpose(1, 2)))
    # One call an image, as the operator takes matrices and no batches of them.
    out = left.new_empty(len(left), left.shape[1], right.shape[1]) if out is None else out
    for image in range(len(left)):
        out[image] = _product(left[image], right[image])
    return out


def sum_over_tokens(weights: Tensor, tokens: Tensor) -> Tensor:
    """Return `sum_b weights[b] @ tokens[b]` of `(b, q, n)` and `(b, n, d)`, without autograd."""
    # Images side by side are one long sum, `(q, i n)` by `(i n, d)`: fewer, larger products.
    if tokens.device.type != "cpu":  # whose caches are not ours to mind: one product for all
        return weights.transpose(0, 1).flatten(1) @ tokens.flatten(0, 1)
    images = max(1, ROWS_AT_ONCE // max(1, tokens.shape[1]))
    total = weights.new_zeros(weights.shape[1], tokens.shape[2])
    for part, rows in zip(weights.split(images), tokens.split(images), strict=True):
        # Added up in place: a block's product is as small as the result.
        total += times_transposed(part.transpose(0, 1).flatten(1), rows.flatten(0, 1).T)
    return total


def _product(left: Tensor, right: Tensor) -> Tensor:
    # No bias, nothing behind the product. Whether it serves is asked before loops over images.
    product: Tensor = torch.ops.mkldnn._linear_pointwise(left, right, None, "none", [], "")
    return product


def _apply(function: type[torch.autograd.Function], first: Tensor, second: Tensor) -> Tensor:
    result: Tensor = function.apply(first, second)
    return result


class _SharedScores(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, queries: Tensor, tokens: Tensor) -> Tensor:
        # Linear in the queries: their gradient needs the tokens alone.
        ctx.save_for_backward(tokens)
        flat = times_transposed(tokens.flatten(0, 1), queries)
        # The product comes token by token; the softmax that follows goes along n.
        return flat.unflatten(0, tokens.shape[:2]).transpose(1, 2).contiguous()

    @staticmethod
    # Gradients as made below have no derivative of their own: a second pass is refused, not wrong.
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (tokens,) = ctx.saved_tensors
        return sum_over_tokens(grad, tokens), None


class _OwnScores(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, queries: Tensor, tokens: Tensor) -> Tensor:
        ctx.save_for_backward(tokens)
        return each_transposed(queries.contiguous(), tokens)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (tokens,) = ctx.saved_tensors
        return each_transposed(grad.contiguous(), tokens.transpose(1, 2)), None


class _Pool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weights: Tensor, tokens: Tensor) -> Tensor:
        ctx.save_for_backward(tokens)
        return each_transposed(weights.contiguous(), tokens.transpose(1, 2))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (tokens,) = ctx.saved_tensors
        return each_transposed(grad.contiguous(), tokens), None


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tokens: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(tokens, weight)
        return times_transposed(tokens.flatten(0, 1), weight).unflatten(0, tokens.shape[:2])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        tokens, weight = ctx.saved_tensors
        flat = grad.flatten(0, 1)
        # Frozen tokens are the usual case: their gradient would be the larger product.
        needs_tokens, needs_weight = ctx.needs_input_grad
        down = times_transposed(flat, weight.T) if needs_tokens else None
        # The left operand must lie flat; the right one may be a view.
        up = times_transposed(flat.T.contiguous(), tokens.flatten(0, 1).T) if needs_weight else None
        return None if down is None else down.unflatten(0, tokens.shape[:2]), up
