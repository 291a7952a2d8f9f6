"""`toolkit probe` end to end: what it writes, what it refuses, that it repeats and resumes."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from safetensors.torch import load_file

from conftest import assert_bad_input
from helpers.probe_problem import Interrupting
from helpers.probe_runs import TINY, read_csv
from helpers.wide_images import eight_bits, floats, twelve_bits, write_greys
from toolkit_common.images.wide import PixelRange
from toolkit_common.scores.metrics import Predictions, compute_metrics
from toolkit_probing import run as probe_run
from toolkit_probing.results.contents import read_results

TRAINED = ["--classifier", "trained"]  # what the optimizer alone makes of heads


@pytest.mark.slow
def test_a_run_writes_figures_predictions_heads_and_how_it_was_made(probe, tmp_path):
    result = probe("--method", "ep,linear,knn", "--set", "ep.num_queries=4,8")
    assert result.exit_code == 0, result.output
    run = tmp_path / "run"
    results = json.loads((run / "results.json").read_text())
    assert [row["method"] for row in results["rows"]] == ["ep", "ep", "linear", "knn"]
    assert results["rows"][0]["selected"] == "selected on val"
    assert results["backbone"]["random_weights"] is True
    assert results["cost"]["seconds"] > 0
    assert results["cost"]["peak_memory_bytes"] > 1 << 20
    assert "RANDOM WEIGHTS" in result.stdout
    assert str(run) in result.stdout
    assert (run / "DONE").exists()
    assert "method: [ep, linear, knn]  # --method" in (run / "config.yaml").read_text()
    assert len(list((run / "heads").glob("*.safetensors"))) == 3
    assert set(read_csv(run / "splits.csv", "split")) == {"train", "val", "test"}


@pytest.mark.slow
def test_an_encoder_by_name_is_shown_so_and_recorded_without_the_file(
    run_cli, image_folder, tmp_path
):
    file = tmp_path / "names.yaml"
    file.write_text("mine: {id: timm:test_vit, image_size: 32, objective: mae}")
    call = ["probe", "--random-init", "--method", "knn", "--data", f"imagefolder:{image_folder}"]
    run = tmp_path / "run"
    made = run_cli(*call, "--backbone", "mine", "--encoders", file, "--output", run)
    assert made.exit_code == 0, made.output
    assert made.stdout.startswith("mine on imagefolder:")
    backbone = read_results(run).backbone
    assert (backbone.name, backbone.shown) == ("mine", "mine")
    assert backbone.id == "timm:test_vit?objective=mae&image_size=32&name=mine"
    same = run_cli(*call, "--backbone", "mine", "--encoders", file, "--resume", "--output", run)
    assert same.exit_code == 0, same.output
    file.unlink()
    again = run_cli("probe", "--resume", "--output", run)
    assert again.exit_code == 0, again.output
    assert "mine on imagefolder:" in run_cli("report", run).output
    plain = [*call, "--backbone", backbone.id.partition("&name")[0], "--output", tmp_path / "b"]
    assert run_cli(*plain).exit_code == 0
    compared = run_cli("compare", run, tmp_path / "b", "--json")
    assert compared.exit_code == 0, compared.output


@pytest.mark.slow
def test_metrics_can_be_recomputed_from_the_predictions(probe, tmp_path):
    assert probe("--method", "linear").exit_code == 0
    run = tmp_path / "run"
    row = json.loads((run / "results.json").read_text())["rows"][0]
    table = pq.read_table(run / row["predictions"])
    predictions = Predictions(
        np.array(table["probabilities"].to_pylist()), np.array(table["target"])
    )
    for name, value in compute_metrics(predictions).items():
        assert row["metrics"][name]["mean"] == value


@pytest.mark.slow
def test_two_runs_with_one_seed_are_equal_to_the_bit(probe, tmp_path):
    for name in ("a", "b"):
        assert probe("--method", "ep", output=tmp_path / name, data="digits").exit_code == 0
    first, second = (sorted((tmp_path / name / "heads").iterdir()) for name in "ab")
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.slow
def test_a_second_probe_takes_the_tokens_from_the_store(probe, tmp_path):
    probe("--method", "ep")
    result = probe("--method", "linear", "--json", output=tmp_path / "second")
    assert json.loads(result.stdout)["features"]["was_cached"] is True


@pytest.mark.slow
@pytest.mark.parametrize("store", ["disk", "memory", "online"])
def test_where_tokens_are_kept_does_not_change_the_figures(probe, tmp_path, store):
    options = ["--method", "ep,knn", "--store-dtype", "fp32", "--json"]
    rows = json.loads(probe(*options, "--store", store).stdout)["rows"]
    expected = json.loads(probe(*options, output=tmp_path / "other").stdout)["rows"]
    for row, other in zip(rows, expected, strict=True):
        assert row["metrics"]["top1"] == other["metrics"]["top1"]


@pytest.mark.slow
def test_a_result_records_which_diagnosis_counts_as_what(probe):
    options = ["--method", "knn", "--label", "malignant", "--premalignant-as", "drop", "--json"]
    data = json.loads(probe(*options, data="lesions").stdout)["data"]
    assert data["id"] == "lesions?premalignant_as=drop"
    assert data["label_map"]["left out"] == {"ACK": 88}
    assert sum(data["sizes"].values()) == 458 - 88


@pytest.mark.slow
def test_a_bank_in_passes_gives_the_figures_of_one_at_once(probe, tmp_path):
    options = ["--method", "ep,linear", "--set", "ep.num_queries=4,8", "--num-seeds", "2", "--json"]
    whole = json.loads(probe(*options).stdout)["rows"]
    small = probe(*options, "--bank-memory", "1e-6", output=tmp_path / "cut")
    assert "25 passes" in small.stderr  # of 24 heads of EP and 1 of linear
    assert json.loads(small.stdout)["rows"] == whole


@pytest.mark.slow
def test_imagenets_input_replaces_the_encoders_own(probe):
    options = ["--backbone", "timm:vit_tiny_patch16_224.augreg_in21k?image_size=32"]
    results = json.loads(
        probe(*options, "--preprocess", "imagenet", "--method", "knn", "--json").stdout
    )
    assert results["backbone"]["preprocess"]["mean"] == [0.485, 0.456, 0.406]
    assert results["backbone"]["preprocess"]["image_size"] == [32, 32]
    own = probe(*options, "--method", "knn", "--json", "--overwrite")
    assert json.loads(own.stdout)["backbone"]["preprocess"]["mean"] == [0.5, 0.5, 0.5]


@pytest.mark.slow
def test_heads_can_train_on_new_crops_every_epoch(probe, tmp_path):
    options = ["--method", "ep,linear,knn", "--json"]
    crops = probe(*options, "--augment", "crops")
    assert crops.exit_code == 0, crops.output
    assert "new crops of its images every epoch" in crops.stderr
    first, again, plain = (
        json.loads(result.stdout)["rows"]
        for result in (
            crops,
            probe(*options, "--augment", "crops", output=tmp_path / "again"),
            probe(*options, output=tmp_path / "plain"),
        )
    )
    assert again == first
    scores = [[row["select_score"] for row in rows] for rows in (first, plain)]
    assert scores[0][:2] != scores[1][:2]
    assert scores[0][2] == scores[1][2]  # k-NN reads the images as they are


@pytest.mark.slow
def test_heads_can_train_on_a_few_stored_crops_in_turn(probe, tmp_path):
    logs, crops = [], ["--augment", "crops"]
    for views in ("0", "2", "3"):
        run = tmp_path / views
        assert probe("-m", "linear", *TRAINED, *crops, "--views", views, output=run).exit_code == 0
        lines = (run / "metrics.jsonl").read_text().splitlines()
        logs.append([json.loads(line) for line in lines])
    anew, two, three = ([list(line["val_log_loss"].values()) for line in log] for log in logs)
    assert len(anew) == 3
    assert three == pytest.approx(np.array(anew))  # three epochs: every crop once
    assert two[:2] == pytest.approx(np.array(anew[:2]))
    assert two[2] != pytest.approx(np.array(anew[2]))


@pytest.mark.slow
def test_all_stored_crops_are_priced_together_before_the_first(probe, tmp_path):
    messages = {}
    for views in ("2", "3", "3 again"):
        options = ["-m", "linear", "--augment", "crops", "--views", views[0]]
        result = probe(*options, output=tmp_path / views)
        assert result.exit_code == 0, result.output
        messages[views] = result.stderr
    two, three = "2 crops of every training image = 2 x ", "1 crop of every training image (2 of 3"
    assert messages["2"].index(two) < messages["2"].index("features of crop 1 of 2: 14 images")
    assert messages["3"].index(three) < messages["3"].index("features of crop 3 of 3: 14 images")
    assert "of every training image" not in messages["3 again"]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["fp16", "bf16", "int8"])
def test_where_tokens_are_kept_changes_no_bit_of_a_head(probe, tmp_path, dtype):
    places = ("disk", "memory", "online")
    for place in places:
        words = ("-m", "ep,linear", "--store", place, "--store-dtype", dtype)
        assert probe(*words, output=tmp_path / place).exit_code == 0
    names = [path.name for path in (tmp_path / "disk/heads").iterdir()]
    assert len(names) == 2
    for name in names:
        first, *others = (load_file(tmp_path / place / "heads" / name) for place in places)
        for other in others:
            assert all(first[key].equal(other[key]) for key in first), name


def interrupting(context, count):
    """Return a run's context whose features interrupt it after some batches."""
    features = replace(context.features, source=Interrupting(context.features.source, count))
    return replace(context, features=features)


@pytest.mark.slow
def test_an_interrupted_run_exits_with_130_and_resumes_to_the_same_heads(
    probe, tmp_path, monkeypatch
):
    assert probe("--method", "ep", output=tmp_path / "whole").exit_code == 0
    original, count = probe_run.judge_methods, itertools.count()

    def interrupt_later(context):
        return original(interrupting(context, count))

    monkeypatch.setattr(probe_run, "judge_methods", interrupt_later)
    interrupted = probe("--method", "ep")
    assert interrupted.exit_code == 130
    place = tmp_path / "run"
    assert f"interrupted: go on with --resume --output {place}" in interrupted.stderr
    assert not (tmp_path / "run/DONE").exists()
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOOLKIT_CACHE", str(tmp_path / "cache"))
    result = probe("--method", "ep", "--resume")
    assert result.exit_code == 0, result.output
    for head in (tmp_path / "whole/heads").iterdir():
        expected, actual = load_file(head), load_file(tmp_path / "run/heads" / head.name)
        assert all((expected[name] == actual[name]).all() for name in expected)


def test_an_interrupt_before_a_run_says_that_there_is_none(probe, monkeypatch):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(probe_run, "load", interrupted)
    result = probe("--method", "ep")
    assert result.exit_code == 130
    assert "interrupted: no run folder was begun" in result.stderr


@pytest.mark.slow
def test_resuming_a_finished_run_shows_its_results(probe):
    probe("--method", "linear")
    result = probe("--method", "linear", "--resume")
    assert result.exit_code == 0
    assert "training " not in result.stderr


@pytest.mark.slow
def test_resume_with_another_setting_names_it(probe):
    probe("--method", "linear")
    assert_bad_input(
        probe("--method", "linear", "--resume", "--lr", "7"), "lr (was [0.0001", "now [7.0])"
    )


@pytest.mark.slow
def test_a_run_records_all_options_so_that_a_changed_default_moves_nothing(probe, tmp_path):
    assert probe("--method", "knn,logreg,abmilp", "--set", "abmilp.depth=1").exit_code == 0
    text = (tmp_path / "run/config.yaml").read_text()
    for line in (
        "    k: [5, 10, 20, 50]  # default",
        "    mode: [both]  # default",
        "    depth: [1]  # --set",
    ):
        assert f"\n{line}\n" in text
    assert "\n    c: [0.0001, 0.0003, 0.001, 0.003, 0.01, " in text
    assert "ep:" not in text
    (tmp_path / "run/config.yaml").write_text(text.replace("[5, 10, 20, 50]", "[5]"))
    resumed = probe("--method", "knn,logreg,abmilp", "--resume", "--set", "logreg.c=1")
    assert_bad_input(resumed, "options.logreg.c (was [0.0001")
    assert "knn" not in resumed.stderr


@pytest.mark.slow
@pytest.mark.parametrize("config", ["stored", "without options"])
def test_a_default_that_is_given_is_no_other_setting(probe, tmp_path, config):
    assert probe().exit_code == 0
    stored = tmp_path / "run/config.yaml"
    if config == "without options":
        values = yaml.safe_load(stored.read_text())
        stored.write_text(yaml.safe_dump({**values, "options": {}}))
    resumed = probe("--resume", "--set", "ep.num_queries=32")
    assert resumed.exit_code == 0, resumed.output
    assert_bad_input(probe("--resume", "--set", "ep.num_queries=8"), "num_queries (was [32], now")


@pytest.fixture
def cut_run(run_cli, image_folder, tmp_path, monkeypatch):
    """A run on a table that was cut short in training; returns the table and how to resume it."""
    table, original = tmp_path / "t.csv", probe_run.judge_methods
    rows = [
        f"images/{kind}/{i:03d}.png,{kind},{kind[0]}{i}"
        for kind in ("dark", "light")
        for i in range(12)
    ]
    table.write_text("image,label,group\n" + "\n".join(rows) + "\n")

    def interrupted(context):
        return original(interrupting(context, itertools.count()))

    def run(*more, backbone="timm:test_vit?image_size=32"):
        words = ["--data", f"csv:{table}", "--output", tmp_path / "run", "--epochs", "3"]
        return run_cli("probe", "--random-init", "--backbone", backbone, *words, *more)

    with monkeypatch.context() as patch:
        patch.setattr(probe_run, "judge_methods", interrupted)
        assert run().exit_code == 130
    return table, run


@pytest.mark.slow
def test_a_run_is_not_resumed_on_changed_labels(cut_run, tmp_path):
    table, run = cut_run
    written = {name: (tmp_path / "run" / name).read_bytes() for name in ("run.json", "splits.csv")}
    before = table.read_text()
    lines = before.splitlines()
    swap = {"dark": "light", "light": "dark"}
    cells = lines[1].split(",")
    table.write_text("\n".join([lines[0], f"{cells[0]},{swap[cells[1]]},d0", *lines[2:]]) + "\n")
    assert_bad_input(run("--resume"), "cannot resume", f"{tmp_path}/run", "data (was ", "now ")
    assert {name: (tmp_path / "run" / name).read_bytes() for name in written} == written
    table.write_text(before)
    assert run("--resume").exit_code == 0
    assert (tmp_path / "run/splits.csv").read_bytes() == written["splits.csv"]


@pytest.mark.slow
def test_a_run_is_not_resumed_with_changed_weights(cut_run, monkeypatch):
    monkeypatch.setattr("toolkit_common.backbones.contract.hash_weights", lambda _: "f" * 64)
    _, run = cut_run
    result = run("--resume")
    assert_bad_input(result, "cannot resume", "encoder (was ", f"now {'f' * 12})")
    assert "data (was" not in result.stderr


@pytest.mark.slow
def test_a_run_is_not_resumed_on_other_splits(cut_run, tmp_path):
    _, run = cut_run
    table = (tmp_path / "run/splits.csv").read_text()
    assert table.count("test") > 1
    whole = (tmp_path / "run/run.json").read_text()
    stored = json.loads(whole)
    (tmp_path / "run/run.json").write_text(json.dumps({**stored, "splits": "0" * 64}))
    assert_bad_input(run("--resume"), "splits (was 000000000000, now ")


@pytest.mark.slow
def test_an_existing_run_folder_is_not_touched(probe, tmp_path):
    probe("--method", "linear")
    before = (tmp_path / "run/results.json").read_bytes()
    assert_bad_input(probe("--method", "knn"), "exists", "--resume", "--overwrite")
    assert (tmp_path / "run/results.json").read_bytes() == before
    assert probe("--method", "knn", "--overwrite").exit_code == 0


# Heads that diverge


DIVERGING = ["--optimizer", "sgd", "--warmup-epochs", "0", "--set", "ep.num_queries=4"]


@pytest.mark.slow
def test_a_diverged_head_does_not_end_the_run(probe, run_cli, tmp_path):
    result = probe("--method", "ep,linear,knn", "--lr", "1e30", *DIVERGING, *TRAINED)
    assert result.exit_code == 0, result.output
    results = json.loads((tmp_path / "run/results.json").read_text())
    ep, linear, knn = results["rows"]
    assert ep["select_score"] is None
    assert {item["mean"] for item in ep["metrics"].values()} == {None}
    assert ep["metrics"]["top1"]["values"] == [None]
    assert linear["metrics"]["top1"]["mean"] is not None
    assert knn["metrics"]["top1"]["mean"] is not None
    assert "undefined" in result.stdout
    name = "ep-num_queries4-layer6-all-lr1e+30-seed0"
    assert results["diverged"] == {name: 1}
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("DIVERGED")]
    assert line.startswith("DIVERGED: 1 head ended")
    assert f"{name} from epoch 1" in line
    assert line in probe("--method", "ep,linear,knn", "--resume").stdout
    page = tmp_path / "report.html"
    options = ["--metric", "top1,expected_calibration_error", "-o", page]
    assert run_cli("report", tmp_path / "run", *options).exit_code == 0
    text = page.read_text()
    assert "EP and linear probing cannot be compared: top-1 is undefined for EP." in text
    assert "Undefined, so not drawn: ep." in text
    assert f"{name} diverged from epoch 1 on" in text
    assert run_cli("compare", tmp_path / "run").exit_code == 0


@pytest.mark.slow
def test_a_fitted_head_that_diverges_is_judged_as_it_began(probe):
    result = probe("--method", "ep", "--lr", "1e30", *DIVERGING, "--json")
    assert result.exit_code == 0, result.output
    results = json.loads(result.stdout)
    (row,) = results["rows"]
    assert row["settings"]["epoch"] == [0]
    assert "lr" not in row["settings"]  # nothing of it is in what is judged
    assert row["training"] is None
    assert "peak learning rate" not in result.stderr
    assert row["metrics"]["top1"]["mean"] is not None
    assert len(results["diverged"]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["log_loss", "balanced_accuracy", "auroc"])
def test_a_diverged_head_is_never_picked_over_a_healthy_one(probe, metric):
    options = ["--method", "ep", "--lr", "1e30,1e-30", "--num-seeds", "2", "--select-by", metric]
    result = probe(*options, *DIVERGING, *TRAINED, "--json")
    assert result.exit_code == 0, result.output
    (row,) = json.loads(result.stdout)["rows"]
    assert row["settings"]["lr"] == 1e-30
    assert row["metrics"]["top1"]["mean"] is not None
    assert "DIVERGED: 2 heads" in result.stderr


@pytest.mark.slow
def test_a_head_that_diverges_late_keeps_its_best_epoch_and_is_named(probe):
    options = ["--method", "ep", "--lr", "1e30", "--label-fraction", "0.5", "--draws", "2"]
    late = ["--warmup-epochs", "1"]  # one step an epoch, the first at a learning rate of 0
    result = probe(*options, *DIVERGING, *TRAINED, *late, "--json")
    assert result.exit_code == 0, result.output
    results = json.loads(result.stdout)
    assert results["rows"][0]["settings"]["epoch"] == [1, 1]
    assert results["rows"][0]["metrics"]["top1"]["mean"] is not None
    assert len(results["diverged"]) == 2
    for name, epoch in results["diverged"].items():
        assert name.endswith(("(50pct-draw0)", "(50pct-draw1)"))
        assert epoch == 2


# The steps that were taken


@pytest.mark.slow
def test_a_row_records_the_batch_steps_and_rate_of_its_training(probe, run_cli, tmp_path):
    options = ["--method", "linear,knn", "--lr", "0.256", "--batch-size", "7", "--epochs", "4"]
    result = probe(*options, *TRAINED, "--optimizer", "lars", "--warmup-epochs", "1")
    assert result.exit_code == 0, result.output
    results = json.loads((tmp_path / "run/results.json").read_text())
    linear, knn = results["rows"]
    assert linear["training"] == {
        "effective_batch": [7], "steps_per_epoch": [2], "peak_lr": [pytest.approx(0.256 * 7 / 256)],
    }  # fmt: skip
    assert knn["training"] is None
    assert "heads trained with batch 7, 2 steps an epoch, peak learning rate 0.007" in result.stdout
    assert not [note for note in results["notes"] if "BATCH" in note]
    assert results["protocol"]["unmet"] is None
    page = tmp_path / "r.html"
    assert run_cli("report", tmp_path / "run", "-o", page).exit_code == 0
    assert "batch 7, 2 steps an epoch, peak learning rate 0.007" in page.read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "requested"),
    [([*TRAINED, "--batch-size", "2000000"], "2000000 of --batch-size"),
     (["--protocol", "ep-paper"], "4096 of protocol ep-paper")],
)  # fmt: skip
def test_a_batch_below_the_requested_one_is_reported_first_and_kept(
    probe, tmp_path, options, requested
):
    result = probe("--method", "linear", *options, "--augment", "none")
    assert result.exit_code == 0, result.output
    results = json.loads((tmp_path / "run/results.json").read_text())
    assert results["rows"][0]["training"]["effective_batch"] == [14]
    (note,) = [note for note in results["notes"] if note.startswith("BATCH 14, not the ")]
    assert requested in note
    assert note in result.stdout
    assert result.stderr.index(note) < result.stderr.index("training ")
    unmet = f"batch 14 instead of {requested.split()[0]}"
    assert results["protocol"]["unmet"] == unmet
    assert unmet in result.stdout.splitlines()[1]


@pytest.mark.slow
def test_a_classifier_that_is_fitted_has_no_batch_no_seed_and_a_bar_that_ends(probe):
    result = probe("--method", "linear", "--batch-size", "2000", "--num-seeds", "2", "--json")
    assert result.exit_code == 0, result.output
    results = json.loads(result.stdout)
    (row,) = results["rows"]
    assert row["seeds"] == [0]
    assert row["metrics"]["top1"]["sd"] is None
    assert results["protocol"]["unmet"] is None
    assert "BATCH" not in result.stderr
    assert "fitting 1 head 1/1" in result.stderr


@pytest.mark.slow
def test_few_labels_take_fewer_and_smaller_steps(probe):
    options = ["--shots", "1,3", "--draws", "2", "--batch-size", "4", "--method", "linear"]
    result = probe(*options, *TRAINED, "--json")
    rows = json.loads(result.stdout)["rows"]
    assert [row["training"]["effective_batch"] for row in rows] == [[2, 2], [4, 4]]
    assert [row["training"]["steps_per_epoch"] for row in rows] == [[1, 1], [1, 1]]
    assert "BATCH 2 to 4, not the 4 of --batch-size" in result.stderr
    assert "1 shot: heads trained with batch 2, 1 step an epoch" in result.stderr


@pytest.mark.slow
def test_the_peak_is_what_a_warm_up_longer_than_training_reaches(probe):
    options = ["--method", "linear", "--lr", "1", "--batch-size", "7", "--warmup-epochs", "6"]
    given = [*options, *TRAINED, "--optimizer", "sgd", "--json"]
    (row,) = json.loads(probe(*given).stdout)["rows"]
    assert row["training"]["peak_lr"] == [pytest.approx(7 / 256 * 5 / 12)]  # step 5 of 12


@pytest.mark.slow
def test_a_published_head_and_neighbours_have_no_training(probe):
    result = probe("--method", "knn", "--batch-size", "4096", "--json")
    results = json.loads(result.stdout)
    assert results["rows"][0]["training"] is None
    assert results["protocol"]["unmet"] is None
    assert "BATCH" not in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("write", [twelve_bits, floats])
def test_more_bits_give_the_figures_of_8(write, probe, tmp_path):
    figures = {}
    for name, form in {"plain": eight_bits, "wide": write}.items():
        root = write_greys(tmp_path / name, form, per_class=20)
        run = tmp_path / f"run-{name}"
        result = probe("--method", "knn", data=f"imagefolder:{root}", output=run)
        assert result.exit_code == 0, result.output
        figures[name] = read_results(run)
    plain, wide = figures["plain"], figures["wide"]
    assert wide.rows[0].metrics["top1"] == plain.rows[0].metrics["top1"]
    assert plain.data.pixel_range is None
    assert wide.data.pixel_range == PixelRange(0, 1 if write is floats else 4095)
    assert any("pixel values 0 to" in note for note in wide.notes)


@pytest.mark.slow
def test_a_run_of_a_data_card_goes_on_and_is_drawn_from_any_folder(
    run_cli, image_folder, tmp_path, monkeypatch
):
    assert run_cli("data", "describe", "imagefolder:images", "--save", "data.yaml").exit_code == 0
    words = ["--method", "ep", *TINY[:3], "--epochs", "1", "--store-dir", "tokens"]
    result = run_cli("probe", *words, "--data", "data.yaml", "--output", "run")
    assert result.exit_code == 0, result.output
    before = json.loads((tmp_path / "run/results.json").read_text())["rows"]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    drawn = run_cli("attention", "--from", "../run", "--num-images", "2")
    assert drawn.exit_code == 0, drawn.output
    (tmp_path / "run/DONE").unlink()
    again = run_cli("probe", "--resume", "--output", "../run", "--store-dir", "own")
    assert again.exit_code == 0, again.output
    assert json.loads((tmp_path / "run/results.json").read_text())["rows"] == before
    assert [path.name for path in Path.cwd().iterdir()] == ["own"]  # what this call names
    assert run_cli("report", "../run").exit_code == 0
    other = run_cli("probe", *words, "--data", "../data.yaml", "--output", "run")
    assert other.exit_code == 0, other.output
    rows = json.loads(Path("run/results.json").read_text())["rows"]
    assert rows[0]["metrics"] == before[0]["metrics"]
