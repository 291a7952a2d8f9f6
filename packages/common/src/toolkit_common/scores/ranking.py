"""Metrics that rank rows by a score, from one curve: how much lies at or above each score.

The curve is what costs (sums over all rows for every weighting), so that several metrics share it
(`toolkit_common.scores.metrics.evaluate`).

Shapes: n rows, r weightings, u points, g groups.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_array

MIN_TRUE_POSITIVE_RATE = 0.8
EXACT_BELOW = 1 << 24  # fp32 knows every whole number up to here

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
    levels = np.unique(scores[positive])  # rising
    low, high = (np.searchsorted(levels, scores, side) for side in ("left", "right"))
    # Falling: what lies above all levels is 0, at the highest 1, between it and the next 2, ...
    # Equal scores are one part: no order among them is known, and none may be made up.
    part = 2 * (len(levels) - high) + (high - low)
    is_present = np.bincount(part) > 0
    count = int(is_present.sum())
    # Numbered anew, without parts that hold no row: they are no points.
    part = (np.cumsum(is_present) - 1)[part]
    sums = sum_groups(np.where(positive, part, count + part), 2 * count, weights)
    none = np.zeros((1, len(weights)))
    true, false = (np.cumsum(np.vstack([none, half]), axis=0).T for half in np.split(sums, 2))
    return Curve(false, true)


def sum_groups(
    groups: Int[np.ndarray, " n"], num_groups: int, weights: Weights
) -> Float[np.ndarray, "g r"]:
    """Return the sum of each group's weights under each weighting; a group of -1 is no group's."""
    order = np.argsort(groups.astype(np.min_scalar_type(-num_groups)), kind="stable")
    starts = np.searchsorted(groups[order], np.arange(num_groups + 1))
    rows = order[starts[0] :]
    # A product with ones where a row is in a group: row after row, and no copy of the weights,
    # which with all weightings of a row side by side are read in the order of memory.
    members = csr_array(
        (np.ones(len(rows), weights.dtype), rows, starts - starts[0]),
        shape=(num_groups, len(groups)),
    )
    sums: np.ndarray = (members @ weights.T).astype(float)
    return sums


def narrowed(weights: Weights) -> Weights:
    """Return weights in half the bytes where that changes no sum: counts, as those of resamples."""
    # Whole numbers add up exactly in fp32 below 2^24, in any order.
    narrow = weights.astype(np.float32)
    is_exact = (
        (narrow == weights).all()
        and (np.trunc(narrow) == narrow).all()
        and weights.sum(axis=1).max(initial=0) < EXACT_BELOW
        and weights.min(initial=0) >= 0
    )
    return narrow if is_exact else weights


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
