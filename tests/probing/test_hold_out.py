"""Rows that pick are stratified, keep groups whole, and take no class from training."""

import numpy as np
import pytest

from toolkit_common.errors import InputError
from toolkit_probing.hold_out import hold_out


def rest(targets: np.ndarray, held_out: np.ndarray) -> np.ndarray:
    return np.delete(np.arange(len(targets)), held_out)


@pytest.mark.parametrize(("share", "expected"), [(0.2, [10, 20]), (0.5, [25, 50])])
def test_every_class_gives_its_share(share: float, expected: list[int]):
    targets = np.repeat([0, 1], [50, 100])
    held_out = hold_out(targets, None, share=share, seed=0)
    np.testing.assert_array_equal(np.bincount(targets[held_out]), expected)
    np.testing.assert_array_equal(held_out, hold_out(targets, None, share=share, seed=0))
    assert set(held_out) != set(hold_out(targets, None, share=share, seed=1))


def test_groups_stay_whole_and_classes_are_balanced():
    rng = np.random.default_rng(0)
    groups = rng.integers(40, size=300)
    targets = (groups % 3 == 0).astype(int)
    held_out = hold_out(targets, [f"patient {group}" for group in groups], share=0.2, seed=0)
    assert not set(groups[held_out]) & set(groups[rest(targets, held_out)])
    assert 0.15 < len(held_out) / 300 < 0.25
    assert abs(targets[held_out].mean() - targets.mean()) < 0.1


def test_a_large_group_is_not_held_out_where_smaller_ones_are_nearer_to_the_share():
    groups = np.repeat([0, 1, 2, 3, 4], [60, 10, 10, 10, 10])
    held_out = hold_out(np.arange(100) % 2, groups, share=0.2, seed=0)
    assert 0 not in groups[held_out]


@pytest.mark.parametrize("seed", range(5))
def test_a_class_of_one_row_or_one_group_stays_in_training(seed: int):
    targets = np.concatenate([np.arange(40) % 2, [2, 3, 4, 5, 6, 7]])
    held_out = hold_out(targets, None, share=0.2, seed=seed)
    assert set(targets[rest(targets, held_out)]) == set(range(8))
    assert set(targets[held_out]) == {0, 1}
    groups = np.concatenate([np.arange(40) // 4, [0, 0, 1, 1, 2, 2]])
    targets = np.concatenate([np.arange(40) % 2, [2, 2, 3, 3, 4, 4]])
    held_out = hold_out(targets, groups, share=0.2, seed=seed)
    assert not set(groups[held_out]) & set(groups[rest(targets, held_out)])
    assert set(targets[rest(targets, held_out)]) == set(range(5))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"share": 0.0}, "above 0 and at most 0.5, got 0.0"),
        ({"share": 0.6}, "above 0 and at most 0.5, got 0.6"),
        ({"share": float("nan")}, "above 0 and at most 0.5, got nan"),
        ({"share": "a fifth"}, "above 0 and at most 0.5, got 'a fifth'"),
        ({"targets": np.arange(4)}, "validation_fraction=0.2 can hold no row out"),
        ({"groups": np.array([0, 0, 1, 1])}, "validation_fraction=0.2 can hold no row out"),
        ({"groups": np.zeros(3)}, r"groups must have the shape \(4,\), got \(3,\)"),
        ({"groups": np.array(["a", None, "a", "b"], object)}, "row 1 has no group"),
        ({"groups": np.array([1.0, 2.0, np.nan, 1.0])}, "row 2 has no group"),
    ],
)
def test_what_cannot_be_held_out_is_named(change: dict, message: str):
    targets = change.pop("targets", np.array([0, 0, 1, 1]))
    groups = change.pop("groups", None)
    with pytest.raises(InputError, match=message):
        hold_out(targets, groups, **{"share": 0.2, "seed": 0} | change)
