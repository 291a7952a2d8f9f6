"""The probe loop learns, repeats to the bit, and continues after an interrupt at any step."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.devices import DEVICE, on_gpu
from helpers.probe_problem import (
    FITTED,
    Interrupting,
    fitted_specs,
    make_examples,
    settings,
    specs,
    train_heads,
)
from helpers.waiting import counting
from toolkit_common.runs.folder import RunFolder
from toolkit_common.training.distributed import build_accelerator, own_accelerator
from toolkit_common.training.interrupt import Interruption
from toolkit_common.training.late import Agreement
from toolkit_probing.heads.bank import HeadBank, sample_of
from toolkit_probing.training.checkpoint import Record
from toolkit_probing.training.compute import OneDevice
from toolkit_probing.training.loop import _Trainer, train_bank
from toolkit_probing.training.plan import TrainingPlan
from toolkit_probing.training.scoring import predict


@pytest.mark.slow
def test_heads_separate_classes_that_can_be_separated(tmp_path):
    _, best = train_heads(tmp_path, specs(), epochs=20, optimizer="adamw", warmup_epochs=0.0)
    assert max(item.value for item in best.values()) > 0.9


@pytest.mark.parametrize("changes", [{}, {"class_weight": "balanced"}, {"optimizer": "lars"}])
def test_a_step_of_a_bank_waits_for_nothing_on_the_device(changes):
    examples = make_examples(d=16)
    bank = HeadBank(fitted_specs(), sample_of(examples.source), num_classes=3)
    plan = TrainingPlan(settings(**{**FITTED, **changes}), len(examples.train))
    trainer = _Trainer(bank, examples, plan=plan, compute=OneDevice("cpu"))
    trainer.start_()
    trainer.train_(begins_epoch=True)
    rows, stop = examples.train[:8], Agreement(Interruption(), 1)
    read, active = examples.source.read(rows), trainer.active(0)
    for step in range(2):  # the first one makes what an optimizer keeps
        with counting() as (waits, launches):
            trainer.step_(read, rows, active, step=step, stop=stop)
    assert not waits
    assert sum(launches.values()) < (140 if changes.get("optimizer") == "lars" else 70) * len(
        active
    )


def probabilities_of(accelerator) -> dict[str, np.ndarray]:
    """What heads say of rows that they have not seen, trained on a device."""
    examples = make_examples(60, num_train=40, d=16)
    bank = HeadBank(fitted_specs(), sample_of(examples.source), num_classes=3)
    train_bank(bank, examples, settings(**FITTED), compute=accelerator)
    return predict(bank, examples.source, examples.select, compute=accelerator)


@on_gpu
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 5e-3), ("bf16", 0.1)])
def test_a_probe_on_a_gpu_is_that_of_the_cpu(precision, tolerance):
    with own_accelerator(device=DEVICE, precision=precision) as accelerator:
        actual = probabilities_of(accelerator)
    expected = probabilities_of(OneDevice("cpu"))
    for key, values in expected.items():
        assert np.abs(actual[key] - values).max() <= tolerance, key


@on_gpu
def test_a_run_on_a_gpu_resumes_to_the_same_weights(tmp_path):
    """To the bit, as sums of one order come again: no kernel here adds in an order of its own."""
    with own_accelerator(device=DEVICE, precision="fp32") as accelerator:
        whole = train_on(accelerator, tmp_path / "whole", make_examples())
        examples = make_examples()
        cut = replace(examples, source=Interrupting(examples.source, itertools.count(), at=4))
        with pytest.raises(KeyboardInterrupt):
            train_on(accelerator, tmp_path / "cut", cut)
        again = train_on(accelerator, tmp_path / "cut", examples)
    assert all(torch.equal(again[name], value) for name, value in whole.items())


def train_on(accelerator, folder, examples) -> dict[str, torch.Tensor]:
    folder.mkdir(exist_ok=True)
    bank = HeadBank(specs(), sample_of(make_examples().source), num_classes=3)
    record = Record(RunFolder(folder))
    train_bank(bank, examples, settings(), compute=accelerator, record=record)
    return bank.cpu().state_dict()


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_to_the_bit(tmp_path):
    first, second = (train_heads(tmp_path / name, specs())[0].state_dict() for name in "ab")
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.slow
@pytest.mark.parametrize("batch", [0, 1, 2, 3, 4, 7])
def test_an_interrupted_run_resumes_to_the_same_weights_and_best_epochs(tmp_path, batch):
    whole, best = train_heads(tmp_path / "whole", specs())
    given = make_examples()
    source = Interrupting(given.source, itertools.count(), at=batch)
    with pytest.raises(KeyboardInterrupt):
        train_heads(tmp_path / "cut", specs(), examples=replace(given, source=source))
    resumed, best_resumed = train_heads(tmp_path / "cut", specs())
    expected, actual = whole.state_dict(), resumed.state_dict()
    assert all(torch.equal(expected[name], actual[name]) for name in expected)
    for key, item in best.items():
        assert (item.value, item.epoch) == (best_resumed[key].value, best_resumed[key].epoch)
        assert all(torch.equal(item.state[n], best_resumed[key].state[n]) for n in item.state)


class KilledError(Exception):
    """The process is gone: nothing more is saved."""


class Killing(Interrupting):
    """A feature source whose reader is killed at batch number `at` of a count."""

    def iterate(self, batches, *, patches=True):
        for item in self.source.iterate(batches, patches=patches):
            if next(self.count) == self.at:
                raise KilledError
            yield item


@pytest.fixture
def every_step(monkeypatch):
    monkeypatch.setattr("toolkit_probing.training.checkpoint.SAVE_EVERY_S", -1.0)


def assert_same(expected, actual):
    """Two trainings ended in the same heads to the bit, those in the bank too."""
    (bank, best), (other, best_other) = expected, actual
    states = bank.state_dict(), other.state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    for key, item in best.items():
        again = best_other[key]
        for name in ("value", "epoch", "c", "shown"):
            assert getattr(item, name) == getattr(again, name), (key, name)
        assert all(torch.equal(item.state[n], again.state[n]) for n in item.state), key


@pytest.fixture(scope="module")
def whole_fitted(tmp_path_factory):
    """A training of fitted heads that nothing stopped, and the batches that it read."""
    given, count = make_examples(d=16), itertools.count()
    examples = replace(given, source=Interrupting(given.source, count, at=-1))
    folder = tmp_path_factory.mktemp("whole")
    trained = train_heads(folder, fitted_specs(), examples=examples, d=16, **FITTED)
    return folder, trained, next(count)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.5, 0.6, 0.8, 0.999])
@pytest.mark.parametrize("source", [Killing, Interrupting])
def test_fitted_heads_resume_to_the_bit_wherever_they_were_stopped(
    tmp_path, every_step, whole_fitted, share, source
):
    folder, expected, num_batches = whole_fitted
    given = make_examples(d=16)
    at = int(share * num_batches)
    examples = replace(given, source=source(given.source, itertools.count(), at=at))
    try:
        stopped = train_heads(tmp_path, fitted_specs(), examples=examples, d=16, **FITTED)
    except (KilledError, KeyboardInterrupt):
        stopped = None
    # Ctrl-C while the last fits are made lets them be.
    assert stopped is None or (source is Interrupting and share > 0.6)
    assert_same(expected, train_heads(tmp_path, fitted_specs(), d=16, **FITTED))
    logs = [(where / "metrics.jsonl").read_text() for where in (folder, tmp_path)]
    assert logs[0] == logs[1]


@pytest.mark.slow
def test_fitted_heads_that_are_done_resume_to_the_same(tmp_path, whole_fitted):
    _, expected, _ = whole_fitted
    for _ in range(2):
        assert_same(expected, train_heads(tmp_path, fitted_specs(), d=16, **FITTED))


@pytest.mark.slow
def test_a_head_out_of_patience_stops_alone_and_in_a_bank_alike(tmp_path):
    plan = {"epochs": 12, "patience": 2, "min_delta": 0.05}
    bank, best = train_heads(tmp_path / "bank", specs(), **plan)
    log = (tmp_path / "bank/metrics.jsonl").read_text()
    logged = [json.loads(line) for line in log.splitlines()]
    lasted = {
        spec.key: sum(spec.key in at["val_balanced_accuracy"] for at in logged) for spec in specs()
    }
    assert len(set(lasted.values())) > 1
    for number, spec in enumerate(specs()):
        alone, best_alone = train_heads(tmp_path / str(number), [spec], **plan)
        expected, actual = alone.heads[spec.key].state_dict(), bank.heads[spec.key].state_dict()
        assert all(torch.equal(expected[name], actual[name]) for name in expected), spec.key
        assert best_alone[spec.key].epoch == best[spec.key].epoch
        last = best[spec.key].mark_epoch + 2
        assert lasted[spec.key] == min(12, max(last, 1 + 2))  # patience begins after warm-up


def test_the_best_epoch_is_the_one_with_the_best_score(tmp_path):
    _, best = train_heads(tmp_path, specs())
    logged = (tmp_path / "metrics.jsonl").read_text().splitlines()
    for spec in specs():
        values = [json.loads(line)["val_balanced_accuracy"][spec.key] for line in logged]
        assert best[spec.key].value == max(values)
        assert best[spec.key].epoch == values.index(max(values)) + 1


@pytest.mark.slow
@pytest.mark.parametrize("has_select", [True, False])
def test_without_a_record_or_rows_that_pick_the_last_weights_are_the_same(tmp_path, has_select):
    expected, _ = train_heads(tmp_path, specs())
    examples = make_examples()
    if not has_select:
        examples = replace(examples, select=np.zeros(0, int))
    bank = HeadBank(specs(), sample_of(examples.source), num_classes=3)
    best = train_bank(bank, examples, settings(), compute=OneDevice("cpu"))
    assert set(best) == ({spec.key for spec in specs()} if has_select else set())
    last = bank.state_dict()
    assert all(torch.equal(last[name], value) for name, value in expected.state_dict().items())


@pytest.mark.parametrize("build", [OneDevice, lambda device: build_accelerator(device=device)])
def test_a_training_of_which_nothing_is_kept_writes_nothing(tmp_path, monkeypatch, capsys, build):
    monkeypatch.chdir(tmp_path)
    examples = make_examples()
    bank = HeadBank(specs(), sample_of(examples.source), num_classes=3)
    train_bank(bank, examples, settings(), compute=build("cpu"))
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr() == ("", "")
