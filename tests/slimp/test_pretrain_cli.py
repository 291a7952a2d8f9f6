"""`toolkit pretrain slimp` end to end: it learns, exports, repeats, resumes, refuses."""

import json
import os
import signal

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from conftest import assert_bad_input
from toolkit_slimp.step import Stepper

TINY = ["--backbone", "timm:test_vit?image_size=32", "--random-init", "--epochs", "2",
        "--metadata-dim", "16", "--embed-dim", "16", "--patients-per-batch", "4"]  # fmt: skip


@pytest.fixture
def patients(tmp_path) -> str:
    """24 patients with 1 to 3 lesions whose brightness is in their metadata."""
    rng = np.random.default_rng(0)
    lines = ["image,label,group,brightness,age"]
    (tmp_path / "pictures").mkdir()
    for patient in range(24):
        for lesion in range(1 + patient % 3):
            level = rng.uniform(20, 230)
            name = f"pictures/{patient}-{lesion}.png"
            pixels = rng.normal(level, 10, (32, 32, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / name)
            label = "dark" if level < 125 else "light"
            lines.append(f"{name},{label},p{patient},{level:.1f},{20 + patient}")
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    return f"csv:{tmp_path / 'table.csv'}"


@pytest.fixture
def pretrain(run_cli, patients, tmp_path):
    def run(*args, output=tmp_path / "run"):
        return run_cli("pretrain", "slimp", *TINY, "--data", patients, "--output", output, *args)

    return run


def test_a_run_writes_an_encoder_that_a_probe_reads(pretrain, run_cli, patients, tmp_path):
    result = pretrain()
    assert result.exit_code == 0, result.output
    run = tmp_path / "run"
    for name in ("encoder.safetensors", "encoder.json", "schema.json", "slimp.safetensors"):
        assert (run / "encoder" / name).exists()
    logged = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert {"loss", "lesion_loss", "patient_loss", "val_lesion_recall_at_1"} <= set(logged[-1])
    probed = run_cli(
        "probe", "--backbone", run, "--data", patients, "--method", "ep,linear,knn",
        "--epochs", "1", "--queries", "4", "--output", tmp_path / "probe", "--json",
    )  # fmt: skip
    assert probed.exit_code == 0, probed.output
    results = json.loads(probed.stdout)
    assert results["backbone"]["weights"]["loaded"] == 1.0
    assert results["backbone"]["card"]["objective"] == "nested contrastive (SLIMP)"


def test_plain_timm_loads_the_image_weights_alone(pretrain, tmp_path):
    import timm

    pretrain("--epochs", "1")
    model = timm.create_model("test_vit", num_classes=0, img_size=32)
    model.load_state_dict(load_file(tmp_path / "run/encoder/encoder.safetensors"))


def test_the_loss_falls_and_retrieval_beats_chance(pretrain, tmp_path):
    result = pretrain("--epochs", "60", "--lr", "3e-3", "--image-lr", "1e-3")
    assert result.exit_code == 0, result.output
    lines = (tmp_path / "run/metrics.jsonl").read_text().splitlines()
    first, last = json.loads(lines[0]), json.loads(lines[-1])
    assert last["loss"] < 0.7 * first["loss"]
    assert last["val_lesion_recall_at_5"] > 2 * 5 / 16


def test_two_runs_with_one_seed_are_equal_to_the_bit(pretrain, tmp_path):
    for name in ("a", "b"):
        assert pretrain(output=tmp_path / name).exit_code == 0
    first, second = (tmp_path / name / "encoder/encoder.safetensors" for name in "ab")
    assert first.read_bytes() == second.read_bytes()


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
        found = load_file(tmp_path / "run/encoder" / name)
        assert all(torch.equal(expected[key], found[key]) for key in expected)


def test_a_loss_that_is_no_number_stops_the_run(pretrain, tmp_path, monkeypatch):
    original = Stepper.backward

    def spoiled(*args):
        loss = original(*args)
        return type(loss)(**{**vars(loss), "total": loss.total * float("nan")})

    monkeypatch.setattr(Stepper, "backward", spoiled)
    assert_bad_input(pretrain(), "the loss is nan at step 0", "lower --lr")


def test_the_first_command_a_newcomer_types_works_offline(run_cli):
    result = run_cli("pretrain", "slimp", "--epochs", "1", "--set", "patients_per_batch=120")
    assert result.exit_code == 0, result.output
    assert "runs/slimp-1" in result.stdout


def test_data_without_groups_or_metadata_is_refused(run_cli, tmp_path):
    result = run_cli("pretrain", "slimp", *TINY, "--data", "digits")
    assert_bad_input(result, "'digits' has no groups", "csv:FILE?group=patient")
    assert not (tmp_path / "runs").exists()


def test_an_existing_run_folder_is_not_touched(pretrain):
    pretrain("--epochs", "1")
    assert_bad_input(pretrain("--epochs", "1"), "exists", "--resume")


def test_layers_make_no_sense_in_pretraining(pretrain):
    result = pretrain("--backbone", "timm:test_vit?image_size=32&layer=-2")
    assert_bad_input(result, "drop the layers")
