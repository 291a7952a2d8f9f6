"""Pre-training in miniature: stopped and continued it is the same, and `toolkit probe` reads it."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import mim
from lib import pretraining
from toolkit_common.backbones.load import load_backbone
from toolkit_common.errors import InputError
from toolkit_common.runs.files import read_json
from toolkit_common.seen.record import read_seen
from toolkit_probing.results.contents import read_results

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
def test_checks_are_printed_and_are_what_they_say(image_folder, tmp_path, monkeypatch, capsys):
    run = tmp_path / "run"
    words = ["mim", "mae", "--data", f"imagefolder:{image_folder}", "--output", str(run), *TINY]
    monkeypatch.setattr("sys.argv", words)
    mim.main()
    checks = read_json(run / "checks.json")
    provenance = read_json(run / "encoder/encoder.json")["provenance"]
    of = {name: read_results(run / f"linear-{name}") for name in ("trained", "random")}
    assert [of[name].backbone.random_weights for name in of] == [False, True]
    assert {results.rows[0].source for results in of.values()} == {"cls"}
    assert checks == {
        **{name: value for name, value in provenance.items() if name.startswith("held-out")},
        **{f"linear probing, top-1, {name}": results.rows[0].metrics["top1"].mean
           for name, results in of.items()},
    }  # fmt: skip
    assert list(checks)[:2] == [
        "held-out loss of masked patches", "held-out loss of predicting the mean",
    ]  # fmt: skip
    printed = capsys.readouterr()
    for name, value in checks.items():
        assert f"{name}: {value:.4g}" in printed.out + printed.err


def test_held_out_images_are_drawn_of_all_classes():
    rows = np.arange(100, 200)
    picked = mim.drawn(rows, 10, 0)
    assert len({*picked} & {*rows}) == 10
    assert picked.max() > 150 > picked.min()
    assert np.array_equal(picked, mim.drawn(rows, 10, 0))
    assert not np.array_equal(picked, mim.drawn(rows, 10, 1))
    assert np.array_equal(np.sort(mim.drawn(rows, 4096, 0)), rows)


LIKE_RANDOM = "linear probing is not above that of random weights"
LIKE_MEAN = "hidden patches are hardly better inferred than by their mean"


@pytest.mark.parametrize(
    ("trained", "loss", "doubt"),
    [
        (0.5, 0.5, ""),
        (0.3, 0.5, f"IT HAS NOT LEARNED: {LIKE_RANDOM}"),
        (0.5, 0.9, f"IT HAS NOT LEARNED: {LIKE_MEAN}"),
        (0.3, 0.9, f"IT HAS NOT LEARNED: {LIKE_RANDOM}, {LIKE_MEAN}"),
    ],
)
def test_what_has_learned_nothing_is_said(trained, loss, doubt):
    linear = {"linear probing, top-1, trained": trained, "linear probing, top-1, random": 0.3}
    losses = {"held-out loss of masked patches": loss, "held-out loss of predicting the mean": 1.0}
    assert pretraining.doubts(linear | losses) == doubt
    if loss < 0.8:
        assert pretraining.doubts(linear) == doubt  # of twins there is no such loss


def test_a_probe_that_fails_is_no_check(tmp_path, capsys):
    (tmp_path / "run/encoder").mkdir(parents=True)
    (tmp_path / "run/encoder/encoder.json").write_text('{"provenance": {}}')
    given = arguments("mae", tmp_path / "nowhere", tmp_path / "run")
    with pytest.raises(InputError, match=r"the probe of .*run has ended with code 2: mend"):
        mim.check(tmp_path / "run", given)
    assert "error: " in capsys.readouterr().err


def test_a_check_that_is_stopped_is_an_interrupt(tmp_path, monkeypatch):
    (tmp_path / "run/encoder").mkdir(parents=True)
    (tmp_path / "run/encoder/encoder.json").write_text('{"provenance": {}}')
    monkeypatch.setattr(mim, "app", lambda words, standalone_mode: 130)
    with pytest.raises(KeyboardInterrupt):
        mim.check(tmp_path / "run", arguments("mae", tmp_path, tmp_path / "run"))


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
