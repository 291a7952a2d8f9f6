"""Classification metrics, computed from saved probabilities, with a weight for every row.

One vectorised definition serves the figure itself (all weights 1) and its bootstrap (weights are
how often a row was drawn). A metric that is undefined (a class without rows; a probability that is
not finite, as of a head that diverged) is NaN, never 0 (docs/traps.md 7). Each is tested against
scikit-learn with `sample_weight`.

Shapes: n rows, c classes, r weightings.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, wraps

import numpy as np
from jaxtyping import Bool, Float, Int

from toolkit_common.registry import lookup
from toolkit_common.scores import ranking
from toolkit_common.scores.ranking import Values, Weights


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
    def is_finite(self) -> bool:
        """Whether every row has probabilities: those of a head that diverged are NaN."""
        return bool(np.isfinite(self.probabilities).all())

    @cached_property
    def predicted(self) -> Int[np.ndarray, " n"]:
        """The most probable class of each row."""
        return self.probabilities.argmax(axis=1)

    @cached_property
    def is_hit(self) -> Bool[np.ndarray, " n"]:
        """Whether the most probable class of each row is the true one."""
        return self.predicted == self.targets

    @cached_property
    def num_before(self) -> Int[np.ndarray, " n"]:
        """How many classes come before the true one: more probable, or as much and earlier."""
        true = np.take_along_axis(self.probabilities, self.targets[:, None], axis=1)
        before = (self.probabilities > true).sum(axis=1)
        is_earlier = np.arange(self.num_classes) < self.targets[:, None]
        return before + ((self.probabilities == true) & is_earlier).sum(axis=1)

    def by_class(
        self, classes: Int[np.ndarray, " n"], weights: Weights
    ) -> Float[np.ndarray, "r c"]:
        """Return the weight of each class's rows under each weighting; -1 is no class."""
        # Never as a product with one-hot rows, which are n x c.
        return np.ascontiguousarray(ranking.sum_groups(classes, self.num_classes, weights).T)


CALIBRATION_BINS = 15

Metric = Callable[[Predictions, Weights], Values]


def _of_finite(metric: Metric) -> Metric:
    """Make a metric NaN where probabilities are not finite: an argmax of NaN would be class 0."""

    @wraps(metric)
    def guarded(predictions: Predictions, weights: Weights) -> Values:
        if not predictions.is_finite:
            return np.full(len(weights), np.nan)
        return metric(predictions, weights)

    return guarded


@_of_finite
def top1(predictions: Predictions, weights: Weights) -> Values:
    """Share of rows whose most probable class is the true one, in [0, 1]."""
    return _share(predictions.is_hit, weights)


@_of_finite
def top5(predictions: Predictions, weights: Weights) -> Values:
    """Share of rows whose true class is among the five most probable, in [0, 1].

    Of equally probable classes the first come first, as in `argmax`. NaN up to five classes.
    """
    if predictions.num_classes <= 5:
        return np.full(len(weights), np.nan)
    return _share(predictions.num_before < 5, weights)


@_of_finite
def balanced_accuracy(predictions: Predictions, weights: Weights) -> Values:
    """Mean over the classes present of the share of their rows predicted right, in [0, 1]."""
    true = predictions.by_class(predictions.targets, weights)
    with np.errstate(invalid="ignore"):  # a class without rows: 0 / 0, left out of the mean
        return _mean_defined(_hits(predictions, weights) / true)


@_of_finite
def macro_f1(predictions: Predictions, weights: Weights) -> Values:
    """Mean over classes of F1, classes neither true nor predicted left out, in [0, 1]."""
    # F1 = 2 tp / (predicted + true), which needs neither precision nor recall.
    both = predictions.by_class(predictions.predicted, weights)
    both += predictions.by_class(predictions.targets, weights)
    with np.errstate(invalid="ignore"):
        return _mean_defined(2.0 * _hits(predictions, weights) / both)


@_of_finite
def expected_calibration_error(predictions: Predictions, weights: Weights) -> Values:
    """Mean gap between confidence and accuracy over 15 equal bins (Guo et al. 2017)."""
    confidence = predictions.probabilities.max(axis=1)
    in_bin = np.eye(CALIBRATION_BINS)[calibration_bins(confidence)]
    # A bin's share times its gap is the sum of its rows' gaps over n: empty bins divide nothing.
    gap = predictions.is_hit - confidence
    return np.abs(weights @ (in_bin * gap[:, None])).sum(axis=1) / weights.sum(axis=1)


def calibration_bins(confidence: Float[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Return the bin of each confidence: (a, b] as in Guo et al. 2017, sec. 2, 0 in the first."""
    edges = np.arange(1, CALIBRATION_BINS) / CALIBRATION_BINS
    return np.searchsorted(edges, confidence, side="left")


@_of_finite
def log_loss(predictions: Predictions, weights: Weights) -> Values:
    """Mean negative log-probability of the true class, in nats; probabilities at least 1e-7."""
    # A softmax in fp32 reaches 0, and one such row would make every loss infinite.
    true = np.take_along_axis(predictions.probabilities, predictions.targets[:, None], axis=1)[:, 0]
    return (weights @ -np.log(np.maximum(true, 1e-7))) / weights.sum(axis=1)


# Of class 1 for two classes, else the mean over the classes, each against the rest; NaN as soon as
# one class has no row, as no part of the mean may be made up. Each reads all rows, once a class.
RANKING_METRICS: Mapping[str, ranking.CurveMetric] = {
    "auroc": ranking.area,
    "average_precision": ranking.average_of_precision,
    "partial_auroc": ranking.area_above,
    "sensitivity_at_90_specificity": ranking.sensitivity(0.9),
}


def _ranked(curve_metric: ranking.CurveMetric) -> Metric:
    return lambda predictions, weights: _rank([curve_metric], predictions, weights)[0]


auroc = _ranked(ranking.area)

METRICS: Mapping[str, Metric] = {
    "top1": top1,
    "top5": top5,
    "balanced_accuracy": balanced_accuracy,
    "macro_f1": macro_f1,
    **{name: _ranked(curve_metric) for name, curve_metric in RANKING_METRICS.items()},
    "expected_calibration_error": expected_calibration_error,
    "log_loss": log_loss,
}
LOWER_IS_BETTER = ("expected_calibration_error", "log_loss")
METRIC_NAMES = {  # where words of the key are not those of people
    "auroc": "AUROC",
    "expected_calibration_error": "calibration error",
    "log_loss": "log-loss",
    "macro_f1": "macro F1",
    "partial_auroc": "partial AUROC",
    "top1": "top-1",
    "top5": "top-5",
}
CLASS_METRICS = ("top1", "balanced_accuracy", "macro_f1")  # need the predicted class alone


def find_metric(name: str) -> Metric:
    """Return a metric by name; besides METRICS any `sensitivity_at_NN_specificity` (NN in %).

    Raises:
        InputError: If there is no such metric.
    """
    if is_ranking(name):
        return _ranked(_curve_metric(name))
    return lookup(METRICS, name, kind="metric")


def metric_name(name: str) -> str:
    """Return what a metric is called where people read it."""
    return METRIC_NAMES.get(name, name.replace("_", " "))


def follows(name: str) -> bool:
    """Tell whether a metric follows from predictions: what retrieval finds does not."""
    return name in METRICS or is_ranking(name)


def is_ranking(name: str) -> bool:
    """Tell whether a metric of this name sorts all rows."""
    return name in RANKING_METRICS or _specificity_in(name) is not None


def evaluate(
    predictions: Predictions, weights: Weights, names: Sequence[str] = tuple(METRICS)
) -> dict[str, Values]:
    """Return several metrics (see `find_metric`); those that rank share their sorts.

    Raises:
        InputError: If there is no such metric.
    """
    curves = {name: _curve_metric(name) for name in names if is_ranking(name)}
    ranked = _rank(list(curves.values()), predictions, weights) if curves else []
    shared = dict(zip(curves, ranked, strict=True))
    return {
        name: shared[name] if name in shared else find_metric(name)(predictions, weights)
        for name in names
    }


def confusion_matrix(predictions: Predictions) -> Int[np.ndarray, "c c"]:
    """Return how many rows of each true class (rows) got each predicted one (columns).

    Of finite probabilities alone: others predict nothing.
    """
    assert predictions.is_finite
    counts = np.zeros((predictions.num_classes, predictions.num_classes), np.int64)
    # Pairs repeat, and += would count each once.
    np.add.at(counts, (predictions.targets, predictions.predicted), 1)
    return counts


def compute_metrics(predictions: Predictions) -> dict[str, float | None]:
    """Return every metric; None where it is undefined."""
    ones = np.ones((1, len(predictions.targets)))
    metrics = {name: float(values[0]) for name, values in evaluate(predictions, ones).items()}
    # Results are JSON, which has no NaN.
    return {name: None if np.isnan(value) else value for name, value in metrics.items()}


def _specificity_in(name: str) -> float | None:
    fixed = re.fullmatch(r"sensitivity_at_(\d\d?(?:\.\d+)?)_specificity", name)
    return float(fixed[1]) / 100.0 if fixed and float(fixed[1]) > 0 else None


def _curve_metric(name: str) -> ranking.CurveMetric:
    specificity = _specificity_in(name)
    return RANKING_METRICS[name] if specificity is None else ranking.sensitivity(specificity)


def _share(hit: np.ndarray, weights: Weights) -> Values:
    return (weights @ hit.astype(float)) / weights.sum(axis=1)


def _hits(predictions: Predictions, weights: Weights) -> Float[np.ndarray, "r c"]:
    """Return the weight of each class's rows that are predicted right."""
    return predictions.by_class(np.where(predictions.is_hit, predictions.targets, -1), weights)


def _mean_defined(values: np.ndarray) -> Values:
    defined = ~np.isnan(values)
    return np.where(defined, values, 0.0).sum(axis=1) / defined.sum(axis=1)


def _rank(
    curve_metrics: Sequence[ranking.CurveMetric], predictions: Predictions, weights: Weights
) -> list[Values]:
    """Return metrics that rank, over the classes; each class is sorted once for all of them."""
    if not predictions.is_finite:
        return [np.full(len(weights), np.nan) for _ in curve_metrics]
    # Of two classes the second is the positive one: precision and sensitivity are its own.
    classes = [1] if predictions.num_classes == 2 else range(predictions.num_classes)
    weights = ranking.narrowed(weights)
    sums = np.zeros((len(curve_metrics), len(weights)))
    for index in classes:
        positive = predictions.targets == index
        curve = ranking.curve_of(predictions.probabilities[:, index], positive, weights)
        # A class that is NaN makes the mean NaN.
        sums += [metric(curve) for metric in curve_metrics]
    return list(sums / len(classes))
