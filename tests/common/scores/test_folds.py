"""Figures of all folds: what is pooled, what is averaged, and whose intervals they have."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from toolkit_common.scores.folds import estimate_fold_difference, estimate_folds, is_pooled
from toolkit_common.scores.metrics import METRICS, Predictions
from toolkit_common.scores.statistics import (
    SHIFTED,
    draw_weights,
    estimate,
    estimate_difference,
)
from toolkit_common.seed import derive_seed

SIZES = (40, 50, 36)
FOLDS = np.repeat(np.arange(3), SIZES)
GROUPS = np.array([f"{fold}-{row // 2}" for fold, size in enumerate(SIZES) for row in range(size)])


def draw(seed: int, *, size: int = len(FOLDS), skill: float = 1.0) -> Predictions:
    rng = np.random.default_rng(seed)
    targets = rng.permutation(np.arange(size) % 2)
    scores = rng.normal(size=size) + skill * (2 * targets - 1)
    positive = 1 / (1 + np.exp(-scores))
    return Predictions(np.stack([1 - positive, positive], axis=1), targets)


def of_fold(predictions: Predictions, fold: int) -> Predictions:
    mask = fold == FOLDS
    return Predictions(predictions.probabilities[mask], predictions.targets[mask])


def auroc(predictions: Predictions) -> float:
    return float(roc_auc_score(predictions.targets, predictions.probabilities[:, 1]))


def test_only_what_ranks_or_calibrates_is_averaged() -> None:
    averaged = [name for name in METRICS if not is_pooled(name)]
    assert averaged == ["auroc", "average_precision", "partial_auroc",
                        "sensitivity_at_90_specificity", "expected_calibration_error"]  # fmt: skip
    assert not is_pooled("sensitivity_at_80_specificity")


def test_a_figure_is_the_mean_over_folds_beside_that_of_all_predictions_together() -> None:
    predictions = draw(0)
    estimated = estimate_folds([predictions], GROUPS, FOLDS, names=["balanced_accuracy", "auroc"])
    each = [
        balanced_accuracy_score(part.targets, part.probabilities.argmax(axis=1))
        for part in (of_fold(predictions, fold) for fold in range(3))
    ]
    found = estimated["balanced_accuracy"]
    assert found.values == pytest.approx(each)
    assert (found.mean, found.sd) == pytest.approx((np.mean(each), np.std(each, ddof=1)))
    whole = estimate([predictions], GROUPS, names=["balanced_accuracy"])["balanced_accuracy"]
    assert (found.pooled, found.ci) == (whole.mean, whole.ci)
    areas = [auroc(of_fold(predictions, fold)) for fold in range(3)]
    assert estimated["auroc"].values == pytest.approx(areas)
    assert estimated["auroc"].mean == pytest.approx(np.mean(areas))
    assert estimated["auroc"].pooled is None


def test_how_the_head_of_a_fold_is_scaled_changes_no_ranking() -> None:
    predictions = draw(0)
    positive = predictions.probabilities[:, 1].copy()
    positive[FOLDS == 1] *= 0.1  # in order within the fold, below all others across
    scaled = Predictions(np.stack([1 - positive, positive], axis=1), predictions.targets)
    one, other = (
        estimate_folds([item], GROUPS, FOLDS, names=["auroc"])["auroc"]
        for item in (predictions, scaled)
    )
    assert other == one
    assert auroc(scaled) < auroc(predictions) - 0.05


@pytest.mark.slow
def test_intervals_of_a_mean_over_folds_draw_groups_within_each_as_a_loop_does() -> None:
    predictions = draw(2)
    drawn = []
    for fold in range(3):
        part, groups = of_fold(predictions, fold), GROUPS[fold == FOLDS]
        rng = np.random.default_rng(derive_seed(derive_seed(7, "fold", fold), "bootstrap"))
        weights = draw_weights(groups, num_resamples=1000, rng=rng).astype(int)
        rows = [np.repeat(np.arange(len(groups)), counts) for counts in weights]
        drawn.append(
            [auroc(Predictions(part.probabilities[own], part.targets[own])) for own in rows]
        )
    expected = np.quantile(np.mean(drawn, axis=0), [0.025, 0.975])
    found = estimate_folds([predictions], GROUPS, FOLDS, names=["auroc"], seed=7)["auroc"]
    assert found.ci == pytest.approx(tuple(expected))
    assert found.resamples == 1000


def test_folds_are_drawn_independently_of_each_other() -> None:
    one = draw(3, size=60)
    four = Predictions(np.tile(one.probabilities, (4, 1)), np.tile(one.targets, 4))
    alone = estimate([one], np.arange(60), names=["auroc"])["auroc"]
    groups, folds = np.arange(240), np.repeat(np.arange(4), 60)
    together = estimate_folds([four], groups, folds, names=["auroc"])["auroc"]
    assert alone.ci is not None
    assert together.ci is not None
    shares = np.diff(together.ci) / np.diff(alone.ci)
    assert 0.4 < shares[0] < 0.6  # a half: of four; in step they would be as wide


def test_a_figure_that_a_fold_lacks_is_undefined_and_says_which() -> None:
    predictions = draw(0)
    targets = np.where(FOLDS == 1, 0, predictions.targets)
    found = estimate_folds(
        [Predictions(predictions.probabilities, targets)], GROUPS, FOLDS, names=["auroc", "top1"]
    )
    assert (found["auroc"].mean, found["auroc"].ci) == (None, None)
    assert found["auroc"].why_no_ci == "undefined in fold 1"
    assert found["auroc"].values[1] is None
    assert found["top1"].pooled == pytest.approx(
        (predictions.probabilities.argmax(axis=1) == targets).mean()
    )


def test_resamples_without_a_rare_class_are_passed_over_up_to_half_of_a_folds() -> None:
    predictions, few = draw(0), np.zeros(len(FOLDS), int)
    few[[0, 4, 41, 47, 95, 99]] = 1  # two groups a fold: missing from an eighth of its resamples
    found = estimate_folds(
        [Predictions(predictions.probabilities, few)], GROUPS, FOLDS, names=["auroc"]
    )["auroc"]
    assert found.ci is not None
    assert 800 < found.resamples < 1000


def test_no_interval_is_explained_by_the_fold() -> None:
    groups = np.where(FOLDS == 2, "one", GROUPS)
    found = estimate_folds([draw(0)], groups, FOLDS, names=["auroc"])["auroc"]
    assert found.ci is None
    assert found.why_no_ci == "not computed: all images are of one group (fold 2)"


def test_a_mean_that_resampling_moves_away_has_no_interval() -> None:
    # In each of eight folds three patients, each with a positive right above its negative. Of the
    # nine pairs six are in order; a patient drawn twice adds four of its own, all in order.
    levels = np.tile([0.9, 0.8, 0.5, 0.4, 0.2, 0.1], 8)
    run = Predictions(np.stack([1.0 - levels, levels], axis=1), np.tile([1, 0], 24))
    groups, folds = np.repeat(np.arange(24), 2), np.repeat(np.arange(8), 6)
    found = estimate_folds([run], groups, folds, names=["auroc", "log_loss"])
    assert found["auroc"].mean == pytest.approx(6 / 9)
    assert (found["auroc"].ci, found["auroc"].why_no_ci) == (None, SHIFTED)
    assert found["log_loss"].ci is not None


def test_differences_are_of_the_same_figures() -> None:
    one, skilled = draw(0), draw(0, skill=2.0)
    names = ["auroc", "top1"]
    found = estimate_fold_difference([[one], [skilled]], GROUPS, FOLDS, names=names)
    assert list(found) == names
    pooled = estimate_difference([one], [skilled], GROUPS, names=["top1"])["top1"]
    assert found["top1"] == pooled
    gaps = [auroc(of_fold(skilled, fold)) - auroc(of_fold(one, fold)) for fold in range(3)]
    assert found["auroc"].difference == pytest.approx(np.mean(gaps))
    assert found["auroc"].ci is not None
    assert 0 < found["auroc"].ci[0] < np.mean(gaps) < found["auroc"].ci[1]
    assert found["auroc"].p == pytest.approx(2 / 1001)
    same = estimate_fold_difference([[one], [one]], GROUPS, FOLDS, names=["auroc"])["auroc"]
    assert (same.difference, same.p) == (0.0, 1.0)
