"""The learning rate is a pure function of the step."""

import math

import pytest
import torch
from torch import nn

from toolkit_common.training.schedules import set_lr_, warmup_cosine


def factors(total_steps: int, warmup_steps: int) -> list[float]:
    steps = range(total_steps + 1)
    return [
        warmup_cosine(step, total_steps=total_steps, warmup_steps=warmup_steps) for step in steps
    ]


def test_warmup_is_linear_from_zero() -> None:
    assert factors(100, 4)[:5] == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_the_cosine_runs_from_one_through_a_half_to_zero() -> None:
    values = factors(110, 10)
    assert values[10] == 1.0
    assert values[60] == pytest.approx(0.5)
    assert values[35] == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))
    assert values[110] == pytest.approx(0.0)


def test_it_rises_then_falls_and_stays_between_0_and_1() -> None:
    values = factors(57, 13)
    assert values[:14] == sorted(values[:14])
    assert values[13:] == sorted(values[13:], reverse=True)
    assert min(values) >= 0.0
    assert max(values) == 1.0


def test_it_equals_the_schedule_of_mae() -> None:
    """As `util/lr_sched.py` of facebookresearch/mae: fractional epochs, minimum 0."""
    per_epoch, epochs, warmup_epochs = 7, 12, 3
    for step, factor in enumerate(factors(per_epoch * epochs, per_epoch * warmup_epochs)):
        epoch = step / per_epoch
        share = (epoch - warmup_epochs) / (epochs - warmup_epochs)
        rest = 0.5 * (1.0 + math.cos(math.pi * share))
        assert factor == pytest.approx(epoch / warmup_epochs if epoch < warmup_epochs else rest)


def test_without_warmup_the_first_step_is_at_the_peak() -> None:
    assert factors(10, 0)[0] == 1.0


@pytest.mark.parametrize(("total", "warmup"), [(1, 0), (1, 1), (3, 3), (3, 5), (0, 0)])
def test_corners_are_finite_factors(total: int, warmup: int) -> None:
    assert all(0.0 <= factor <= 1.0 for factor in factors(total, warmup))


def test_warmup_longer_than_training_never_reaches_the_peak() -> None:
    assert factors(3, 5) == [0.0, 0.2, 0.4, 0.6]


def test_every_group_is_scaled_by_its_own_rate() -> None:
    layers = [nn.Linear(2, 2), nn.Linear(2, 2)]
    groups = [
        {"params": layer.parameters(), "lr": rate, "lr_scale": rate}
        for layer, rate in zip(layers, (0.1, 4.0), strict=True)
    ]
    optimizer = torch.optim.SGD(groups)
    for factor in (0.5, 0.25):
        set_lr_(optimizer, factor)
        assert [group["lr"] for group in optimizer.param_groups] == [0.1 * factor, 4.0 * factor]
