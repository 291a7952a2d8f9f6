"""Multinomial logistic regression with L2, from weak to strong: what a head's classifier starts as.

The loss is scikit-learn's divided by `C n`: `sum(w CE) / n + |W|^2 / (2 C n)`, the bias not
penalised, `w` the weight of each row and `n` their sum: of equal ones the number of rows. The loss
is convex, but steps along the gradient crawl where columns are alike (docs/protocols.md, "Fitted
heads"). L-BFGS (Liu and Nocedal 1989) solves it, each C from the solution of the stronger penalty
before it.

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


def penalty(c: float, num_rows: float, num_classes: int) -> float:
    """Return the factor of `|W|^2 / 2` in the loss that is scikit-learn's of the same C.

    Args:
        c: Inverse strength.
        num_rows: Of the rows, or the sum of their weights.
        num_classes: c.
    """
    # Of two classes scikit-learn has one row of weights, half of whose square ours have together.
    return (2 if num_classes == 2 else 1) / (c * num_rows)


def log_frequencies(targets: Tensor, num_classes: int, weights: Tensor | None = None) -> Tensor:
    """Return the logarithm of each class's share `(c,)`; of an absent one that of half a row.

    With weights of the rows `(n,)` it is their share of the loss.
    """
    counts = torch.bincount(targets, weights, minlength=num_classes)
    total = len(targets) if weights is None else weights.sum()
    return (torch.where(counts > 0, counts, 0.5) / total).log().float()


def row_weights(
    targets: Tensor, num_classes: int, rule: str, *, given: Tensor | None = None
) -> Tensor | None:
    """Return the weight of each row in the loss `(n,)`, fp64; None where all are equal.

    Args:
        targets: Class of each row `(n,)`.
        num_classes: c.
        rule: `balanced` gives all classes that there are an even share of what the rows weigh, as
            scikit-learn's `n / (c count)`; `none` leaves them.
        given: What the rows weigh themselves `(n,)`; 1 each by default.
    """
    if rule == "none":
        return None if given is None else given.double()
    weights = targets.new_ones(len(targets), dtype=torch.float64) if given is None else given
    totals = torch.bincount(targets, weights.double(), minlength=num_classes)
    shares = totals.sum() / ((totals > 0).sum() * torch.where(totals > 0, totals, 1.0))
    return weights.double() * shares[targets]


def weighted_loss(logits: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
    """Return the sum of the rows' cross-entropies, each times its weight."""
    if weights is None:
        return F.cross_entropy(logits, targets, reduction="sum")
    return (F.cross_entropy(logits, targets, reduction="none") * weights).sum()


def fit_classifiers(
    rows: Tensor, targets: Tensor, *, cs: Sequence[float], num_classes: int, weights: Tensor | None
) -> Iterator[Solution]:
    """Yield the classifier of every C, the strongest penalty first.

    Args:
        rows: Standardised features `(n, o)`, fp32.
        targets: Class of each `(n,)`.
        cs: Inverse strengths of the penalty.
        num_classes: c.
        weights: Weight of each row in the loss `(n,)`, fp64, or None for equal ones.
    """
    dtype, total = rows.dtype, len(rows) if weights is None else float(weights.sum())
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
            strength=penalty(c, total, num_classes),
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
    parts = [slice(at, at + size) for at in range(0, len(rows), size)]
    num_rows = len(rows) if weights is None else weights.sum()

    def loss_of() -> Tensor:
        optimizer.zero_grad()
        total = 0.5 * strength * weight.square().sum()
        total.backward()
        for part in parts:
            logits = F.linear(rows[part].double(), weight, bias)
            own = None if weights is None else weights[part]
            loss = weighted_loss(logits, targets[part], own) / num_rows
            loss.backward()
            total = total.detach() + loss.detach()
        return total

    with torch.enable_grad():
        optimizer.step(loss_of)
    return weight.detach(), bias.detach()


def _rows_at_once(rows: Tensor, num_classes: int) -> int:
    return max(1, NUMBERS_AT_ONCE // (rows.shape[1] + num_classes))
