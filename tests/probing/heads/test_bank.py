"""A head in a bank learns exactly what it learns alone (docs/traps.md 13)."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.probe_problem import PLAN, make_problem, specs
from toolkit_common.runs.folder import RunFolder
from toolkit_common.training.distributed import build_accelerator
from toolkit_probing.heads.bank import HeadBank
from toolkit_probing.heads.head import HeadSpec
from toolkit_probing.training.loop import train_bank


def train(chosen: list[HeadSpec], folder, **changes) -> HeadBank:
    store, targets = make_problem()
    bank = HeadBank(chosen, next(iter(store.iterate([np.arange(2)]))), num_classes=3)
    train_bank(
        bank, store, targets, train=np.arange(30), select=np.arange(30, 40),
        plan=replace(PLAN, **changes), accelerator=build_accelerator(device="cpu"),
        run=RunFolder(folder),
    )  # fmt: skip
    return bank


@pytest.mark.parametrize("optimizer", ["lars", "sgd", "adamw"])
def test_six_heads_together_equal_six_alone_to_the_bit(tmp_path, optimizer):
    (tmp_path / "bank").mkdir()
    bank = train(specs(), tmp_path / "bank", optimizer=optimizer)
    for number, spec in enumerate(specs()):
        folder = tmp_path / str(number)
        folder.mkdir()
        alone = train([spec], folder, optimizer=optimizer).heads[spec.key].state_dict()
        together = bank.heads[spec.key].state_dict()
        assert all(torch.equal(alone[name], together[name]) for name in alone), spec.key


def test_two_heads_of_one_spec_are_a_mistake_of_ours():
    store, _ = make_problem()
    sample = next(iter(store.iterate([np.arange(2)])))
    with pytest.raises(AssertionError, match="two heads"):
        HeadBank([specs()[0]] * 2, sample, num_classes=3)


def test_the_best_epoch_is_the_one_with_the_best_score(tmp_path):
    store, targets = make_problem()
    bank = HeadBank(specs(), next(iter(store.iterate([np.arange(2)]))), num_classes=3)
    best = train_bank(
        bank, store, targets, train=np.arange(30), select=np.arange(30, 40), plan=PLAN,
        accelerator=build_accelerator(device="cpu"), run=RunFolder(tmp_path),
    )  # fmt: skip
    logged = (tmp_path / "metrics.jsonl").read_text().splitlines()
    for spec in specs():
        values = [json.loads(line)["balanced_accuracy"][spec.key] for line in logged]
        assert best[spec.key].value == max(values)
        assert best[spec.key].epoch == values.index(max(values)) + 1
