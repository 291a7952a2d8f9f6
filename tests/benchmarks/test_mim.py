"""Pre-training in miniature: stopped and continued it is the same, and `toolkit probe` reads it."""

import json

import pytest
import torch
from safetensors.torch import load_file

import mim
from lib import pretraining
from toolkit_common.backbones.load import load_backbone
from toolkit_common.errors import InputError
from toolkit_common.seen.record import read_seen

TINY = ("--image-size", "16", "--patch-size", "4", "--width", "12", "--depth", "1", "--heads", "2",
        "--batch-size", "4", "--epochs", "2", "--device", "cpu")  # fmt: skip


def arguments(objective, image_folder, output, *more):
    words = [objective, "--data", f"imagefolder:{image_folder}", "--output", output, *TINY, *more]
    return mim.read_arguments(list(map(str, words)))


def weights_of(folder):
    return load_file(folder / "encoder/encoder.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["mae", "supervised", "simclr"])
def test_a_stopped_run_ends_as_the_undisturbed_one(objective, image_folder, tmp_path, monkeypatch):
    whole = mim.pretrain(arguments(objective, image_folder, tmp_path / "whole"))
    given = arguments(objective, image_folder, tmp_path / "cut")
    plain = pretraining.step_
    monkeypatch.setattr(pretraining, "SAVE_EVERY_S", 0.0)  # a state after every step

    def killed(work, optimizer, batch, step):
        if step == 3:
            raise MemoryError
        return plain(work, optimizer, batch, step)

    monkeypatch.setattr(pretraining, "step_", killed)
    with pytest.raises(MemoryError):
        mim.pretrain(given)
    assert not (tmp_path / "cut/encoder").exists()
    taken = []
    monkeypatch.setattr(pretraining, "step_", lambda *args: taken.append(args[-1]) or plain(*args))
    mim.pretrain(given)
    assert taken[0] == 3
    expected, actual = weights_of(whole), weights_of(tmp_path / "cut")
    assert all(torch.equal(actual[name], expected[name]) for name in expected)


@pytest.mark.slow
def test_the_encoder_is_read_as_any_export_and_says_what_it_is(image_folder, tmp_path):
    folder = mim.pretrain(arguments("mae", image_folder, tmp_path / "run"))
    backbone = load_backbone(str(folder))
    assert (backbone.info.facts.embed_dim, backbone.info.facts.grid) == (12, (4, 4))
    assert backbone.info.card.objective == "masked reconstruction (MAE)"
    assert (backbone.info.card.linear, backbone.info.card.ep) == ("cls", "patches")
    assert backbone.info.receipt.loaded == 1.0
    provenance = backbone.info.provenance
    assert 0.5 < provenance["held-out loss of predicting the mean"] < 1.0
    assert provenance["held-out loss of masked patches"] > 0.0
    assert str(tmp_path) not in (folder / "encoder/encoder.json").read_text()
    (record,) = read_seen(folder)
    assert len(record.of("images")) >= 4 * provenance["steps"] // 2


@pytest.mark.slow
def test_checks_hold_a_trained_encoder_against_a_random_one(image_folder, tmp_path, capsys):
    given = arguments("mae", image_folder, tmp_path / "run")
    checks = mim.check(mim.pretrain(given), given)
    assert list(checks) == [
        "held-out loss of masked patches", "held-out loss of predicting the mean",
        "linear probing, top-1, trained", "linear probing, top-1, random",
    ]  # fmt: skip
    assert all(value >= 0.0 for value in checks.values())


@pytest.mark.slow
def test_another_run_is_not_continued(image_folder, tmp_path):
    mim.pretrain(arguments("mae", image_folder, tmp_path / "run"))
    with pytest.raises(InputError, match="holds a run with objective='mae', got 'simclr'"):
        mim.pretrain(arguments("simclr", image_folder, tmp_path / "run"))
    kept = json.loads((tmp_path / "run/arguments.json").read_text())
    assert kept["objective"] == "mae"


def test_a_batch_is_no_larger_than_the_training_split(image_folder, tmp_path):
    given = arguments("mae", image_folder, tmp_path / "run", "--batch-size", "999")
    with pytest.raises(InputError, match="less than a batch of 999"):
        mim.set_up(given)
