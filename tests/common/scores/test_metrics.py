"""Every metric equals scikit-learn's, with weights and ties; the undefined is not made up."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    auc,
    average_precision_score,
    balanced_accuracy_score,
    f1_score,
    recall_score,
    roc_auc_score,
    roc_curve,
    top_k_accuracy_score,
)
from sklearn.metrics import confusion_matrix as sklearn_confusion_matrix
from sklearn.metrics import log_loss as sklearn_log_loss

from helpers.properties import few_examples
from toolkit_common.errors import InputError
from toolkit_common.scores.metrics import (
    LOWER_IS_BETTER,
    METRIC_NAMES,
    METRICS,
    RANKING_METRICS,
    Predictions,
    compute_metrics,
    confusion_matrix,
    evaluate,
    find_metric,
    metric_name,
)


def draw_predictions(
    seed: int, *, num_rows: int = 40, num_classes: int = 3, levels: int | None = None
) -> Predictions:
    """Random probabilities; `levels` rounds them, so that many are equal."""
    rng = np.random.default_rng(seed)
    scores = rng.random((num_rows, num_classes))
    if levels is not None:
        scores = (scores * levels).round() + 0.5
    targets = rng.permutation(np.arange(num_rows) % num_classes)
    return Predictions(scores / scores.sum(axis=1, keepdims=True), targets)


def by_class(function, predictions: Predictions, weights: np.ndarray) -> float:
    """The macro one-versus-rest mean, from the binary function of scikit-learn."""
    count = predictions.num_classes
    values = [
        function(predictions.targets == index, scores, sample_weight=weights)
        for index, scores in enumerate(predictions.probabilities.T)
    ]
    return values[1] if count == 2 else sum(values) / count


def top5_of_first_listed(predictions: Predictions, weights: np.ndarray) -> float:
    """scikit-learn prefers the last of equal scores, argmax the first: hence the mirror image."""
    last, mirrored = predictions.num_classes - 1, predictions.probabilities[:, ::-1]
    labels = range(last + 1)
    return top_k_accuracy_score(
        last - predictions.targets, mirrored, k=5, labels=labels, sample_weight=weights
    )


def macro(function, predictions: Predictions, weights: np.ndarray) -> float:
    """scikit-learn's macro mean over the classes for which the function is defined."""
    return function(
        predictions.targets,
        predictions.predicted,
        average="macro",
        labels=range(predictions.num_classes),
        zero_division=np.nan,
        sample_weight=weights,
    )


def partial_auroc(is_positive: np.ndarray, scores: np.ndarray, sample_weight: np.ndarray) -> float:
    """As the ISIC 2024 challenge computes it: mirrored, so that scikit-learn's FPR is 1 - TPR."""
    false, true, _ = roc_curve(
        ~is_positive, -scores, sample_weight=sample_weight, drop_intermediate=False
    )
    stop = np.searchsorted(false, 0.2, "right")
    x = np.append(false[:stop], 0.2)
    y = np.append(
        true[:stop], np.interp(0.2, false[stop - 1 : stop + 1], true[stop - 1 : stop + 1])
    )
    return auc(x, y)


def sensitivity(is_positive: np.ndarray, scores: np.ndarray, sample_weight: np.ndarray) -> float:
    """The best threshold of scikit-learn's curve that raises at most 10 % false alarms."""
    false, true, _ = roc_curve(
        is_positive, scores, sample_weight=sample_weight, drop_intermediate=False
    )
    return max(hits for alarms, hits in zip(false, true, strict=True) if alarms <= 0.1)


def calibration_error(predictions: Predictions, weights: np.ndarray) -> float:
    """A loop over rows and bins; Guo et al.'s bins (a, b] hold their upper edge."""
    gaps = [0.0] * 15
    for row, target, weight in zip(
        predictions.probabilities, predictions.targets, weights, strict=True
    ):
        confidence = max(row)
        hit = float(list(row).index(confidence) == target)
        bin_of = next(index for index in range(15) if confidence <= (index + 1) / 15)
        gaps[bin_of] += weight * (hit - confidence)
    return sum(map(abs, gaps)) / sum(weights)


REFERENCES = {
    "top1": lambda p, w: accuracy_score(p.targets, p.predicted, sample_weight=w),
    "top5": top5_of_first_listed,
    "balanced_accuracy": lambda p, w: macro(recall_score, p, w),
    "macro_f1": lambda p, w: macro(f1_score, p, w),
    "auroc": lambda p, w: by_class(roc_auc_score, p, w),
    "average_precision": lambda p, w: by_class(average_precision_score, p, w),
    "partial_auroc": lambda p, w: by_class(partial_auroc, p, w),
    "sensitivity_at_90_specificity": lambda p, w: by_class(sensitivity, p, w),
    "expected_calibration_error": calibration_error,
    "log_loss": lambda p, w: sklearn_log_loss(p.targets, p.probabilities, sample_weight=w),
}


def test_every_metric_has_a_reference() -> None:
    assert list(METRICS) == list(REFERENCES)


@pytest.mark.slow
@pytest.mark.parametrize("name", METRICS)
@few_examples
@given(
    seed=st.integers(0, 2**32),
    num_classes=st.integers(2, 8),
    levels=st.sampled_from([None, 1, 2, 4]),
)
def test_a_metric_equals_scikit_learn(
    name: str, seed: int, num_classes: int, levels: int | None
) -> None:
    predictions = draw_predictions(seed, num_classes=num_classes, levels=levels)
    weights = np.random.default_rng(seed).integers(1, 4, (3, 40)).astype(float)
    result = METRICS[name](predictions, weights)
    if name == "top5" and num_classes <= 5:
        assert np.isnan(result).all()
        return
    expected = [REFERENCES[name](predictions, row) for row in weights]
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", METRICS)
@few_examples
@given(seed=st.integers(0, 2**32), num_classes=st.sampled_from([2, 7]))
def test_a_weight_counts_as_so_many_rows(name: str, seed: int, num_classes: int) -> None:
    predictions = draw_predictions(seed, num_classes=num_classes, levels=3)
    counts = np.random.default_rng(seed).integers(0, 3, 40)
    rows = np.repeat(np.arange(40), counts)
    repeated = Predictions(predictions.probabilities[rows], predictions.targets[rows])
    result = METRICS[name](predictions, counts[None].astype(float))
    expected = METRICS[name](repeated, np.ones((1, len(rows))))
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-12)


@few_examples
@given(seed=st.integers(0, 2**32), name=st.sampled_from(sorted(METRICS)))
def test_all_metrics_but_the_log_loss_lie_between_0_and_1(seed: int, name: str) -> None:
    predictions = draw_predictions(seed, num_classes=6, levels=2)
    value = METRICS[name](predictions, np.ones((1, 40)))[0]
    assert 0.0 <= value <= (np.inf if name == "log_loss" else 1.0)


def test_with_two_classes_the_ranking_metrics_are_those_of_class_1() -> None:
    predictions = draw_predictions(0, num_classes=2)
    scores = predictions.probabilities[:, 1]
    result = compute_metrics(predictions)
    assert result["auroc"] == pytest.approx(roc_auc_score(predictions.targets, scores))
    expected = average_precision_score(predictions.targets, scores)
    assert result["average_precision"] == pytest.approx(expected)


def without_class(predictions: Predictions, absent: int) -> Predictions:
    kept = predictions.targets != absent
    return Predictions(predictions.probabilities[kept], predictions.targets[kept])


@pytest.mark.parametrize("num_classes", [2, 3])
def test_ranking_metrics_are_undefined_when_a_class_has_no_row(num_classes: int) -> None:
    predictions = without_class(draw_predictions(0, num_classes=num_classes), 1)
    result = compute_metrics(predictions)
    for name in RANKING_METRICS:
        assert result[name] is None, name


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true:UserWarning")
def test_balanced_accuracy_is_the_mean_over_the_classes_present() -> None:
    predictions = without_class(draw_predictions(0, num_classes=4), 2)
    expected = balanced_accuracy_score(predictions.targets, predictions.predicted)
    assert compute_metrics(predictions)["balanced_accuracy"] == pytest.approx(expected)


def test_classes_neither_true_nor_predicted_do_not_count_in_f1() -> None:
    probabilities = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.7, 0.3, 0.0]])
    targets = np.array([0, 1, 1])
    result = compute_metrics(Predictions(probabilities, targets))["macro_f1"]
    assert result == pytest.approx(f1_score(targets, [0, 1, 0], average="macro"))


def test_top5_is_undefined_with_five_classes() -> None:
    assert compute_metrics(draw_predictions(0, num_classes=5))["top5"] is None
    assert compute_metrics(draw_predictions(0, num_classes=6))["top5"] is not None


def test_a_class_without_any_vote_is_not_among_the_top_five() -> None:
    # k-NN gives most classes probability 0: equal zeros must not all count as found.
    probabilities = np.zeros((1, 100))
    probabilities[0, :2] = 0.5
    assert compute_metrics(Predictions(probabilities, np.array([50])))["top5"] == 0.0


def test_constant_scores_rank_no_better_than_chance() -> None:
    targets = np.array([0, 1, 1, 0])
    result = compute_metrics(Predictions(np.full((4, 2), 0.5), targets))
    assert result["auroc"] == 0.5
    assert result["average_precision"] == 0.5


def test_perfect_predictions_score_1_everywhere() -> None:
    targets = np.arange(12) % 6
    result = compute_metrics(Predictions(np.eye(6)[targets], targets))
    errors = dict.fromkeys(LOWER_IS_BETTER, 0.0)
    assert result == pytest.approx({**dict.fromkeys(METRICS, 1.0), **errors, "partial_auroc": 0.2})


@few_examples
@given(seed=st.integers(0, 2**32), num_classes=st.integers(2, 6))
def test_the_confusion_matrix_equals_scikit_learns(seed: int, num_classes: int) -> None:
    predictions = draw_predictions(seed, num_classes=num_classes)
    expected = sklearn_confusion_matrix(
        predictions.targets, predictions.predicted, labels=range(num_classes)
    )
    np.testing.assert_array_equal(confusion_matrix(predictions), expected)


def test_a_true_class_of_probability_0_costs_much_but_not_everything() -> None:
    result = compute_metrics(Predictions(np.array([[1.0, 0.0]]), np.array([1])))["log_loss"]
    assert result == pytest.approx(-np.log(1e-7))


def test_a_confidence_on_an_edge_of_calibration_belongs_to_the_bin_below() -> None:
    predictions = Predictions(np.array([[0.6, 0.4], [0.62, 0.38]]), np.array([0, 1]))  # 0.6 = 9/15
    result = compute_metrics(predictions)["expected_calibration_error"]
    assert result == pytest.approx((0.4 + 0.62) / 2)  # in one bin they would cancel


@few_examples
@given(edges=st.lists(st.integers(8, 15), min_size=1, max_size=12), seed=st.integers(0, 2**32))
def test_calibration_on_the_edges_equals_a_loop(edges: list[int], seed: int) -> None:
    confidences = np.array(edges) / 15
    targets = np.random.default_rng(seed).integers(0, 2, len(edges))
    predictions = Predictions(np.stack([confidences, 1 - confidences], axis=1), targets)
    weights = np.ones((1, len(edges)))
    result = METRICS["expected_calibration_error"](predictions, weights)[0]
    assert result == pytest.approx(calibration_error(predictions, weights[0]))


def test_no_confidence_at_all_is_in_the_first_bin() -> None:
    result = compute_metrics(Predictions(np.zeros((1, 2)), np.array([0])))
    assert result["expected_calibration_error"] == 1.0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("num_classes", [2, 7])
def test_no_metric_is_defined_where_a_probability_is_not_finite(
    bad: float, num_classes: int
) -> None:
    predictions = draw_predictions(0, num_classes=num_classes)
    predictions.probabilities[3] = bad
    assert compute_metrics(predictions) == dict.fromkeys(METRICS)
    for name in (*METRICS, "sensitivity_at_80_specificity"):
        assert np.isnan(find_metric(name)(predictions, np.ones((2, 40)))).all(), name


@pytest.mark.slow
@few_examples
@given(seed=st.integers(0, 2**32), num_classes=st.sampled_from([2, 6]))
def test_metrics_evaluated_together_equal_those_alone(seed: int, num_classes: int) -> None:
    predictions = draw_predictions(seed, num_classes=num_classes, levels=3)
    weights = np.random.default_rng(seed).integers(0, 3, (3, 40)).astype(float)
    names = [*METRICS, "sensitivity_at_80_specificity"]
    result = evaluate(predictions, weights, names)
    assert list(result) == names
    for name in names:
        np.testing.assert_array_equal(result[name], find_metric(name)(predictions, weights))


@pytest.mark.parametrize("percent", [80, 95, 97.5])
@pytest.mark.parametrize("seed", range(3))
def test_sensitivity_at_any_specificity_equals_scikit_learns_curve(
    percent: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    targets = rng.permutation(np.arange(80) % 2)
    scores = np.round(rng.random(80) + 0.3 * targets, 2) / 2
    predictions = Predictions(np.stack([1 - scores, scores], axis=1), targets)
    false, true, _ = roc_curve(targets, scores)
    expected = true[false <= 1 - percent / 100 + 1e-12].max()
    result = find_metric(f"sensitivity_at_{percent:g}_specificity")(predictions, np.ones((1, 80)))
    assert result[0] == pytest.approx(expected)


@pytest.mark.parametrize("name", ["sensitivity_at_0_specificity", "sensitivity_at_x", "auc"])
def test_unknown_metrics_are_answered_with_the_nearest(name: str) -> None:
    with pytest.raises(InputError, match=f"unknown metric '{name}'"):
        find_metric(name)


def test_metrics_have_names_for_people() -> None:
    names = {name: metric_name(name) for name in METRICS}
    assert names["auroc"] == "AUROC"
    assert names["sensitivity_at_90_specificity"] == "sensitivity at 90 specificity"
    assert len(set(names.values())) == len(names)
    assert set(METRIC_NAMES) <= set(METRICS)
