"""Ablations: each sets what it says, is recorded, and trains what is left."""

import json

import pytest
from safetensors.torch import load_file

from conftest import assert_bad_input
from toolkit_common.config import Layer, resolve
from toolkit_slimp.ablations import ABLATIONS
from toolkit_slimp.settings import SlimpSettings


@pytest.mark.parametrize("name", sorted(set(ABLATIONS) - {"none"}))
def test_every_ablation_sets_what_it_says_and_is_recorded(name):
    resolved = resolve(
        SlimpSettings,
        [Layer("--ablation", {"ablation": name})],
        presets=ABLATIONS,
        preset_field="ablation",
    )
    assert resolved.settings.ablation == name
    for key, value in ABLATIONS[name].items():
        assert getattr(resolved.settings, key) == value
        assert value != SlimpSettings.model_fields[key].default
        assert resolved.sources[key] == f"ablation {name}"


def test_the_help_names_every_ablation():
    text = SlimpSettings.model_fields["ablation"].description
    assert text is not None
    assert all(name in text for name in ABLATIONS)


@pytest.mark.slow
def test_the_flat_ablation_has_one_level(pretrain, tmp_path):
    result = pretrain("--ablation", "flat")
    assert result.exit_code == 0, result.output
    assert "lesion metadata: 2 columns (brightness, age)" in result.stderr
    assert "patient metadata: 0 columns (none)" in result.stderr
    last = json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[-1])
    assert "patient_loss" not in last
    config = (tmp_path / "run/config.yaml").read_text()
    assert "ablation: flat" in config


@pytest.mark.slow
def test_simclr_alone_trains_logs_and_says_what_it_is(pretrain, run_cli, patients, tmp_path):
    result = pretrain("--ablation", "simclr", "--lesions-per-pass", "3")
    assert result.exit_code == 0, result.output
    assert "nested loss: off" in result.stderr
    last = json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[-1])
    assert last["loss"] == last["image_loss"]
    assert {"alignment", "val_effective_rank", "val_uniformity"} <= set(last)
    assert not {"lesion_loss", "val_loss", "lesion_recall_at_1", "val_alignment"} & set(last)
    described = json.loads((tmp_path / "run/encoder/encoder.json").read_text())
    assert described["card"]["objective"] == "image contrastive (SimCLR)"


def test_an_unknown_ablation_is_refused_with_the_nearest_name(pretrain, tmp_path):
    result = pretrain("--ablation", "flatt")
    assert_bad_input(result, "'flatt'", "'flat'")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_patient_loss_alone_says_nothing_of_lesions(pretrain, tmp_path):
    result = pretrain("--ablation", "patient-only", "--bank")
    assert result.exit_code == 0, result.output
    assert "reference bank: features of" in result.stderr
    assert "as confidential as the data" in result.stderr
    assert "lesion loss: off" in result.stderr
    last = json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[-1])
    assert not [name for name in last if "lesion" in name and "scale" not in name
                and name != "lesions_per_s"]  # fmt: skip
    assert {"val_loss", "val_patient_recall_at_5", "val_patient_reverse_recall_at_1"} <= set(last)
    assert "embeddings" not in load_file(tmp_path / "run/encoder/bank.safetensors")
