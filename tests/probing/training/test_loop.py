"""The probe loop learns, repeats to the bit, and continues after an interrupt at any step."""

import json
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.probe_problem import PLAN, make_problem, specs
from toolkit_common.errors import InputError
from toolkit_common.runs.folder import RunFolder
from toolkit_common.training.distributed import build_accelerator
from toolkit_probing.heads.bank import HeadBank
from toolkit_probing.training.loop import epoch_order, infer_batch_size, step_size, train_bank
from toolkit_probing.training.scoring import predict

TRAIN, SELECT = np.arange(30), np.arange(30, 40)


def start(folder, store=None, chosen=None, **changes):
    given, targets = make_problem()
    bank = HeadBank(chosen or specs(), next(iter(given.iterate([np.arange(2)]))), num_classes=3)
    best = train_bank(
        bank, store or given, targets, train=TRAIN, select=SELECT, plan=replace(PLAN, **changes),
        accelerator=build_accelerator(device="cpu"), run=RunFolder(folder),
    )  # fmt: skip
    return bank, best


class InterruptingStore:
    """Sends this process Ctrl-C while a given batch is read."""

    def __init__(self, store, batch: int) -> None:
        self.store, self.countdown = store, batch

    def __len__(self) -> int:
        return len(self.store)

    def iterate(self, batches):
        for item in self.store.iterate(batches):
            if self.countdown == 0:
                os.kill(os.getpid(), signal.SIGINT)
            self.countdown -= 1
            yield item


def test_heads_separate_classes_that_can_be_separated(tmp_path):
    _, best = start(tmp_path, epochs=20, optimizer="adamw", warmup_epochs=0.0)
    assert max(item.value for item in best.values()) > 0.9


def test_the_same_seed_gives_the_same_weights_to_the_bit(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = start(tmp_path / "a")[0].state_dict(), start(tmp_path / "b")[0].state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("batch", [0, 1, 2, 3, 4, 7])
def test_an_interrupted_run_resumes_to_the_same_weights_and_best_epochs(tmp_path, batch):
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    whole, best = start(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        start(tmp_path / "cut", store=InterruptingStore(make_problem()[0], batch))
    resumed, best_resumed = start(tmp_path / "cut")
    expected, found = whole.state_dict(), resumed.state_dict()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    for key, item in best.items():
        assert (item.value, item.epoch) == (best_resumed[key].value, best_resumed[key].epoch)
        assert all(torch.equal(item.state[n], best_resumed[key].state[n]) for n in item.state)


def test_every_epoch_has_its_own_order_of_the_same_rows():
    rows = np.arange(50, 80)
    first, second = epoch_order(rows, 0, 0), epoch_order(rows, 0, 1)
    assert sorted(first) == sorted(second) == list(rows)
    assert not np.array_equal(first, second)
    assert np.array_equal(first, epoch_order(rows, 0, 0))


def test_predictions_come_in_the_order_asked_for(tmp_path):
    bank, _ = start(tmp_path)
    store, _ = make_problem()
    accelerator = build_accelerator(device="cpu")
    rows = np.array([5, 2, 39])
    found = predict(bank, store, rows, accelerator, probabilities=True)
    for key, values in found.items():
        single = [
            predict(bank, store, rows[i : i + 1], accelerator, keys=[key], probabilities=True)[key]
            for i in range(3)
        ]
        np.testing.assert_allclose(values, np.concatenate(single), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(values.sum(1), 1.0, rtol=1e-5)


@pytest.mark.parametrize(
    ("num_train", "expected"), [(1, 16), (275, 16), (1000, 16), (2048, 64), (1_281_167, 1024)]
)
def test_batch_size_is_about_a_32nd_of_train(num_train, expected):
    assert infer_batch_size(num_train) == expected


def test_a_head_out_of_patience_stops_alone_and_in_a_bank_alike(tmp_path):
    (tmp_path / "bank").mkdir()
    plan = {"epochs": 12, "patience": 2, "min_delta": 0.05}
    bank, best = start(tmp_path / "bank", **plan)
    log = (tmp_path / "bank/metrics.jsonl").read_text()
    logged = [json.loads(line) for line in log.splitlines()]
    lasted = {
        spec.key: sum(spec.key in at["balanced_accuracy"] for at in logged) for spec in specs()
    }
    assert len(set(lasted.values())) > 1
    for number, spec in enumerate(specs()):
        (tmp_path / str(number)).mkdir()
        alone, best_alone = start(tmp_path / str(number), chosen=[spec], **plan)
        expected, found = alone.heads[spec.key].state_dict(), bank.heads[spec.key].state_dict()
        assert all(torch.equal(expected[name], found[name]) for name in expected), spec.key
        assert best_alone[spec.key].epoch == best[spec.key].epoch
        last = best[spec.key].mark_epoch + 2
        assert lasted[spec.key] == min(12, max(last, 1 + 2))  # patience begins after warm-up


def test_too_few_images_for_the_processes_are_refused():
    assert [step_size(PLAN, 7, processes) for processes in (1, 2, 3, 7)] == [7] * 4
    with pytest.raises(InputError, match=r"4 processes needs 4 training images, got 3"):
        step_size(PLAN, 3, 4)
    with pytest.raises(InputError, match=r"1 processes needs 2 training images, got 1"):
        step_size(PLAN, 1, 1)
