"""`toolkit pretrain slimp` end to end: it learns, exports, repeats, resumes, refuses."""

import json
import os
import re
import signal
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from conftest import assert_bad_input
from toolkit_common.config import Layer, resolve
from toolkit_common.runs.checkpoints import load_checkpoint
from toolkit_slimp.ablations import ABLATIONS
from toolkit_slimp.settings import SlimpSettings
from toolkit_slimp.training import loop
from toolkit_slimp.training.step import Stepper

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


def test_pretraining_schema_and_probe_agree_on_a_fold(pretrain, run_cli, patients, tmp_path):
    fold = ["--folds", "4", "--fold", "2"]
    assert pretrain("--epochs", "1", *fold).exit_code == 0
    run = tmp_path / "run"
    probed = run_cli("probe", "--backbone", run, "--data", patients, "--method", "knn", *fold,
                     "--output", tmp_path / "probe")  # fmt: skip
    assert probed.exit_code == 0, probed.output
    splits = (run / "splits.csv").read_text()
    assert (tmp_path / "probe/splits.csv").read_text() == splits
    for options in (fold, ["--splits", run / "splits.csv"]):
        result = run_cli("data", "schema", patients, *options, "--json")
        assert result.stdout == (run / "schema.json").read_text()
    assert run_cli("data", "schema", patients, "--json").stdout != result.stdout


def test_plain_timm_loads_the_image_weights_alone(pretrain, tmp_path):
    pretrain("--epochs", "1")

    import timm  # the run has prepared torchvision

    model = timm.create_model("test_vit", num_classes=0, img_size=32)
    model.load_state_dict(load_file(tmp_path / "run/encoder/encoder.safetensors"))


@pytest.mark.parametrize("how", ["auto", "batch"])
def test_statistics_that_came_with_the_weights_are_exported_as_they_were(pretrain, tmp_path, how):
    start = ["--backbone", "timm:test_resnet?image_size=32"]
    assert pretrain(*start, "--epochs", "1", output=tmp_path / "first").exit_code == 0
    first = tmp_path / "first/encoder/encoder.safetensors"
    weights = ["--backbone", f"{start[1]}&weights={first}", "--no-random-init"]
    result = pretrain(*weights, "--epochs", "1", "--batch-norm", how)
    assert result.exit_code == 0, result.output
    told = {"auto": "frozen statistics", "batch": "batch statistics"}[how]
    assert told in " ".join(result.output.split())
    before, after = load_file(first), load_file(tmp_path / "run/encoder/encoder.safetensors")
    assert not torch.equal(before["bn1.weight"], after["bn1.weight"])
    same = [torch.equal(before[key], after[key]) for key in before if key.endswith("running_mean")]
    assert all(same) if how == "auto" else not any(same)


def test_the_loss_falls_and_retrieval_beats_chance(pretrain, tmp_path):
    result = pretrain("--epochs", "60", "--lr", "3e-3", "--image-lr", "1e-3")
    assert result.exit_code == 0, result.output
    lines = (tmp_path / "run/metrics.jsonl").read_text().splitlines()
    logged = [json.loads(line) for line in lines]
    # One batch has 4 to 12 lesions, and the loss of few is low: means of ten.
    losses = [line["loss"] for line in logged]
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])
    held_out = [line["val_loss"] for line in logged if "val_loss" in line]
    assert held_out[-1] < 0.85 * held_out[0]
    num_val = (pd.read_csv(tmp_path / "run/splits.csv")["split"] == "val").sum()
    assert logged[-1]["val_lesion_recall_at_5"] > 2 * 5 / 16
    assert logged[-1]["val_lesion_recall_at_1"] > 2 / num_val


def test_two_runs_with_one_seed_are_equal_to_the_bit(pretrain, tmp_path):
    for name in ("a", "b"):
        assert pretrain(output=tmp_path / name).exit_code == 0
    first, second = (tmp_path / name / "encoder/encoder.safetensors" for name in "ab")
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    ("fact", "name"), [("hash_weights", "encoder"), ("splits_table", "splits")]
)
def test_a_run_is_not_resumed_from_another_encoder_or_on_other_splits(
    pretrain, tmp_path, monkeypatch, fact, name
):
    def interrupting(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Stepper, "backward", interrupting)
        assert pretrain().exit_code == 130
    splits = (tmp_path / "run/splits.csv").read_bytes()
    others = {"hash_weights": lambda _: "f" * 64, "splits_table": lambda *_: pd.DataFrame()}
    with monkeypatch.context() as patch:
        patch.setattr(f"toolkit_slimp.run.{fact}", others[fact])
        assert_bad_input(pretrain("--resume"), "cannot resume", f"changed: {name} (was ")
    assert (tmp_path / "run/splits.csv").read_bytes() == splits


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
    expected, found = (
        json.loads((tmp_path / name / "results.json").read_text()) for name in ("whole", "run")
    )
    assert found["held_out"] == expected["held_out"]


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_batch(
    pretrain, tmp_path, monkeypatch
):
    original = Stepper.backward

    def spoiled(self, batch, step):
        loss = original(self, batch, step)
        return replace(loss, total=loss.total * float("nan")) if step == 2 else loss

    monkeypatch.setattr(Stepper, "backward", spoiled)
    place = tmp_path / "run/diverged/step-000000002-rank-0.safetensors"
    assert_bad_input(pretrain(), "the loss is nan at step 2", "lower --lr", str(place))
    saved, listed = load_file(place), pd.read_csv(place.with_suffix(".csv"))
    assert saved["images"].shape[1:] == (3, 32, 32)
    assert saved["rows"].tolist() == listed["row"].tolist()
    assert listed["image_id"].str.contains("pictures/").all()
    assert {"lesions.numeric", "lesions.observed", "patients.words", "segments"} <= set(saved)
    assert not (tmp_path / "run/encoder").exists()


def test_a_gradient_that_is_no_number_stops_the_run(pretrain, monkeypatch):
    original = Stepper.backward

    def spoiled(self, batch, step):
        loss = original(self, batch, step)
        self.model.project_image[0].weight.grad[0, 0] = float("inf")
        return loss

    monkeypatch.setattr(Stepper, "backward", spoiled)
    assert_bad_input(pretrain(), "the gradient's norm is", "at step 0", "lower --lr")


def test_weights_that_the_last_update_spoiled_are_seen_before_they_are_exported(pretrain, tmp_path):
    result = pretrain("--lr", "1e30", "--image-lr", "1e30", "--patients-per-batch", "32",
                      "--epochs", "3", "--watch-every", "1")  # fmt: skip
    assert_bad_input(result, "the held-out loss is no finite number at step 0", "lower --lr")
    assert "checkpoints" not in result.stderr  # there is none from before
    assert (tmp_path / "run/diverged/step-000000000-rank-0.safetensors").exists()
    assert not (tmp_path / "run/encoder").exists()


def test_the_patient_loss_alone_says_nothing_of_lesions(pretrain, tmp_path):
    result = pretrain("--ablation", "patient-only")
    assert result.exit_code == 0, result.output
    assert "lesion loss: off" in result.stderr
    last = json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[-1])
    assert not [name for name in last if "lesion" in name and "scale" not in name
                and name != "lesions_per_s"]  # fmt: skip
    assert {"val_loss", "val_patient_recall_at_5", "val_patient_reverse_recall_at_1"} <= set(last)
    assert "embeddings" not in load_file(tmp_path / "run/encoder/bank.safetensors")


def test_without_lesion_columns_the_patient_loss_is_alone(pretrain, patients, tmp_path):
    table = pd.read_csv(tmp_path / "table.csv").drop(columns="brightness")
    table.to_csv(tmp_path / "table.csv", index=False)
    result = pretrain("--epochs", "1")
    assert result.exit_code == 0, result.output
    assert "lesion loss: off" in result.stderr
    refused = pretrain("--ablation", "lesion-only", output=tmp_path / "other")
    assert_bad_input(refused, "lesion_weight 1 leaves nothing to train", "no lesion columns")


def test_an_hdf5_file_is_read_by_workers(run_cli, tmp_path):
    made = run_cli("data", "make", "slice-3d", tmp_path / "made", "--rows", "60", "--seed", "0")
    assert made.exit_code == 0, made.output
    logs = []
    for workers in ("0", "2"):
        output = tmp_path / f"run-{workers}"
        result = run_cli("pretrain", "slimp", *TINY, "--epochs", "1", "--num-workers", workers,
                         "--data", f"slice-3d:{tmp_path / 'made'}", "--output", output)  # fmt: skip
        assert result.exit_code == 0, result.output
        lines = (output / "metrics.jsonl").read_text().splitlines()
        logs.append([json.loads(line)["loss"] for line in lines])
    assert logs[0] == logs[1]


OPTIONS = {
    "losses": ["--phenotype", "attention", "--image-weight", "0.3", "--learn-temperature",
               "--lesion-negatives", "other_patients", "--patient-positives", "same_metadata"],
    "encoders": ["--metadata-blocks", "ft", "--metadata-numbers", "periodic", "--metadata-missing",
                 "token", "--metadata-pooling", "cls", "--metadata-mlp-ratio", "1.5",
                 "--metadata-block-dropout", "0.1", "--phenotype", "mean_max"],
    "batches": ["--lesion-sampling", "positives", "--positives", "label=dark",
                "--positive-repeats", "2", "--lesions-per-patient", "2"],
    "deviation": ["--lesion-sampling", "deviation", "--lesions-per-patient", "2", "--ema", "0.9"],
    "cache": ["--cache-images", "20", "--num-workers", "1",
              "--backbone", "timm:test_vit?image_size=16"],
    "machine": ["--lesions-per-pass", "3", "--grad-checkpointing"],
    "half": ["--precision", "bf16"],
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIONS)
def test_options_run_to_the_end(pretrain, tmp_path, name):
    result = pretrain("--epochs", "1", *OPTIONS[name])
    assert result.exit_code == 0, result.output
    run = tmp_path / "run"
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert ("image_loss" in last) == ("--image-weight" in OPTIONS[name])
    assert last["lesions_per_s"] > 0
    assert 0 <= last["data_wait"] < 1
    assert last["grad_norm"] > 0


def test_pieces_and_checkpointing_change_no_loss(pretrain, tmp_path):
    for name, options in {"whole": [], "pieces": OPTIONS["machine"]}.items():
        assert pretrain(*options, output=tmp_path / name).exit_code == 0
    whole, pieces = (
        json.loads((tmp_path / name / "metrics.jsonl").read_text().splitlines()[-1])
        for name in ("whole", "pieces")
    )
    assert pieces["loss"] == pytest.approx(whole["loss"], rel=1e-4)


def test_the_average_of_the_weights_is_what_is_judged_and_exported(pretrain, tmp_path):
    for name, options in {"plain": [], "average": ["--ema", "0.9"]}.items():
        assert pretrain(*options, output=tmp_path / name).exit_code == 0
    plain, average = (load_file(tmp_path / name / FILES[0]) for name in ("plain", "average"))
    assert any(not torch.equal(plain[key], average[key]) for key in plain)
    state = load_checkpoint(tmp_path / "average/checkpoints")[1]
    for key, value in average.items():
        assert torch.equal(state["average"][f"module.image_encoder.model.{key}"], value)
        assert torch.equal(state["model"][f"image_encoder.model.{key}"], plain[key])


FILES = ("encoder/encoder.safetensors", "encoder/slimp.safetensors")


@pytest.mark.parametrize(
    "options", [["--watch-every", "2"], ["--ema", "0.9", "--lesions-per-pass", "3"]]
)
def test_a_killed_run_resumes_to_the_same_bits(pretrain, tmp_path, monkeypatch, options):
    """SIGKILL in the middle of a step, in a fork: no handler runs, nothing is tidied up."""
    assert pretrain(*options, output=tmp_path / "whole").exit_code == 0
    original = Stepper.backward

    def killed(self, batch, step):
        loss = original(self, batch, step)
        if step == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return loss

    child = os.fork()
    if child == 0:
        try:
            monkeypatch.setattr(Stepper, "backward", killed)
            monkeypatch.setattr(loop, "SAVE_EVERY_S", 0.0)
            pretrain(*options)
        finally:
            os._exit(0)  # never back into pytest
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
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


def test_an_edited_schema_is_read_and_a_resumed_run_refuses_another(
    pretrain, run_cli, patients, tmp_path
):
    path = tmp_path / "schema.json"
    assert run_cli("data", "schema", patients, "--output", path).exit_code == 0
    schema = json.loads(path.read_text())
    schema["columns"] = [item for item in schema["columns"] if item["name"] != "age"]
    path.write_text(json.dumps(schema))
    result = pretrain("--schema", path, "--epochs", "1")
    assert result.exit_code == 0, result.output
    assert "patient loss: off" in result.stderr
    used = tmp_path / "run/schema.json"
    before = used.read_text()
    assert "age" not in before
    (tmp_path / "run/DONE").unlink()
    schema["columns"][0]["high"] = 1000.0
    path.write_text(json.dumps(schema))
    message = ("cannot resume", "another metadata schema", str(used))
    assert_bad_input(pretrain("--schema", path, "--epochs", "1", "--resume"), *message)
    assert used.read_text() == before


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--positive-repeats", "2"], ["positive_repeats 2", "needs lesion_sampling positives"]),
        (["--tracker", "trackio"], ["tracker", "'tensorboard' or 'wandb'"]),
        (["--watch-label", "label"], ["watch_label label needs watch_every"]),
        (["--watch-every", "2", "--watch-label", "labl"], ["no label 'labl'", "'label'"]),
        (["--nested-weight", "0"], ["nested_weight 0 needs image_weight above 0"]),
        (["--lesion-sampling", "positives"], ["no label 'malignant'"]),
        (["--lesion-negatives", "other_lesions"], ["no lesion_id", "all or other_patients"]),
        (["--schema", "none.json"], ["no schema at none.json"]),
        (
            ["--backbone", "timm:test_resnet", "--random-init", "--lesions-per-pass", "2"],
            ["batch normalisations", "--batch-norm frozen"],
        ),
        (["--positives", "foo"], ["positives foo needs lesion_sampling positives, got random"]),
        (["--lr", "-1"], ["lr", "greater than or equal to 0"]),
        (["--learn-temperature", "--temperature", "5"], ["within 0.01 and 1, got a start of 5"]),
        (
            ["--ablation", "patient-only", "--patient-columns", "lesion"],
            ["lesion_weight 0 leaves nothing to train", "no patient columns"],
        ),
        (
            ["--ablation", "same-metadata", "--lesion-weight", "1"],
            ["patient_positives same_metadata is of the patient loss", "lesion_weight is 1"],
        ),
        (
            ["--phenotype", "attention", "--patient-columns", "lesion"],
            ["phenotype attention is of the patient loss", "no patient columns"],
        ),
        (["--cache-images", "31"], ["--cache-images 31", "below the encoder's input of 32"]),
        (["--metadata-heads", "3"], ["multiple of its heads, got 16 and 3"]),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(pretrain, tmp_path, options, parts):
    assert_bad_input(pretrain(*options), *parts)
    assert not (tmp_path / "run").exists()


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


def test_watching_labels_is_logged_and_changes_no_weight(pretrain, tmp_path):
    assert pretrain(output=tmp_path / "blind").exit_code == 0
    result = pretrain("--watch-every", "3")
    assert result.exit_code == 0, result.output
    assert "watching: label 'label'" in result.stderr
    assert re.search(r"of patients [01]\.\d{3} knn [01]\.\d{3} ep [01]\.\d{3} rank", result.stderr)
    log = (tmp_path / "run/metrics.jsonl").read_text().splitlines()
    logged = [json.loads(line) for line in log]
    watched = {line["step"] for line in logged if "val_knn_balanced_accuracy" in line}
    total = logged[-1]["step"]
    assert watched == {*range(3, total + 1, 3), total}
    for method in ("knn", "ep"):
        assert 0 <= logged[-1][f"val_{method}_balanced_accuracy"] <= 1
        assert 0 <= logged[-1][f"val_{method}_auroc"] <= 1
    held_out = json.loads((tmp_path / "run/results.json").read_text())["held_out"]
    assert held_out["val_ep_auroc"] == logged[-1]["val_ep_auroc"]
    for name in ("encoder.safetensors", "slimp.safetensors", "bank.safetensors"):
        seen, blind = (load_file(tmp_path / run / "encoder" / name) for run in ("run", "blind"))
        assert all(torch.equal(seen[key], blind[key]) for key in blind)


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


def test_the_flat_ablation_has_one_level(pretrain, tmp_path):
    result = pretrain("--ablation", "flat")
    assert result.exit_code == 0, result.output
    assert "lesion metadata: 2 columns (brightness, age)" in result.stderr
    assert "patient metadata: 0 columns (none)" in result.stderr
    last = json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[-1])
    assert "patient_loss" not in last
    config = (tmp_path / "run/config.yaml").read_text()
    assert "ablation: flat" in config


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
