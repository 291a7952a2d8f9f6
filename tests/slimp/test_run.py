"""`toolkit pretrain slimp` end to end: it learns, exports, repeats, refuses."""

import json
import re
import shlex

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from conftest import assert_bad_input
from helpers.ranks import run_toolkit
from helpers.slimp_run import TINY
from toolkit_slimp.training.step import Stepper


@pytest.mark.slow
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
        "--epochs", "1", "--set", "ep.num_queries=4", "--output", tmp_path / "probe", "--json",
    )  # fmt: skip
    assert probed.exit_code == 0, probed.output
    results = json.loads(probed.stdout)
    assert results["backbone"]["weights"]["loaded"] == 1.0
    assert results["backbone"]["card"]["objective"] == "nested contrastive (SLIMP)"


@pytest.mark.slow
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


def test_all_folds_at_once_are_refused_with_what_to_do(pretrain, tmp_path):
    result = pretrain("--folds", "4")
    assert_bad_input(result, "pretrain slimp trains one encoder a run: add --fold K, 0 to 3",
                     "toolkit probe --folds 4 --fold K then judges encoder K")  # fmt: skip
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_an_encoder_of_one_fold_has_seen_test_patients_of_the_others(
    pretrain, run_cli, patients, tmp_path
):
    assert pretrain("--epochs", "1", "--folds", "4", "--fold", "1").exit_code == 0
    run, out = tmp_path / "run", tmp_path / "probe"
    every = ["probe", "--backbone", run, "--data", patients, "--method", "linear", "--folds", "4",
             "--output", out]  # fmt: skip
    assert_bad_input(run_cli(*every), f"fold 0: encoder {run} was pre-trained on",
                     "give --folds 4 --fold 1 in place of --folds 4 --fold 0")  # fmt: skip
    assert not out.exists()


@pytest.mark.slow
def test_plain_timm_loads_the_image_weights_alone(pretrain, tmp_path):
    pretrain("--epochs", "1")

    import timm  # the run has prepared torchvision

    model = timm.create_model("test_vit", num_classes=0, img_size=32)
    model.load_state_dict(load_file(tmp_path / "run/encoder/encoder.safetensors"))


@pytest.mark.slow
@pytest.mark.parametrize("how", ["auto", "batch"])
def test_statistics_that_came_with_the_weights_are_exported_as_they_were(pretrain, tmp_path, how):
    start = ["--backbone", "timm:test_resnet?image_size=32"]
    assert pretrain(*start, "--epochs", "1", output=tmp_path / "first").exit_code == 0
    first = tmp_path / "first/encoder/encoder.safetensors"
    weights = ["--backbone", f"{start[1]}&weights={first}", "--no-random-init"]
    result = pretrain(*weights, "--epochs", "1", "--batch-norm", how)
    assert result.exit_code == 0, result.output
    message = {"auto": "frozen statistics", "batch": "batch statistics"}[how]
    assert message in " ".join(result.output.split())
    before, after = load_file(first), load_file(tmp_path / "run/encoder/encoder.safetensors")
    assert not torch.equal(before["bn1.weight"], after["bn1.weight"])
    same = [torch.equal(before[key], after[key]) for key in before if key.endswith("running_mean")]
    assert all(same) if how == "auto" else not any(same)


@pytest.mark.slow
def test_the_loss_falls_and_retrieval_beats_chance(pretrain, tmp_path):
    result = pretrain("--epochs", "60", "--lr", "3e-3", "--image-lr", "1e-3")
    assert result.exit_code == 0, result.output
    lines = (tmp_path / "run/metrics.jsonl").read_text().splitlines()
    logged = [json.loads(line) for line in lines]
    # One batch has 4 to 12 lesions, and the loss of few is low: means of ten.
    losses = [line["loss"] for line in logged]
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])
    held_out = [line["val_loss"] for line in logged if "val_loss" in line]
    # The lowest: ages are in no image, so that the patient level can only overfit from there.
    assert min(held_out) < 0.8 * held_out[0]
    last = logged[-1]
    assert last["val_lesion_recall_at_5"] > 2 * last["val_lesion_recall_at_5_chance"]
    assert last["val_lesion_recall_at_1"] > 4 * last["val_lesion_recall_at_1_chance"]


@pytest.mark.slow
def test_a_run_in_steps_is_that_in_epochs_and_either_is_said_in_the_other(
    run_cli, patients, tmp_path
):
    tiny = [*TINY[: TINY.index("--epochs")], *TINY[TINY.index("--epochs") + 2 :]]
    for name, length in {"epochs": ["--epochs", "2"], "steps": ["--steps", "8"]}.items():
        result = run_cli("pretrain", "slimp", *tiny, *length, "--data", patients,
                         "--output", tmp_path / name)  # fmt: skip
        assert result.exit_code == 0, result.output
        assert "for 8 steps = 2 epochs of 4 steps of 4 patients" in result.stderr
        results = json.loads((tmp_path / name / "results.json").read_text())
        assert (results["steps"], results["epochs"]) == (8, 2.0)
        assert re.search(r"val_loss \d\.\d{3} \(chance \d\.\d{3}\)", result.stdout)
        assert re.search(r"reverse_recall_at_1 \d\.\d{3} \(chance 0\.\d{3}\)", result.stdout)
    first, second = (
        tmp_path / name / "encoder/encoder.safetensors" for name in ("epochs", "steps")
    )
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.slow
def test_two_runs_with_one_seed_are_equal_to_the_bit(pretrain, tmp_path):
    for name in ("a", "b"):
        assert pretrain(output=tmp_path / name).exit_code == 0
    first, second = (tmp_path / name / "encoder/encoder.safetensors" for name in "ab")
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.slow
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
    place = {"hash_weights": "training.setup", "splits_table": "run"}[fact]
    others = {"hash_weights": lambda _: "f" * 64, "splits_table": lambda *_: pd.DataFrame()}
    with monkeypatch.context() as patch:
        patch.setattr(f"toolkit_slimp.{place}.{fact}", others[fact])
        assert_bad_input(pretrain("--resume"), "cannot resume", f"changed: {name} (was ")
    assert (tmp_path / "run/splits.csv").read_bytes() == splits


@pytest.mark.slow
def test_an_edited_schema_is_read_and_a_resumed_run_refuses_another(
    pretrain, run_cli, patients, tmp_path
):
    path = tmp_path / "schema.json"
    assert run_cli("data", "schema", patients, "--output", path).exit_code == 0
    schema = json.loads(path.read_text())
    schema["columns"] = [item for item in schema["columns"] if item["name"] != "age"]
    path.write_text(json.dumps(schema))
    result = pretrain("--schema", path, "--epochs", "1", "--keep-checkpoints")
    assert result.exit_code == 0, result.output
    assert "patient loss: off" in result.stderr
    used = tmp_path / "run/schema.json"
    before = used.read_text()
    assert "age" not in before
    (tmp_path / "run/DONE").unlink()
    schema["columns"][0]["high"] = 1000.0
    path.write_text(json.dumps(schema))
    message = ("cannot resume", "another metadata schema", str(used))
    again = pretrain("--schema", path, "--epochs", "1", "--keep-checkpoints", "--resume")
    assert_bad_input(again, *message)
    assert used.read_text() == before


@pytest.mark.slow
def test_without_lesion_columns_the_patient_loss_is_alone(pretrain, patients, tmp_path):
    table = pd.read_csv(tmp_path / "table.csv").drop(columns="brightness")
    table.to_csv(tmp_path / "table.csv", index=False)
    result = pretrain("--epochs", "1")
    assert result.exit_code == 0, result.output
    assert "lesion loss: off" in result.stderr
    refused = pretrain("--ablation", "lesion-only", output=tmp_path / "other")
    assert_bad_input(refused, "lesion_weight 1 leaves nothing to train", "no lesion columns")


@pytest.mark.slow
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
    "encoders": ["--metadata-blocks", "ft", "--metadata-pooling", "cls", "--metadata-mlp-ratio",
                 "1.5", "--phenotype", "mean_max"],
    "batches": ["--lesion-sampling", "positives", "--positives", "label=dark",
                "--positive-repeats", "2", "--lesions-per-patient", "2"],
    "deviation": ["--lesion-sampling", "deviation", "--lesions-per-patient", "2", "--ema", "0.9"],
    "cache": ["--cache-images", "20", "--num-workers", "1",
              "--backbone", "timm:test_vit?image_size=16"],
    "machine": ["--lesions-per-pass", "3", "--grad-checkpointing"],
    "half": ["--precision", "bf16"],
    "twins": ["--lesion-positives", "same_metadata", "--lesion-negatives", "same_patient"],
}  # fmt: skip


@pytest.mark.slow
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
        (["--cache-images", "exact"], ["--cache-images exact", "random crops", "give the pixels"]),
        (["--metadata-heads", "3"], ["multiple of its heads, got 16 and 3"]),
        (["--steps", "4"], ["give one of them, got epochs 2 and steps 4"]),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(pretrain, tmp_path, options, parts):
    assert_bad_input(pretrain(*options), *parts)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--backbone", "timm:vit_bse_patch16_224"], "unknown timm model 'vit_bse_patch16_224'"),
        (["--schema", "none.json"], "no schema at none.json"),
        ([], "0-0.png"),
    ],
)
def test_names_and_paths_are_checked_before_images(pretrain, tmp_path, options, message):
    (tmp_path / "pictures/0-0.png").write_bytes(b"no image")
    assert_bad_input(pretrain(*options), message)


@pytest.mark.slow
def test_a_schema_is_fitted_without_bad_images(pretrain, tmp_path):
    skip = ("--bad-files", "skip", "--epochs", "1")
    assert pretrain(*skip, output=tmp_path / "whole").exit_code == 0
    splits = pd.read_csv(tmp_path / "whole/splits.csv")
    bad = splits["image_id"][splits["split"] == "train"].iloc[0]
    (tmp_path / bad).write_bytes(b"no image")
    assert pretrain(*skip).exit_code == 0
    whole, own = (
        {column["name"]: column for column in json.loads(text)["columns"]}
        for text in ((tmp_path / run / "schema.json").read_text() for run in ("whole", "run"))
    )
    assert whole["brightness"]["quantiles"] != own["brightness"]["quantiles"]


@pytest.mark.slow
def test_data_without_groups_or_metadata_is_refused(run_cli, tmp_path):
    result = run_cli("pretrain", "slimp", *TINY, "--data", "digits")
    assert_bad_input(result, "'digits' has no groups", "csv:FILE?group=patient")
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_an_existing_run_folder_is_not_touched(pretrain):
    pretrain("--epochs", "1")
    assert_bad_input(pretrain("--epochs", "1"), "exists", "--resume")


@pytest.mark.parametrize(
    ("option", "message"), [("layer=-2", "drop the layers"), ("final_norm=none", "drop final_norm")]
)
def test_what_is_read_of_a_frozen_encoder_makes_no_sense_in_pretraining(pretrain, option, message):
    assert_bad_input(pretrain("--backbone", f"timm:test_vit?image_size=32&{option}"), message)


ARGS = ["pretrain", "slimp", "--backbone", "timm:test_vit?image_size=32", "--random-init",
        "--epochs", "2", "--metadata-dim", "16"]  # fmt: skip


@pytest.mark.dist
@pytest.mark.slow
def test_two_processes_follow_the_losses_of_one(run_cli, tmp_path):
    assert run_cli(*ARGS, "--output", tmp_path / "one").exit_code == 0
    run_toolkit(*ARGS, "--report", "--output", tmp_path / "two", num_processes=2)
    assert (tmp_path / "two/report.html").is_file()  # one process has drawn it, and both have ended
    one, two = (
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    )
    for line, other in zip(one, two, strict=True):
        assert {"loss", "lesion_loss", "patient_loss"} <= set(line)
        for name in {"loss", "lesion_loss", "patient_loss", "val_loss"} & set(line):
            assert other[name] == pytest.approx(line[name], rel=1e-4), (line["step"], name)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["folds", "seed", "file"])
def test_the_printed_next_step_works_when_pasted(pretrain, run_cli, patients, tmp_path, how):
    run = tmp_path / "my run"
    splits = {
        "folds": ["--folds", "4", "--fold", "2"],
        "seed": ["--split-seed", "3", "--bad-files", "skip"],
        "file": ["--splits", tmp_path / "my splits.csv"],
    }[how]
    if how == "file":
        names = [path.name for path in (tmp_path / "pictures").iterdir()]
        sides = [("train", "val", "test")[int(name.partition("-")[0]) % 3] for name in names]
        lines = [f"pictures/{name},{side}" for name, side in zip(names, sides, strict=True)]
        (tmp_path / "my splits.csv").write_text("\n".join(["image_id,split", *lines]))
    result = pretrain("--epochs", "1", *splits, output=run)
    assert result.exit_code == 0, result.output
    (line,) = (line for line in result.stdout.splitlines() if line.startswith("next: "))
    words = shlex.split(line.removeprefix("next: "))
    assert words[:5] == ["toolkit", "probe", "--method", "ep,linear,knn", "--backbone"]
    words[3] = "knn"
    probed = run_cli(*words[1:], "--output", tmp_path / "probe")
    assert probed.exit_code == 0, probed.output
    assert "seen in pre-training: no patient, lesion or image of the" in probed.stdout
    assert (tmp_path / "probe/splits.csv").read_text() == (run / "splits.csv").read_text()


@pytest.mark.slow
def test_the_next_step_names_the_column_to_choose_where_no_label_is_known(
    pretrain, patients, tmp_path
):
    table = tmp_path / "table.csv"
    table.write_text(table.read_text().replace("image,label,", "image,grade,", 1))
    result = pretrain("--epochs", "1")
    assert "next, COLUMN being what holds the label: toolkit probe" in result.stdout
    assert "--label COLUMN" in result.stdout


@pytest.mark.slow
def test_a_probe_on_other_splits_is_refused_and_marked_if_it_goes_on(
    pretrain, run_cli, patients, tmp_path
):
    assert pretrain("--epochs", "1", "--folds", "4", "--fold", "0").exit_code == 0
    run, out = tmp_path / "run", tmp_path / "probe"
    probe = ["probe", "--backbone", run, "--data", patients, "--method", "linear,knn", "--epochs",
             "1", "--output", out]  # fmt: skip
    assert_bad_input(run_cli(*probe), f"encoder {run} was pre-trained on", " test images",
                     "give --folds 4 --fold 0, or go on with --allow-seen")  # fmt: skip
    assert not out.exists()
    result = run_cli(*probe, "--allow-seen")
    assert result.exit_code == 0, result.output
    rows = json.loads((out / "results.json").read_text())["rows"]
    assert [row["seen"] for row in rows] == ["seen", "seen"]
    table = result.stdout.split("baselines read no image")[0]
    assert table.count(" SEEN ") == 8  # two rows of four figures
    assert "SEEN IN PRE-TRAINING: encoder" in result.stdout
    compared = run_cli("compare", out)
    assert compared.stdout.count(" SEEN") == 9  # three metrics: both figures and the difference
    assert "SEEN: the encoder was pre-trained on patients or images" in compared.stdout
    page = tmp_path / "page.html"
    reported = run_cli("report", out, "--output", page)
    assert "; SEEN IN PRE-TRAINING" in reported.stdout.replace("\n", "")
    assert reported.stdout.count(" SEEN") == 10 + 1
    assert page.read_text().count("SEEN</td>") == 10 + 2  # figures, and the rows' names


@pytest.mark.slow
def test_a_data_card_is_read_from_any_folder(pretrain, run_cli, patients, tmp_path, monkeypatch):
    assert run_cli("data", "describe", patients, "--save", "data.yaml").exit_code == 0
    assert pretrain("--data", "data.yaml", "--epochs", "1").exit_code == 0
    before = json.loads((tmp_path / "run/results.json").read_text())["held_out"]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    (tmp_path / "run/DONE").unlink()
    again = run_cli("pretrain", "slimp", "--resume", "--output", "../run")
    assert again.exit_code == 0, again.output
    assert json.loads((tmp_path / "run/results.json").read_text())["held_out"] == before
    probed = run_cli("probe", "--backbone", "../run", "--data", "../data.yaml", "--method", "knn",
                     "--output", "probe")  # fmt: skip
    assert probed.exit_code == 0, probed.output
