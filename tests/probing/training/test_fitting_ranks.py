"""Fitted heads on two processes are those of one, but for the order of summation."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from helpers.probe_problem import FITTED, fitted_specs, make_examples, settings
from helpers.ranks import run_ranks
from toolkit_common.training.distributed import build_accelerator
from toolkit_probing.heads.bank import HeadBank, sample_of
from toolkit_probing.training import fitting
from toolkit_probing.training.checkpoint import State
from toolkit_probing.training.classifier import Solution
from toolkit_probing.training.loop import train_bank
from toolkit_probing.training.scoring import predict

TOLERANCE = 1e-4  # of a probability in fp32
RATE = 0.01  # rounding grows with the rate, and at higher ones the start is picked
HEADS = [
    spec if spec.base_lr is None else replace(spec, base_lr=RATE)
    for spec in fitted_specs()
    if spec.base_lr != 0.1  # would be the first again
]


def train(accelerator: Accelerator) -> dict[str, tuple[int, float | None, np.ndarray]]:
    """Train in steps that two processes do not divide; returns what was picked and predicted."""
    examples = make_examples(num_train=29, d=16)
    bank = HeadBank(HEADS, sample_of(examples.source), num_classes=3)
    chosen = settings(**{**FITTED, "batch_size": 7})
    best = train_bank(bank, examples, chosen, compute=accelerator)
    shares = predict(bank, examples.source, examples.select, compute=accelerator)
    return {key: (item.epoch, item.c, shares[key]) for key, item in best.items()}


@pytest.mark.dist
@pytest.mark.slow
def test_fitted_heads_of_two_processes_are_those_of_one() -> None:
    expected = train(build_accelerator(device="cpu"))
    assert any(epoch for epoch, _, _ in expected.values())
    first, second = run_ranks(train)
    for key, (epoch, c, shares) in expected.items():
        for rank in (first, second):
            assert rank[key][:2] == (epoch, c), key
            assert np.abs(rank[key][2] - shares).max() <= TOLERANCE, key
        # One head, whoever holds it.
        np.testing.assert_array_equal(first[key][2], second[key][2])


def train_where_sums_differ(accelerator: Accelerator) -> dict[str, tuple[int, float | None, State]]:
    """Train on two processes, the second of which computes otherwise; returns what each has."""
    original = fitting.fit_classifiers

    def fit_classifiers(rows: torch.Tensor, *given: Any, **named: Any) -> Iterator[Solution]:
        noise = torch.randn(rows.shape, generator=torch.Generator().manual_seed(0))
        return original(rows + accelerator.process_index * noise, *given, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "fit_classifiers", fit_classifiers)
        examples = make_examples(num_train=29, d=16)
        bank = HeadBank(HEADS, sample_of(examples.source), num_classes=3)
        chosen = settings(**{**FITTED, "batch_size": 7})
        best = train_bank(bank, examples, chosen, compute=accelerator)
    return {key: (item.epoch, item.c, item.state) for key, item in best.items()}


@pytest.mark.dist
@pytest.mark.slow
def test_processes_that_compute_otherwise_have_the_heads_of_the_first() -> None:
    first, second = run_ranks(train_where_sums_differ)
    for key, (epoch, c, state) in first.items():
        assert second[key][:2] == (epoch, c), key
        assert all(torch.equal(second[key][2][name], value) for name, value in state.items()), key
