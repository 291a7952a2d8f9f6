"""Which held-out lesions are looked at."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit_slimp.watching.held_out import POOL, choose_pool


def test_a_large_patient_does_not_crowd_out_the_others():
    groups = np.repeat(["a", "b", "c", "d"], [5000, 3, 700, 1])
    pool = choose_pool(np.arange(len(groups)), groups, seed=0)
    names, counts = np.unique(groups[pool], return_counts=True)
    assert dict(zip(names.tolist(), counts.tolist(), strict=True)) == {
        "a": 254, "b": 3, "c": 254, "d": 1,
    }  # fmt: skip


@pytest.mark.slow
@given(
    sizes=st.lists(st.integers(1, 300), min_size=1, max_size=8),
    seed=st.integers(0, 9),
    skipped=st.integers(0, 3),
)
def test_the_pool_is_drawn_from_the_rows_repeatably(sizes, seed, skipped):
    groups = np.repeat(np.arange(len(sizes)), sizes)
    rows = np.arange(skipped, len(groups))
    pool = choose_pool(rows, groups, seed=seed)
    assert len(pool) == min(len(rows), POOL)
    assert np.array_equal(pool, np.unique(pool))
    assert np.isin(pool, rows).all()
    assert np.array_equal(pool, choose_pool(rows, groups, seed=seed))
    _, counts = np.unique(groups[pool], return_counts=True)
    left = [size for size in np.bincount(groups[rows]) if size]
    assert len(counts) == len(left)
    full = [count for count, size in zip(counts, left, strict=True) if count < size]
    assert max(full, default=0) - min(full, default=0) <= 1


def test_which_lesions_of_a_patient_depends_on_the_seed():
    groups = np.repeat(["a", "b"], 400)
    first, second = (choose_pool(np.arange(800), groups, seed=seed) for seed in (0, 1))
    assert not np.array_equal(first, second)
