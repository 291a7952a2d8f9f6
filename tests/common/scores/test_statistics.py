"""The bootstrap draws whole groups and agrees with one written as a loop."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score

from helpers.properties import few_examples
from toolkit_common.scores import statistics
from toolkit_common.scores.metrics import METRICS, RANKING_METRICS, Predictions, compute_metrics
from toolkit_common.scores.statistics import (
    ONE_GROUP,
    UNDEFINED,
    adjust_holm,
    all_differences,
    draw_weights,
    estimate,
    estimate_difference,
    estimate_mean,
)


def draw_predictions(
    seed: int, *, num_rows: int = 120, num_classes: int = 2, skill: float = 1.0
) -> Predictions:
    rng = np.random.default_rng(seed)
    targets = rng.permutation(np.arange(num_rows) % num_classes)
    logits = rng.normal(size=(num_rows, num_classes)) + skill * np.eye(num_classes)[targets]
    scores = np.exp(logits)
    return Predictions(scores / scores.sum(axis=1, keepdims=True), targets)


def patients(num_rows: int, rows_each: int) -> np.ndarray:
    return np.array([f"patient-{row // rows_each}" for row in range(num_rows)])


# Draws


@few_examples
@given(groups=st.lists(st.sampled_from("abcde"), min_size=1, max_size=20))
def test_groups_are_drawn_whole(groups: list[str]) -> None:
    names = np.array(groups)
    weights = draw_weights(names, num_resamples=20, rng=np.random.default_rng(0))
    assert weights.shape == (20, len(names))
    for name in set(groups):
        of_group = weights[:, names == name]
        assert (of_group == of_group[:, :1]).all()


def test_as_many_groups_are_drawn_as_there_are() -> None:
    groups = np.array([0, 0, 0, 5, 5, 9])
    weights = draw_weights(groups, num_resamples=500, rng=np.random.default_rng(0))
    first_of_each = weights[:, [0, 3, 5]]
    assert (first_of_each.sum(axis=1) == 3).all()
    assert np.abs(first_of_each.mean(axis=0) - 1.0).max() < 0.15


def test_a_group_is_drawn_as_often_as_chance_says() -> None:
    weights = draw_weights(np.arange(4), num_resamples=20000, rng=np.random.default_rng(0))
    share_left_out = (weights == 0).mean()
    assert share_left_out == pytest.approx((3 / 4) ** 4, abs=0.01)


# Estimates


def test_without_seeds_to_compare_there_is_no_standard_deviation() -> None:
    run = draw_predictions(0)
    result = estimate([run], np.arange(120))
    for name, value in compute_metrics(run).items():
        assert result[name].mean == (None if value is None else pytest.approx(value))
        assert result[name].values == (value,)
        assert result[name].sd is None


def test_seeds_are_averaged_and_spread() -> None:
    runs = [draw_predictions(seed) for seed in range(3)]
    result = estimate(runs, np.arange(120))["top1"]
    values = [compute_metrics(run)["top1"] for run in runs]
    assert result.values == tuple(values)
    assert result.mean == pytest.approx(np.mean(values))
    assert result.sd == pytest.approx(np.std(values, ddof=1))


def test_the_interval_is_a_function_of_the_seed() -> None:
    runs, groups = [draw_predictions(0)], patients(120, 4)
    first = estimate(runs, groups, seed=1)
    assert estimate(runs, groups, seed=1) == first
    assert estimate(runs, groups, seed=2)["auroc"].ci != first["auroc"].ci


def naive_interval(run: Predictions, groups: np.ndarray, num_resamples: int) -> list[float]:
    rng = np.random.default_rng(99)
    names, values = np.unique(groups), []
    for _ in range(num_resamples):
        drawn = rng.choice(names, size=len(names))
        rows = np.concatenate([np.flatnonzero(groups == name) for name in drawn])
        values.append(balanced_accuracy_score(run.targets[rows], run.predicted[rows]))
    return [float(value) for value in np.quantile(values, [0.025, 0.975])]


@pytest.mark.slow
@pytest.mark.parametrize("rows_each", [1, 10])
def test_the_interval_agrees_with_a_bootstrap_written_as_a_loop(rows_each: int) -> None:
    run, groups = draw_predictions(3), patients(120, rows_each)
    result = estimate([run], groups)["balanced_accuracy"].ci
    # 1000 draws each: the bounds themselves have a standard error of about 0.004.
    assert result == pytest.approx(naive_interval(run, groups, 1000), abs=0.015)


def test_rows_that_hang_together_widen_the_interval() -> None:
    targets = np.repeat(np.arange(24) % 2, 5)
    rng = np.random.default_rng(0)
    score = np.repeat(np.clip(rng.normal(0.3 + 0.4 * targets[::5], 0.3), 0, 1), 5)
    run = Predictions(np.stack([1 - score, score], axis=1), targets)
    by_row = estimate([run], np.arange(120))["top1"].ci
    by_patient = estimate([run], patients(120, 5))["top1"].ci
    assert by_row is not None
    assert by_patient is not None
    assert by_patient[1] - by_patient[0] > 1.8 * (by_row[1] - by_row[0])


@pytest.mark.slow
def test_the_interval_covers_the_truth_about_95_times_in_100() -> None:
    accuracy = 0.7
    covered = 0
    for trial in range(200):
        hit = np.random.default_rng(trial).random(100) < accuracy
        targets = np.arange(100) % 2
        run = Predictions(np.eye(2)[np.where(hit, targets, 1 - targets)], targets)
        low, high = estimate([run], np.arange(100), names=["top1"])["top1"].ci or (0.0, 0.0)
        covered += low <= accuracy <= high
    assert 180 <= covered <= 199


def test_an_undefined_metric_has_no_figures() -> None:
    result = estimate([draw_predictions(0)], np.arange(120))["top5"]
    assert (result.mean, result.sd, result.ci, result.values) == (None, None, None, (None,))


def test_a_class_of_one_patient_keeps_its_interval_from_the_draws_that_have_it() -> None:
    run = draw_predictions(0, num_rows=40)
    targets = np.zeros(40, dtype=int)
    targets[:2] = 1
    result = estimate([Predictions(run.probabilities, targets)], patients(40, 2))["auroc"]
    assert result.mean is not None
    assert result.ci is not None
    assert result.ci[0] <= result.mean <= result.ci[1]


def test_one_group_has_figures_and_no_interval() -> None:
    runs, groups = [draw_predictions(0)], patients(120, 120)
    result = estimate(runs, groups, names=["top1", "auroc"])
    assert all(item.mean is not None and item.ci is None for item in result.values())
    assert all(item.why_no_ci == statistics.ONE_GROUP for item in result.values())
    assert all(item.resamples == 0 for item in result.values())
    against = estimate_difference(runs, [draw_predictions(1)], groups, names=["top1"])["top1"]
    assert against.difference is not None
    assert against.ci is against.p is None
    assert against.why_no_ci == statistics.ONE_GROUP


def test_a_metric_that_most_draws_lack_has_no_interval() -> None:
    assert statistics.interval(np.array([0.5, np.nan, np.nan]), 0.5) is None
    assert statistics.interval(np.array([0.5, 0.5, np.nan]), 0.5) == (0.5, 0.5)
    run = draw_predictions(0, num_classes=3)
    result = estimate([run], run.targets, names=["auroc"])["auroc"]  # all three drawn: 2 in 9
    assert result.mean is not None
    assert (result.ci, result.why_no_ci) == (None, statistics.MOSTLY_UNDEFINED)


def test_an_interval_that_does_not_hold_its_figure_is_none() -> None:
    drawn = np.linspace(0.0, 1.0, 101)
    assert statistics.interval(drawn, 0.025) == pytest.approx((0.025, 0.975))
    assert statistics.interval(drawn, 0.02) is None
    assert statistics.interval(np.full(9, 0.3), 0.3 + 1e-12) == (0.3, 0.3)


@pytest.mark.slow
def test_the_size_of_the_chunks_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    runs, groups = [draw_predictions(0)], patients(120, 4)
    whole = estimate(runs, groups)
    monkeypatch.setattr(statistics, "CHUNK_ELEMENTS", 120 * 7)
    for name, result in estimate(runs, groups).items():
        if name != "top5":
            assert result.ci == pytest.approx(whole[name].ci), name


def test_sorting_metrics_get_no_interval_when_there_is_too_much_to_sort(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(statistics, "RANKING_LIMIT", 120 * 2 - 1)
    result = estimate([draw_predictions(0)], np.arange(120))
    without = {name for name, item in result.items() if item.ci is None}
    assert without == {*RANKING_METRICS, "top5"}
    assert result["auroc"].mean is not None
    assert set(result) == set(METRICS)
    assert result["auroc"].why_no_ci == statistics.TOO_LARGE
    assert result["top5"].why_no_ci == statistics.UNDEFINED
    assert result["top1"].why_no_ci is None
    run = draw_predictions(0)
    against = estimate_difference([run], [run], np.arange(120), names=["auroc"])["auroc"]
    assert (against.ci, against.p, against.why_no_ci) == (None, None, statistics.TOO_LARGE)


def test_sorting_metrics_get_fewer_resamples_when_there_is_much_to_sort(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs, groups = [draw_predictions(0)], patients(120, 2)
    whole = estimate(runs, groups)
    monkeypatch.setattr(statistics, "RANKING_LIMIT", 120 * 2 * 2)
    monkeypatch.setattr(statistics, "CHUNK_ELEMENTS", 120 * 300)  # cut within a chunk
    result = estimate(runs, groups)
    assert result["top1"] == whole["top1"]
    assert (result["auroc"].resamples, result["top1"].resamples) == (400, 1000)
    assert result["auroc"].mean == whole["auroc"].mean
    assert result["auroc"].ci == pytest.approx(whole["auroc"].ci, abs=0.02)
    against = estimate_difference(runs, [draw_predictions(0, skill=9.0)], groups, names=["auroc"])
    assert (against["auroc"].p, against["auroc"].resamples) == (pytest.approx(2 / 401), 400)


def test_imagenets_validation_split_is_not_too_large_for_an_interval() -> None:
    size = np.broadcast_to(0.0, (50_000, 1000))
    result = statistics._ranking_resamples([Predictions(size, np.zeros(50_000, int))])
    assert result >= statistics.FEWEST_RESAMPLES


# Differences


def test_a_difference_equals_a_bootstrap_written_as_a_loop() -> None:
    first, second = draw_predictions(1, num_rows=60), draw_predictions(1, num_rows=60, skill=2.0)
    groups = patients(60, 3)
    result = estimate_difference([first], [second], groups, names=["top1"])["top1"]
    rng = np.random.default_rng(5)
    members = [np.flatnonzero(groups == name) for name in np.unique(groups)]
    drawn = []
    for _ in range(4000):
        rows = np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])
        hits = [(side.predicted == side.targets)[rows].mean() for side in (first, second)]
        drawn.append(hits[1] - hits[0])
    assert result.first == compute_metrics(first)["top1"]
    assert result.second == compute_metrics(second)["top1"]
    assert result.difference == pytest.approx(result.second - result.first)
    assert result.ci == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.02)
    share = min((np.array(drawn) <= 0).mean(), (np.array(drawn) >= 0).mean())
    assert result.p == pytest.approx(2 * share, abs=0.02)


def test_all_differences_are_those_of_every_two() -> None:
    sides = [[draw_predictions(1, skill=skill), draw_predictions(1)] for skill in (0.5, 1, 2)]
    groups = patients(120, 4)
    for name in ("auroc", "balanced_accuracy", "top5"):
        every = all_differences(sides, groups, name=name)
        for i, one in enumerate(sides):
            for j, other in enumerate(sides):
                assert every[i][j] == estimate_difference(other, one, groups, names=[name])[name]


def test_a_side_does_not_differ_from_itself() -> None:
    runs = [draw_predictions(1), draw_predictions(1, skill=2.0)]
    result = estimate_difference(runs, runs, patients(120, 4), names=list(METRICS))
    for name in METRICS:
        if name != "top5":
            assert (result[name].difference, result[name].ci) == (0.0, (0.0, 0.0)), name
            assert result[name].p == 1.0
    assert result["top5"].difference is result["top5"].p is None


def test_pairing_narrows_the_interval_of_a_difference() -> None:
    first = draw_predictions(1, num_rows=200)
    moved = Predictions(first.probabilities.copy(), first.targets)
    moved.probabilities[:5] = np.eye(2)[first.targets[:5]]
    result = estimate_difference([first], [moved], np.arange(200), names=["top1"])["top1"]
    alone = estimate([first], np.arange(200), names=["top1"])["top1"]
    assert result.ci is not None
    assert alone.ci is not None
    assert result.ci[1] - result.ci[0] < (alone.ci[1] - alone.ci[0]) / 3


def test_only_the_requested_metrics_are_estimated() -> None:
    names = ["top1", "sensitivity_at_95_specificity"]
    assert list(estimate([draw_predictions(1)], patients(120, 4), names=names)) == names


def test_holms_adjustment_is_that_of_the_paper() -> None:
    assert adjust_holm([0.01, None, 0.04, 0.03]) == pytest.approx([0.03, None, 0.06, 0.06])
    assert adjust_holm([0.9, 0.8]) == [1.0, 1.0]
    assert adjust_holm([None]) == [None]


def test_a_mean_of_rows_has_an_interval_over_groups_and_leaves_out_what_is_unknown() -> None:
    values, groups = np.array([1.0, 3.0, 5.0, np.nan, 7.0]), np.array(list("aabbc"))
    result = estimate_mean(values, groups)
    assert result.mean == 4.0
    assert result.ci is not None
    low, high = result.ci
    assert low == 2.0  # group a alone
    assert high == 7.0  # group c alone
    alone = estimate_mean(values[:2], groups[:2])
    assert (alone.mean, alone.ci, alone.why_no_ci) == (2.0, None, ONE_GROUP)
    none = estimate_mean(np.full(2, np.nan), groups[:2])
    assert (none.mean, none.why_no_ci) == (None, UNDEFINED)
