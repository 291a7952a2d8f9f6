"""Few labels: every class has its share, patients come whole, or one image at a time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.properties import few_examples
from toolkit_probing.task.subsets import draw_fraction, draw_shots

problems = st.tuples(st.integers(8, 60), st.integers(2, 4), st.integers(1, 20), st.integers(0, 99))


def make(problem):
    rows, classes, patients, seed = problem
    rng = np.random.default_rng(seed)
    targets = np.concatenate([np.arange(classes), rng.integers(0, classes, rows - classes)])
    return targets, rng.integers(0, patients, rows)


@few_examples
@given(problem=problems, shots=st.integers(1, 4), draw=st.integers(0, 9))
def test_shots_are_equally_many_of_every_class_from_as_many_patients_as_can_be(
    problem, shots, draw
):
    targets, groups = make(problem)
    fewest = np.bincount(targets).min()
    if fewest < shots:
        with pytest.raises(AssertionError, match=f"{shots} shots of"):
            draw_shots(targets, groups, shots, rng=np.random.default_rng(draw))
        return
    chosen = draw_shots(targets, groups, shots, rng=np.random.default_rng(draw))
    assert list(chosen) == sorted(set(chosen))
    for index in np.unique(targets):
        mine = chosen[targets[chosen] == index]
        assert len(mine) == shots
        all_patients = np.unique(groups[targets == index]).size
        assert np.unique(groups[mine]).size == min(shots, all_patients)


def test_more_shots_contain_fewer():
    targets, groups = make((60, 2, 15, 3))
    one, five = (draw_shots(targets, groups, k, rng=np.random.default_rng(7)) for k in (1, 5))
    assert set(one) < set(five)


@few_examples
@given(problem=problems, fraction=st.sampled_from([0.01, 0.1, 0.5, 1.0]), draw=st.integers(0, 9))
def test_a_fraction_takes_whole_patients_and_its_share_of_every_class(problem, fraction, draw):
    targets, groups = make(problem)
    chosen = draw_fraction(targets, groups, fraction, rng=np.random.default_rng(draw))
    assert set(groups[chosen]).isdisjoint(np.delete(groups, chosen))
    for index in np.unique(targets):
        wanted = np.ceil(fraction * (targets == index).sum() - 1e-9)
        assert (targets[chosen] == index).sum() >= wanted
    if fraction == 1.0:
        assert len(chosen) == len(targets)


def test_without_patients_a_fraction_is_exact():
    targets = np.repeat([0, 1], [90, 10])
    chosen = draw_fraction(targets, np.arange(100), 0.1, rng=np.random.default_rng(0))
    assert np.bincount(targets[chosen]).tolist() == [9, 1]


def test_draws_differ():
    targets, groups = make((60, 2, 15, 3))
    first, second = (
        draw_shots(targets, groups, 3, rng=np.random.default_rng(draw)).tolist() for draw in (0, 1)
    )
    assert first != second
