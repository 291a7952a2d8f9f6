"""Which learning rate is picked, and that a head that diverged never is where another did not."""

from dataclasses import replace

import pytest

from toolkit_probing.heads.head import HeadSpec
from toolkit_probing.training.loop import Best
from toolkit_probing.training.scoring import DIVERGED
from toolkit_probing.training.select import select_learning_rate, select_setting

LINEAR = HeadSpec("linear", 1, "cls", 0.5, 0)
OTHER = replace(LINEAR, base_lr=2.0)


def best(value: float) -> Best:
    return Best(value, 1, {}, value, 1)


def pick(*draws: list[float]) -> float:
    """The rate that is picked of 0.5 (values of seeds 0 and 1) and 2.0 (of seeds 0 and 1)."""
    specs = [replace(spec, seed=seed) for spec in (LINEAR, OTHER) for seed in (0, 1)]
    scored = [
        {spec.key: best(value) for spec, value in zip(specs, values, strict=True)}
        for values in draws
    ]
    (heads,) = select_learning_rate(specs, scored).values()
    assert [head.seed for head in heads] == [0, 1]
    return heads[0].base_lr


def test_the_rate_with_the_best_mean_over_seeds_and_draws_is_picked():
    assert pick([0.1, 0.9, 0.4, 0.4]) == 0.5
    assert pick([0.1, 0.9, 0.4, 0.4], [0.1, 0.1, 0.4, 0.4]) == 2.0


@pytest.mark.parametrize(
    ("values", "rate"),
    [
        ([DIVERGED, DIVERGED, -9.0, -9.0], 2.0),
        ([DIVERGED, DIVERGED, DIVERGED, -9.0], 2.0),
        ([DIVERGED, -1.0, -9.0, -9.0], 2.0),
        ([DIVERGED, -9.0, DIVERGED, -1.0], 2.0),
        ([DIVERGED] * 4, 0.5),
    ],
)
def test_the_rate_with_the_fewest_diverged_heads_is_picked(values, rate):
    assert pick(values) == rate


def test_the_setting_with_the_best_score_is_picked_and_the_first_of_equals():
    assert select_setting({(5,): 0.2, (10,): 0.7, (20,): 0.7}) == (10,)
    assert select_setting({(5,): DIVERGED, (10,): -3.0}) == (10,)
