"""Statistics of attention maps against their definitions, in loops, and what must hold of them."""

from math import exp, log, nan, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.properties import few_examples
from toolkit_probing.attention import statistics

GRID = (3, 4)


def draw_maps(seed: int, *, b: int = 4, q: int = 3, sharp: float = 0.3) -> np.ndarray:
    n = GRID[0] * GRID[1]
    return np.random.default_rng(seed).dirichlet(np.full(n, sharp), (b, q)).reshape(b, q, *GRID)


def naive(maps: np.ndarray) -> dict[str, list[float]]:
    """The definitions of docs/attention.md, an image, a query, a patch at a time."""
    figures: dict[str, list[float]] = {name: [] for name in statistics.OF_MAPS}
    for image in maps:
        a = [[float(value) for value in query.ravel()] for query in image]
        a = [[value / sum(query) for value in query] for query in a]
        q, n = len(a), len(a[0])
        entropies = [-sum(p * log(p) for p in query if p > 0) for query in a]
        figures["entropy"].append(sum(entropies) / q / log(n))
        figures["peak"].append(sum(max(query) for query in a) / q * n)
        pairs = [(i, j) for i in range(q) for j in range(i)]
        common = [sum(min(a[i][k], a[j][k]) for k in range(n)) for i, j in pairs]
        figures["overlap"].append(sum(common) / len(pairs) if pairs else nan)
        joint = [sum(query[k] for query in a) / q for k in range(n)]
        figures["coverage"].append(exp(-sum(p * log(p) for p in joint if p > 0)) / n)
        alike = [[sum(sqrt(x * y) for x, y in zip(i, j, strict=True)) / q for j in a] for i in a]
        values = [value for value in np.linalg.svd(np.array(alike))[1] if value > 1e-15]
        figures["effective_queries"].append(exp(-sum(v * log(v) for v in values)))
    return figures


@pytest.mark.parametrize("q", [1, 2, 5])
def test_statistics_are_their_definitions(q: int):
    maps = draw_maps(q, q=q)
    counted = statistics.statistics_of(maps, None)
    for name, expected in naive(maps).items():
        np.testing.assert_allclose(counted[name], expected, rtol=1e-10, err_msg=name)


@few_examples
@given(seed=st.integers(0, 10_000), q=st.integers(2, 5), sharp=st.sampled_from([0.02, 0.5, 20.0]))
def test_statistics_stay_within_their_bounds_and_know_no_order(seed: int, q: int, sharp: float):
    maps = draw_maps(seed, b=2, q=q, sharp=sharp)
    counted = statistics.statistics_of(maps, None)
    n = GRID[0] * GRID[1]
    bounds = {"entropy": (0, 1), "peak": (1, n), "overlap": (0, 1), "coverage": (1 / n, 1),
              "effective_queries": (1, q)}  # fmt: skip
    rng = np.random.default_rng(seed)
    moved = maps.reshape(2, q, n)[:, rng.permutation(q)][..., rng.permutation(n)].reshape(
        maps.shape
    )
    again = statistics.statistics_of(7.0 * moved, None)
    for name, (low, high) in bounds.items():
        assert (counted[name] >= low - 1e-9).all(), name
        assert (counted[name] <= high + 1e-9).all(), name
        np.testing.assert_allclose(again[name], counted[name], rtol=1e-6, err_msg=name)


def test_even_maps_and_maps_apart_are_the_ends_of_every_statistic():
    even = statistics.statistics_of(np.full((1, 4, 2, 2), 0.25), None)
    assert {name: round(float(value[0]), 9) for name, value in even.items()} == {
        "entropy": 1, "peak": 1, "overlap": 1, "coverage": 1, "effective_queries": 1,
    }  # fmt: skip
    apart = statistics.statistics_of(np.eye(4).reshape(1, 4, 2, 2), None)
    assert {name: round(float(value[0]), 9) for name, value in apart.items()} == {
        "entropy": 0, "peak": 4, "overlap": 0, "coverage": 1, "effective_queries": 4,
    }  # fmt: skip
    alike = statistics.statistics_of(np.eye(4)[[0, 0]].reshape(1, 2, 2, 2), None)
    assert {name: round(float(value[0]), 9) for name, value in alike.items()} == {
        "entropy": 0, "peak": 4, "overlap": 1, "coverage": 0.25, "effective_queries": 1,
    }  # fmt: skip


def test_what_is_undefined_is_nan_and_not_a_number():
    one = statistics.statistics_of(np.ones((1, 1, 1, 1)), None)
    assert np.isnan(one["overlap"]).all()
    assert np.isnan(one["entropy"]).all()
    gone = statistics.statistics_of(np.zeros((1, 2, 2, 2)), np.ones((1, 4)))
    assert all(np.isnan(values).all() for name, values in gone.items() if name != "area")


def by_hand(a: list[list[float]], mask: list[float]) -> dict[str, float]:
    """Pointing game, IoU and attention inside, where no two patches are equally strong."""
    n = len(mask)
    joint = [sum(query[k] for query in a) / len(a) for k in range(n)]
    order = sorted(range(n), key=lambda k: -joint[k])
    chosen = order[: max(1, round(sum(mask)))]
    common = sum(mask[k] for k in chosen)
    return {
        "pointing": float(mask[order[0]] >= 0.5),
        "iou": common / (len(chosen) + sum(mask) - common),
        "inside": sum(p * m for p, m in zip(joint, mask, strict=True)),
        "area": sum(mask) / n,
    }


@few_examples
@given(seed=st.integers(0, 10_000))
def test_masks_are_met_as_defined(seed: int):
    maps = draw_maps(seed, b=3)
    rng = np.random.default_rng(seed)
    masks = np.clip(rng.normal(0.4, 0.5, (3, 12)), 0, 1)
    masks[:, 0] = 0.7  # none is empty
    counted = statistics.statistics_of(maps, masks)
    for at in range(3):
        expected = by_hand(maps[at].reshape(3, -1).tolist(), masks[at].tolist())
        for name, value in expected.items():
            assert counted[name][at] == pytest.approx(value, rel=1e-10), name


def test_a_map_on_its_mask_meets_it_and_one_beside_it_does_not():
    maps = np.zeros((2, 1, 2, 2))
    maps[0, 0, 0] = 0.5  # the upper half
    maps[1, 0, 1] = 0.5  # the lower half
    upper = np.array([[1.0, 1.0, 0.0, 0.0]] * 2)
    counted = statistics.statistics_of(maps, upper)
    assert counted["pointing"].tolist() == [1, 0]
    assert counted["iou"].tolist() == [1, 0]
    assert counted["inside"].tolist() == [1, 0]


def test_an_even_map_points_nowhere_and_has_what_chance_has():
    mask = np.array([[1.0, 0.0, 0.0, 0.0]])
    counted = statistics.statistics_of(np.full((1, 2, 2, 2), 0.25), mask)
    assert counted["pointing"] == counted["inside"] == counted["area"] == 0.25
    # A quarter of one patch is met: 0.25 / (1 + 1 - 0.25).
    assert counted["iou"] == pytest.approx(1 / 7)


def test_images_without_a_mask_and_empty_masks_have_no_figure():
    masks = np.array([[nan] * 12, [0.0] * 12, [1.0] + [0.0] * 11])
    counted = statistics.statistics_of(draw_maps(0, b=3), masks)
    for name in statistics.OF_MASKS:
        assert np.isnan(counted[name]).tolist() == [True, True, False], name
