"""Multinomial logistic regression with L2, from weak to strong: what a head's classifier starts as.

The loss is scikit-learn's divided by `C n`: `mean(w_y CE) + |W|^2 / (2 C n)`, the bias not
penalised, `w` the class weights with mean 1 over the rows. The loss is convex, but steps along the
gradient crawl where columns are alike (docs/protocols.md, "Fitted heads"). L-BFGS (Liu and Nocedal
1989) solves it, each C from the solution of the stronger penalty before it.

Shapes: n rows, o width, c classes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

MAX_ITERATIONS = 100  # for each C; those before it have done most of the way
GRADIENT, CHANGE = 1e-6, 1e-12  # what is small enough to end
NUMBERS_AT_ONCE = 1 << 26  # of rows and logits, held in float64 at a time


@dataclass(frozen=True)
class Solution:
    """A fitted classifier.

    Attributes:
        c: Inverse strength of its L2 penalty, scikit-learn's C.
        weight: `(c, o)`.
        bias: `(c,)`.
    """

    c: float
    weight: Tensor
    bias: Tensor


def penalty(c: float, num_rows: int, num_classes: int) -> float:
    """Return the factor of `|W|^2 / 2` in the loss that is scikit-learn's of the same C."""
    # Of two classes scikit-learn has one row of weights, half of whose square ours have together.
    return (2 if num_classes == 2 else 1) / (c * num_rows)


def log_frequencies(targets: Tensor, num_classes: int, weights: Tensor | None = None) -> Tensor:
    """Return the logarithm of each class's share `(c,)`; of an absent one that of half a row.

    With weights of the classes `(c,)` it is their share of the loss.
    """
    counts = torch.bincount(targets, minlength=num_classes).clamp_min(0.5)
    if weights is not None:
        counts = counts * torch.where(weights > 0, weights, 1.0)
    return (counts / len(targets)).log()


def class_weights(targets: Tensor, num_classes: int, rule: str) -> Tensor | None:
    """Return the weight of each class in the loss `(c,)`, their mean over the rows being 1.

    `balanced` is scikit-learn's `n / (c count)`, over the classes that there are; `none` is None.
    """
    if rule == "none":
        return None
    counts = torch.bincount(targets, minlength=num_classes)
    weights = len(targets) / ((counts > 0).sum() * counts.clamp_min(1))
    return torch.where(counts > 0, weights, 0.0).float()


def fit_classifiers(
    rows: Tensor, targets: Tensor, *, cs: Sequence[float], num_classes: int, weights: Tensor | None
) -> Iterator[Solution]:
    """Yield the classifier of every C, the strongest penalty first.

    Args:
        rows: Standardised features `(n, o)`, fp32.
        targets: Class of each `(n,)`.
        cs: Inverse strengths of the penalty.
        num_classes: c.
        weights: Weight of each class in the loss `(c,)`, or None for equal ones.
    """
    dtype, weights = rows.dtype, None if weights is None else weights.double()
    # In fp32 losses are all alike, and the line search ends, long before the solution.
    if len(rows) <= _rows_at_once(rows, num_classes):
        rows = rows.double()  # once, not at every look
    weight = rows.new_zeros(num_classes, rows.shape[1], dtype=torch.float64)
    # Without a weight the frequencies are the solution, so that is where the path begins.
    bias = log_frequencies(targets, num_classes, weights).to(weight)
    for c in sorted(cs):
        weight, bias = _solve(
            rows,
            targets,
            weight=weight,
            bias=bias,
            strength=penalty(c, len(rows), num_classes),
            weights=weights,
        )
        yield Solution(c, weight.to(dtype), bias.to(dtype))


def _solve(
    rows: Tensor,
    targets: Tensor,
    *,
    weight: Tensor,
    bias: Tensor,
    strength: float,
    weights: Tensor | None,
) -> tuple[Tensor, Tensor]:
    weight, bias = weight.clone().requires_grad_(), bias.clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [weight, bias],
        max_iter=MAX_ITERATIONS,
        tolerance_grad=GRADIENT,
        tolerance_change=CHANGE,
        history_size=10,
        line_search_fn="strong_wolfe",
    )
    size = _rows_at_once(rows, len(bias))

    def loss_of() -> Tensor:
        optimizer.zero_grad()
        total = 0.5 * strength * weight.square().sum()
        total.backward()
        for part, classes in zip(rows.split(size), targets.split(size), strict=True):
            logits = F.linear(part.double(), weight, bias)
            loss = F.cross_entropy(logits, classes, weight=weights, reduction="sum") / len(rows)
            loss.backward()
            total = total.detach() + loss.detach()
        return total

    with torch.enable_grad():
        optimizer.step(loss_of)
    return weight.detach(), bias.detach()


def _rows_at_once(rows: Tensor, num_classes: int) -> int:
    return max(1, NUMBERS_AT_ONCE // (rows.shape[1] + num_classes))
