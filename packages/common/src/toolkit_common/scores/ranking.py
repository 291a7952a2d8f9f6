"""Metrics that rank rows by a score, from one curve: how much lies at or above each score.

The curve is what costs (a sort, and sums over all rows for every weighting), so that several
metrics share it (`toolkit_common.scores.metrics.evaluate`).

Shapes: n rows, r weightings, u points.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

MIN_TRUE_POSITIVE_RATE = 0.8

Weights = Float[np.ndarray, "r n"]
Values = Float[np.ndarray, " r"]


@dataclass(frozen=True)
class Curve:
    """The weight of the rows at or above each of some falling scores; the first lies above all.

    Scores without a positive that follow each other are one point, as no metric here tells them
    apart: a rare class has few points, however many rows there are.

    Attributes:
        false: Of the negatives `(r, u)`.
        true: Of the positives `(r, u)`.
    """

    false: Float[np.ndarray, "r u"]
    true: Float[np.ndarray, "r u"]

    @property
    def rates(self) -> tuple[np.ndarray, np.ndarray]:
        """False- and true-positive rates; NaN where there is no row of a kind."""
        with np.errstate(invalid="ignore"):
            return self.false / self.false[:, -1:], self.true / self.true[:, -1:]


CurveMetric = Callable[[Curve], Values]


def curve_of(
    scores: Float[np.ndarray, " n"], positive: Bool[np.ndarray, " n"], weights: Weights
) -> Curve:
    """Return the curve of some rows under each weighting; equal scores are one point."""
    order = np.argsort(-scores, kind="stable")
    # Equal scores end together: no order among them is known, and none may be made up.
    ends = np.flatnonzero(np.diff(scores[order], append=np.nan) != 0)
    has_positive = np.diff(np.cumsum(positive[order])[ends], prepend=0) > 0
    # Of ends without a positive only the last before one is kept (see `Curve`).
    ends = ends[has_positive | np.append(has_positive[1:], True)]
    false, true = (
        _sums_above(mask, order, ends, weights=weights) for mask in (~positive, positive)
    )
    return Curve(false, true)


def area(curve: Curve) -> Values:
    """Return the area under the ROC curve."""
    false, true = curve.rates
    return (np.diff(false, axis=1) * (true[:, 1:] + true[:, :-1]) / 2.0).sum(axis=1)


def area_above(curve: Curve) -> Values:
    """Return the area between the ROC curve and a true-positive rate of 80 %, in [0, 0.2].

    The score of the ISIC 2024 challenge (SLICE-3D), where a missed cancer is what matters.
    """
    false, true = curve.rates
    above = true - MIN_TRUE_POSITIVE_RATE
    low, high = above[:, :-1], above[:, 1:]  # a segment's ends; the curve never falls
    # Above 80 % a segment adds its trapezoid, one that crosses the triangle high^2 / (2 rise).
    rise = np.where(high > low, high - low, 1.0)
    crossing = np.maximum(high, 0.0) ** 2 / (2.0 * rise)
    heights = np.where(low >= 0.0, (low + high) / 2.0, crossing)
    return (np.diff(false, axis=1) * heights).sum(axis=1)


def average_of_precision(curve: Curve) -> Values:
    """Return the area under precision over recall, step by step."""
    hits, shown = curve.true[:, 1:], (curve.true + curve.false)[:, 1:]
    with np.errstate(invalid="ignore"):
        precision = np.where(shown > 0, hits / shown, 0.0)
        return (np.diff(curve.true, axis=1) * precision).sum(axis=1) / hits[:, -1]


def sensitivity(specificity: float) -> CurveMetric:
    """Return the metric: largest true-positive rate at a specificity in (0, 1)."""
    # 1 - 0.9 is 0.09999999999999998: a point at exactly a tenth must count.
    most_false = 1.0 - specificity + 1e-12

    def best(curve: Curve) -> Values:
        false, true = curve.rates
        rates = np.where(false <= most_false, true, 0.0).max(axis=1)
        # NaN compares as False, hence 0 above: what is undefined must stay so.
        return np.where(np.isnan(true[:, -1] + false[:, -1]), np.nan, rates)

    return best


def _sums_above(
    mask: np.ndarray, order: np.ndarray, ends: np.ndarray, *, weights: Weights
) -> np.ndarray:
    """Sum the weights of the rows of a mask up to each end in the order, 0 before all."""
    inside = mask[order]
    rows, above = order[inside], np.cumsum(inside)[ends]
    before = np.append(0, above[:-1])
    some = above > before  # ends before which no such row has come are left 0
    sums = np.zeros((len(ends) + 1, len(weights)))
    if len(rows):
        # Row after row: with all weightings of a row side by side this reads memory in its order.
        sums[1:][some] = np.add.reduceat(weights.T[rows], before[some], axis=0)
    totals: np.ndarray = np.cumsum(sums, axis=0).T
    return totals
