"""Which learning rate is picked, and that a head that diverged never is where another did not."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.probe_problem import make_problem
from toolkit_common.training.distributed import build_accelerator
from toolkit_probing.heads.bank import HeadBank
from toolkit_probing.heads.head import HeadSpec
from toolkit_probing.training.loop import Best
from toolkit_probing.training.scoring import DIVERGED, NO_CLASS, predict, score_heads
from toolkit_probing.training.select import select_learning_rate

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


@pytest.mark.parametrize("metric", ["top1", "log_loss", "auroc"])
def test_a_head_of_nan_scores_as_diverged_and_predicts_no_class(metric):
    store, targets = make_problem()
    bank = HeadBank([LINEAR, OTHER], next(store.iterate([np.arange(2)])), num_classes=3)
    next(bank.heads[OTHER.key].parameters()).data.fill_(float("nan"))
    how = {"positions": np.arange(40), "accelerator": build_accelerator(device="cpu")}
    keys = [LINEAR.key, OTHER.key]
    scores = score_heads(bank, store, targets, keys=keys, metric=metric, **how)
    assert scores[OTHER.key] == DIVERGED < scores[LINEAR.key]
    found = predict(bank, store, how["positions"], how["accelerator"], probabilities=False)
    assert set(found[OTHER.key]) == {NO_CLASS}
    assert set(found[LINEAR.key]) <= {0, 1, 2}
