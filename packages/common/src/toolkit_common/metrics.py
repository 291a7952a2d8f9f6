"""Classification metrics, computed from saved probabilities, with a weight for every row.

One vectorised definition serves the figure itself (all weights 1) and its bootstrap (weights are
how often a row was drawn). A metric that is undefined (a class without rows) is NaN, never 0
(specs/traps.md 7). Each is tested against scikit-learn with `sample_weight`.

Shapes: n rows, c classes, r weightings.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from toolkit_common.registry import lookup


@dataclass(frozen=True)
class Predictions:
    """Probabilities `(n, c)` of the classes, and the true classes `(n,)`."""

    probabilities: Float[np.ndarray, "n c"]
    targets: Int[np.ndarray, " n"]

    @property
    def num_classes(self) -> int:
        """Number of classes c."""
        return int(self.probabilities.shape[1])

    @cached_property
    def predicted(self) -> Int[np.ndarray, " n"]:
        """The most probable class of each row."""
        return self.probabilities.argmax(axis=1)

    @cached_property
    def is_class(self) -> Float[np.ndarray, "n c"]:
        """One-hot targets."""
        return np.eye(self.num_classes)[self.targets]


CALIBRATION_BINS = 15
MIN_TRUE_POSITIVE_RATE = 0.8

Weights = Float[np.ndarray, "r n"]
Values = Float[np.ndarray, " r"]
Metric = Callable[[Predictions, Weights], Values]


def top1(predictions: Predictions, weights: Weights) -> Values:
    """Share of rows whose most probable class is the true one, in [0, 1]."""
    return _share(predictions.predicted == predictions.targets, weights)


def top5(predictions: Predictions, weights: Weights) -> Values:
    """Share of rows whose true class is among the five most probable, in [0, 1].

    Of equally probable classes the first come first, as in `argmax`. NaN up to five classes.
    """
    if predictions.num_classes <= 5:
        return np.full(len(weights), np.nan)
    best = np.argsort(-predictions.probabilities, axis=1, kind="stable")[:, :5]
    return _share((best == predictions.targets[:, None]).any(axis=1), weights)


def balanced_accuracy(predictions: Predictions, weights: Weights) -> Values:
    """Mean over the classes present of the share of their rows that is found, in [0, 1]."""
    found = (predictions.predicted == predictions.targets)[:, None] * predictions.is_class
    with np.errstate(invalid="ignore"):
        recall = (weights @ found) / (weights @ predictions.is_class)
    return _mean_defined(recall)


def macro_f1(predictions: Predictions, weights: Weights) -> Values:
    """Mean over classes of F1, classes neither true nor predicted left out, in [0, 1]."""
    is_predicted = np.eye(predictions.num_classes)[predictions.predicted]
    hits = weights @ (is_predicted * predictions.is_class)
    both = weights @ is_predicted + weights @ predictions.is_class
    with np.errstate(invalid="ignore"):
        return _mean_defined(2.0 * hits / both)


def auroc(predictions: Predictions, weights: Weights) -> Values:
    """Area under the ROC curve: of class 1 for two classes, else macro one-versus-rest.

    NaN as soon as one class has no row, as no part of the mean may be made up.
    """
    return _per_class(_binary_auroc, predictions, weights)


def average_precision(predictions: Predictions, weights: Weights) -> Values:
    """Average precision (step-wise area under precision-recall), classes as in `auroc`."""
    return _per_class(_binary_average_precision, predictions, weights)


def partial_auroc(predictions: Predictions, weights: Weights) -> Values:
    """Area between the ROC curve and a true-positive rate of 80 %, in [0, 0.2].

    The score of the ISIC 2024 challenge (SLICE-3D), where a missed cancer is what matters; classes
    as in `auroc`.
    """
    return _per_class(_binary_partial_auroc, predictions, weights)


def sensitivity_at(specificity: float) -> Metric:
    """Return the metric: largest true-positive rate at this specificity, classes as in `auroc`.

    Args:
        specificity: Share of the negatives that must be told as such, in (0, 1).
    """
    most_false = 1.0 - specificity + 1e-12

    def binary(scores: np.ndarray, positive: np.ndarray, weights: Weights) -> Values:
        false, true = _roc(scores, positive, weights)
        best = np.where(false <= most_false, true, 0.0).max(axis=1)
        return np.where(np.isnan(true[:, -1] + false[:, -1]), np.nan, best)

    def metric(predictions: Predictions, weights: Weights) -> Values:
        return _per_class(binary, predictions, weights)

    return metric


def expected_calibration_error(predictions: Predictions, weights: Weights) -> Values:
    """Mean gap between confidence and accuracy over 15 equal bins (Guo et al. 2017)."""
    confidence = predictions.probabilities.max(axis=1)
    in_bin = np.eye(CALIBRATION_BINS)[calibration_bins(confidence)]
    gap = (predictions.predicted == predictions.targets) - confidence
    return np.abs(weights @ (in_bin * gap[:, None])).sum(axis=1) / weights.sum(axis=1)


def calibration_bins(confidence: Float[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Return the bin of each confidence: (a, b] as in Guo et al. 2017, sec. 2, 0 in the first."""
    edges = np.arange(1, CALIBRATION_BINS) / CALIBRATION_BINS
    return np.searchsorted(edges, confidence, side="left")


def log_loss(predictions: Predictions, weights: Weights) -> Values:
    """Mean negative log-probability of the true class, in nats; probabilities at least 1e-7."""
    true = np.take_along_axis(predictions.probabilities, predictions.targets[:, None], axis=1)[:, 0]
    return (weights @ -np.log(np.maximum(true, 1e-7))) / weights.sum(axis=1)


METRICS: Mapping[str, Metric] = {
    "top1": top1,
    "top5": top5,
    "balanced_accuracy": balanced_accuracy,
    "macro_f1": macro_f1,
    "auroc": auroc,
    "average_precision": average_precision,
    "partial_auroc": partial_auroc,
    "sensitivity_at_90_specificity": sensitivity_at(0.9),
    "expected_calibration_error": expected_calibration_error,
    "log_loss": log_loss,
}
LOWER_IS_BETTER = ("expected_calibration_error", "log_loss")
CLASS_METRICS = ("top1", "balanced_accuracy", "macro_f1")  # need the predicted class alone
RANKING_METRICS = (  # sort all rows, once a class
    "auroc", "average_precision", "partial_auroc", "sensitivity_at_90_specificity",
)  # fmt: skip


def find_metric(name: str) -> Metric:
    """Return a metric by name; besides METRICS any `sensitivity_at_NN_specificity` (NN in %).

    Raises:
        InputError: If there is no such metric.
    """
    fixed = re.fullmatch(r"sensitivity_at_(\d\d?(?:\.\d+)?)_specificity", name)
    if fixed and name not in METRICS and float(fixed[1]) > 0:
        return sensitivity_at(float(fixed[1]) / 100.0)
    return lookup(METRICS, name, kind="metric")


def confusion_matrix(predictions: Predictions) -> Int[np.ndarray, "c c"]:
    """Return how many rows of each true class (rows) got each predicted one (columns)."""
    counts = np.zeros((predictions.num_classes, predictions.num_classes), np.int64)
    np.add.at(counts, (predictions.targets, predictions.predicted), 1)
    return counts


def compute_metrics(predictions: Predictions) -> dict[str, float | None]:
    """Return every metric; None where it is undefined."""
    ones = np.ones((1, len(predictions.targets)))
    found = {name: float(metric(predictions, ones)[0]) for name, metric in METRICS.items()}
    return {name: None if np.isnan(value) else value for name, value in found.items()}


def _share(hit: np.ndarray, weights: Weights) -> Values:
    return (weights @ hit.astype(float)) / weights.sum(axis=1)


def _mean_defined(values: np.ndarray) -> Values:
    defined = ~np.isnan(values)
    return np.where(defined, values, 0.0).sum(axis=1) / defined.sum(axis=1)


def _per_class(
    binary: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
    predictions: Predictions,
    weights: Weights,
) -> Values:
    classes = [1] if predictions.num_classes == 2 else range(predictions.num_classes)
    values = [
        binary(predictions.probabilities[:, index], predictions.targets == index, weights)
        for index in classes
    ]
    return np.mean(values, axis=0)


def _descending_groups(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the order from the highest score down, and where each run of equal scores ends."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.diff(scores[order], append=np.nan) != 0)
    return order, ends


def _roc(
    scores: np.ndarray, positive: np.ndarray, weights: Weights
) -> tuple[np.ndarray, np.ndarray]:
    """Return false- and true-positive rates `(r, u + 1)`, from (0, 0), a point a distinct score."""
    order, ends = _descending_groups(scores)
    rates = []
    for mask in (~positive, positive):
        counts = np.cumsum((weights * mask)[:, order], axis=1)[:, ends]
        with np.errstate(invalid="ignore"):
            rates.append(np.pad(counts / counts[:, -1:], ((0, 0), (1, 0))))
    return rates[0], rates[1]


def _binary_auroc(scores: np.ndarray, positive: np.ndarray, weights: Weights) -> Values:
    false, true = _roc(scores, positive, weights)
    return (np.diff(false, axis=1) * (true[:, 1:] + true[:, :-1]) / 2.0).sum(axis=1)


def _binary_partial_auroc(scores: np.ndarray, positive: np.ndarray, weights: Weights) -> Values:
    false, true = _roc(scores, positive, weights)
    above = true - MIN_TRUE_POSITIVE_RATE
    low, high = above[:, :-1], above[:, 1:]  # a segment's ends; the curve never falls
    rise = np.where(high > low, high - low, 1.0)
    crossing = np.maximum(high, 0.0) ** 2 / (2.0 * rise)
    heights = np.where(low >= 0.0, (low + high) / 2.0, crossing)
    return (np.diff(false, axis=1) * heights).sum(axis=1)


def _binary_average_precision(scores: np.ndarray, positive: np.ndarray, weights: Weights) -> Values:
    order, ends = _descending_groups(scores)
    hits = np.cumsum((weights * positive)[:, order], axis=1)[:, ends]
    shown = np.cumsum(weights[:, order], axis=1)[:, ends]
    with np.errstate(invalid="ignore"):
        precision = np.where(shown > 0, hits / shown, 0.0)
        return (np.diff(hits, axis=1, prepend=0.0) * precision).sum(axis=1) / hits[:, -1]
