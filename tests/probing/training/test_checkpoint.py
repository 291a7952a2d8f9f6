"""What training changes is saved and taken up again, at whatever moment it was killed."""

import random
import shutil
import time

import pytest
import torch

from helpers.kills import run_forked
from helpers.probe_problem import make_examples, specs, train_heads
from toolkit_common.errors import InputError
from toolkit_common.runs.checkpoints import load_checkpoint, save_checkpoint
from toolkit_common.runs.folder import RunFolder
from toolkit_probing.heads.bank import HeadBank, sample_of
from toolkit_probing.training.checkpoint import (
    Record,
    copy_trained,
    load_trained_,
    trained_state,
)

NUM_KILLS = 10


@pytest.mark.slow
def test_training_killed_at_random_moments_ends_with_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr("toolkit_probing.training.checkpoint.SAVE_EVERY_S", 0.0)

    def train(name: str) -> None:
        bank, best = train_heads(tmp_path / name, specs()[::2], epochs=6)
        kept = {key: (item.value, item.epoch) for key, item in best.items()}
        torch.save((bank.state_dict(), kept), tmp_path / f"{name}.pt")

    begin = time.monotonic()
    assert run_forked(lambda: train("whole"))
    whole_s = time.monotonic() - begin
    draws, kills = random.Random(0), 0
    while kills < NUM_KILLS:
        if run_forked(lambda: train("cut"), kill_after_s=draws.uniform(0.05, 0.5) * whole_s):
            shutil.rmtree(tmp_path / "cut")
        else:
            kills += 1
    assert run_forked(lambda: train("cut"))
    (expected, expected_best), (actual, actual_best) = (
        torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("whole", "cut")
    )
    assert all(torch.equal(expected[name], actual[name]) for name in expected)
    assert expected_best == actual_best


def test_the_parts_of_a_record_have_folders_and_steps_of_their_own(tmp_path):
    record = Record(RunFolder(tmp_path), "all-draw0", first_step=12)
    part = record.part("pass-2", 9)
    assert part.folder == tmp_path / "checkpoints/all-draw0/pass-2"
    assert (part.run, part.first_step) == (record.run, 21)


def test_frozen_parameters_are_neither_saved_nor_loaded():
    bank = HeadBank(specs()[:1], sample_of(make_examples().source), num_classes=3)
    head = bank.head(specs()[0].key)
    head.classifier.requires_grad_(requires_grad=False)
    state = copy_trained(head)
    assert set(head.state_dict()) - set(state) == {"classifier.weight", "classifier.bias"}
    with torch.no_grad():
        head.classifier.weight.zero_()
        head.pool.queries.zero_()
    assert trained_state(head)["pool.queries"].abs().sum() == 0
    load_trained_(head, state)
    assert torch.equal(head.pool.queries, state["pool.queries"])
    assert head.classifier.weight.abs().sum() == 0


def test_the_state_of_another_module_is_a_mistake_of_ours():
    bank = HeadBank(specs(), sample_of(make_examples().source), num_classes=3)
    ep, *_, linear = bank.heads.values()
    with pytest.raises(AssertionError, match="state of another module"):
        load_trained_(ep, copy_trained(linear))


def test_a_training_that_an_earlier_version_began_is_not_continued(tmp_path):
    train_heads(tmp_path, specs()[:1])
    folder = tmp_path / "checkpoints/heads"
    step, state = load_checkpoint(folder)
    del state["version"]
    save_checkpoint(folder, step, state)
    with pytest.raises(InputError, match=rf"{tmp_path} was begun by a version .* --overwrite"):
        train_heads(tmp_path, specs()[:1])
