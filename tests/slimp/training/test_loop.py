"""The loop: logs what it should, stops and goes on to the same bits."""

import json
import os
import re
import signal

import pytest
import torch
from safetensors.torch import load_file

from helpers.slimp_run import run_killed
from toolkit_common.runs.checkpoints import load_checkpoint
from toolkit_slimp.training.step import Stepper

FILES = ("encoder/encoder.safetensors", "encoder/slimp.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 3, 4])
def test_an_interrupted_run_exits_with_130_and_resumes_to_the_same_encoder(
    pretrain, tmp_path, monkeypatch, step
):
    assert pretrain(output=tmp_path / "whole").exit_code == 0
    original, count = Stepper.backward, iter(range(1, 10**6))

    def interrupting(*args):
        if next(count) == step:
            os.kill(os.getpid(), signal.SIGINT)
        return original(*args)

    with monkeypatch.context() as patch:
        patch.setattr(Stepper, "backward", interrupting)
        assert pretrain().exit_code == 130
    assert not (tmp_path / "run/encoder").exists()
    assert pretrain("--resume").exit_code == 0
    for name in ("encoder.safetensors", "slimp.safetensors"):
        expected = load_file(tmp_path / "whole/encoder" / name)
        actual = load_file(tmp_path / "run/encoder" / name)
        assert all(torch.equal(expected[key], actual[key]) for key in expected)
    expected, actual = (
        json.loads((tmp_path / name / "results.json").read_text()) for name in ("whole", "run")
    )
    assert actual["held_out"] == expected["held_out"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [["--watch-every", "2"], ["--ema", "0.9", "--lesions-per-pass", "3"]]
)
def test_a_killed_run_resumes_to_the_same_bits(pretrain, tmp_path, monkeypatch, options):
    assert pretrain(*options, output=tmp_path / "whole").exit_code == 0
    run_killed(lambda: pretrain(*options), monkeypatch, step=4)
    assert [path.stem for path in sorted((tmp_path / "run/checkpoints").glob("*.pt"))] == [
        "step-000000003", "step-000000004",
    ]  # fmt: skip
    assert not (tmp_path / "run/encoder").exists()
    assert pretrain(*options, "--resume").exit_code == 0
    for name in FILES:
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    logs = [
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("run", "whole")
    ]
    assert [line["step"] for line in logs[0]] == [line["step"] for line in logs[1]]
    assert [line["loss"] for line in logs[0]] == [line["loss"] for line in logs[1]]


@pytest.mark.slow
def test_pieces_and_checkpointing_change_no_loss(pretrain, tmp_path):
    for name, options in {
        "whole": [],
        "pieces": ["--lesions-per-pass", "3", "--grad-checkpointing"],
    }.items():
        assert pretrain(*options, output=tmp_path / name).exit_code == 0
    whole, pieces = (
        json.loads((tmp_path / name / "metrics.jsonl").read_text().splitlines()[-1])
        for name in ("whole", "pieces")
    )
    assert pieces["loss"] == pytest.approx(whole["loss"], rel=1e-4)


@pytest.mark.slow
def test_the_average_of_the_weights_is_what_is_judged_and_exported(pretrain, tmp_path):
    for name, options in {"plain": [], "average": ["--ema", "0.9"]}.items():
        assert pretrain(*options, "--keep-checkpoints", output=tmp_path / name).exit_code == 0
    plain, average = (load_file(tmp_path / name / FILES[0]) for name in ("plain", "average"))
    assert any(not torch.equal(plain[key], average[key]) for key in plain)
    state = load_checkpoint(tmp_path / "average/checkpoints")[1]
    for key, value in average.items():
        assert torch.equal(state["average"][f"module.image_encoder.model.{key}"], value)
        assert torch.equal(state["model"][f"image_encoder.model.{key}"], plain[key])


@pytest.mark.slow
def test_it_logs_the_spread_and_warns_of_a_collapse(pretrain, tmp_path, monkeypatch):
    result = pretrain()
    assert result.exit_code == 0, result.output
    last = json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[-1])
    for prefix in ("", "val_"):
        assert 1 <= last[f"{prefix}effective_rank"] <= 16
        assert -4 <= last[f"{prefix}uniformity"] <= 1e-6
        assert 0 <= last[f"{prefix}alignment"] <= 4
    monkeypatch.setattr("toolkit_slimp.watching.spread.MIN_ROWS", 2)
    monkeypatch.setattr("toolkit_slimp.watching.spread.MIN_EFFECTIVE_RANK", 17.0)
    result = pretrain(output=tmp_path / "collapsed")
    message = "this run has collapsed: embeddings have effective rank"
    assert result.stderr.count(message) == 2  # once an epoch, and no more
    assert "healthy from 17.0" in result.stderr


@pytest.mark.slow
def test_watching_labels_is_logged_and_changes_no_weight(pretrain, tmp_path):
    assert pretrain(output=tmp_path / "blind").exit_code == 0
    result = pretrain("--watch-every", "3")
    assert result.exit_code == 0, result.output
    assert "watching: label 'label'" in result.stderr
    assert re.search(
        r"of patients [01]\.\d{3} \(chance 0\.\d{3}\) knn [01]\.\d{3} rank", result.stderr
    )
    log = (tmp_path / "run/metrics.jsonl").read_text().splitlines()
    logged = [json.loads(line) for line in log]
    watched = {line["step"] for line in logged if "val_knn_balanced_accuracy" in line}
    total = logged[-1]["step"]
    assert watched == {*range(3, total + 1, 3), total}
    assert 0 <= logged[-1]["val_knn_balanced_accuracy"] <= 1
    assert 0 <= logged[-1]["val_knn_auroc"] <= 1
    held_out = json.loads((tmp_path / "run/results.json").read_text())["held_out"]
    assert held_out["val_knn_auroc"] == logged[-1]["val_knn_auroc"]
    for name in ("encoder.safetensors", "slimp.safetensors"):
        seen, blind = (load_file(tmp_path / run / "encoder" / name) for run in ("run", "blind"))
        assert all(torch.equal(seen[key], blind[key]) for key in blind)


@pytest.mark.slow
def test_tensorboard_shows_what_the_log_holds(pretrain, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    result = pretrain("--tracker", "tensorboard")
    assert result.exit_code == 0, result.output
    place = tmp_path / "run/tensorboard"
    assert f"tensorboard --logdir {place}" in result.stderr
    events = EventAccumulator(str(place))
    events.Reload()
    for text in (tmp_path / "run/metrics.jsonl").read_text().splitlines():
        line = json.loads(text)
        at = line.pop("step")
        for name, value in line.items():
            shown = {item.step: item.value for item in events.Scalars(name)}
            assert shown[at] == pytest.approx(value, rel=1e-6)
    manifest = json.loads((tmp_path / "run/manifest.json").read_text())
    assert any(name.startswith("tensorboard/") for name in manifest)
