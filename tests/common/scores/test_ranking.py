"""Curves of ranked rows equal loops over all thresholds and all pairs."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from helpers.properties import few_examples
from toolkit_common.scores.ranking import (
    EXACT_BELOW,
    area,
    curve_of,
    narrowed,
    sensitivity,
    sum_groups,
)

few_scores = st.lists(
    st.tuples(st.sampled_from([0.1, 0.2, 0.4, 0.4, 0.9]), st.booleans(), st.integers(0, 3)),
    min_size=1,
    max_size=12,
)
Rows = list[tuple[float, bool, int]]


def split(rows: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    scores, positive, weights = map(np.array, zip(*rows, strict=True))
    return scores, positive, weights[None].astype(float)


@few_examples
@given(few_scores)
def test_every_point_is_what_lies_at_or_above_one_score(rows: Rows) -> None:
    scores, positive, weights = split(rows)
    curve = curve_of(scores, positive, weights)
    thresholds = [np.inf, *sorted(set(scores), reverse=True)]
    points = {
        (weights[0][~positive & (scores >= at)].sum(), weights[0][positive & (scores >= at)].sum())
        for at in thresholds
    }
    assert set(zip(curve.false[0], curve.true[0], strict=True)) <= points
    assert (curve.false[0, 0], curve.true[0, 0]) == (0.0, 0.0)
    assert (curve.false[0, -1], curve.true[0, -1]) == (
        weights[0][~positive].sum(), weights[0][positive].sum())  # fmt: skip


@few_examples
@given(few_scores)
def test_the_area_is_the_share_of_pairs_in_order_ties_counting_half(rows: Rows) -> None:
    scores, positive, weights = split(rows)
    wins = total = 0.0
    for score, is_positive, weight in zip(scores, positive, weights[0], strict=True):
        for other, also_positive, times in zip(scores, positive, weights[0], strict=True):
            if is_positive and not also_positive:
                total += weight * times
                wins += weight * times * (float(score > other) + 0.5 * float(score == other))
    measured = area(curve_of(scores, positive, weights))[0]
    assert np.isnan(measured) if total == 0 else abs(measured - wins / total) < 1e-12


def test_negatives_in_a_row_are_one_point() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    curve = curve_of(scores, np.array([True, False, False, False, True]), np.ones((1, 5)))
    assert curve.false.tolist() == [[0, 0, 3, 3]]
    assert curve.true.tolist() == [[0, 1, 1, 2]]


def test_sensitivity_is_the_best_within_the_false_alarms_allowed() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.6])
    curve = curve_of(scores, np.array([True, False, True, False]), np.ones((1, 4)))
    assert sensitivity(0.9)(curve).tolist() == [0.5]
    assert sensitivity(0.5)(curve).tolist() == [1.0]


@few_examples
@given(st.lists(st.tuples(st.integers(-1, 4), st.integers(0, 9)), min_size=1, max_size=20))
def test_sums_of_groups_are_those_of_a_loop_and_minus_one_is_no_group(rows) -> None:
    groups, counts = map(np.array, zip(*rows, strict=True))
    weights = np.stack([counts, counts / 3.0])
    expected = [[weight[groups == group].sum() for weight in weights] for group in range(5)]
    np.testing.assert_allclose(sum_groups(groups, 5, weights), expected, rtol=1e-14)
    exact = sum_groups(groups, 5, narrowed(weights[:1]))
    assert (exact == sum_groups(groups, 5, weights[:1])).all()


def test_only_counts_that_single_precision_adds_exactly_are_narrowed() -> None:
    counts = np.array([[3.0, 0.0, 12.0]])
    assert narrowed(counts).dtype == np.float32
    for other in (counts / 2, counts - 4, np.array([[EXACT_BELOW, 1.0]])):
        assert narrowed(other) is other
