"""`toolkit probe --tune`: its own rows, its own section, the same protocol."""

import itertools
import json
import re
from dataclasses import replace

import pytest
from safetensors.torch import load_file

from conftest import assert_bad_input
from helpers.probe_problem import Interrupting
from toolkit_probing.methods import frozen, tuned

TINY = ["--backbone", "timm:test_vit?image_size=32", "--random-init", "--epochs", "2"]
SMALL = ["--set", "ep.num_queries=4", "--lr", "0.01"]
ONE, BOTH = ["--method", "ep", *SMALL], ["--method", "ep,linear", *SMALL]


@pytest.fixture
def probe(run_cli, image_folder, tmp_path):
    def run(*args, output=tmp_path / "run"):
        data = ["--data", f"imagefolder:{image_folder}", "--output", output]
        return run_cli("probe", *TINY, *data, *args)

    return run


@pytest.mark.slow
def test_rows_say_that_they_are_tuned_and_count_what_is(probe, tmp_path):
    rows = {}
    for tune in ("none", "lora", "full"):
        output = tmp_path / tune
        result = probe("--tune", tune, *ONE, "--lora-rank", "4", "--json", output=output)
        assert result.exit_code == 0, result.output
        (rows[tune],) = json.loads(result.stdout)["rows"]
    assert [row["tune"] for row in rows.values()] == ["none", "lora", "full"]
    names = [row["name"].rpartition("-")[2] for row in rows.values()]
    assert names == ["all", "lora4", "full"]
    counts = {tune: row["num_parameters"] for tune, row in rows.items()}
    assert counts["lora"] - counts["none"] == 6 * 4 * (4 * 64 + 2 * 64)
    results = json.loads((tmp_path / "lora/results.json").read_text())
    assert results["tuning"] == {
        "tune": "lora", "rank": 4, "alpha": 8, "encoder_lr": 3e-4, "clip_grad": 1.0,
    }  # fmt: skip
    encoder = json.loads((tmp_path / "full/results.json").read_text())["backbone"]["id"]
    assert encoder == "timm:test_vit?image_size=32"
    assert json.loads((tmp_path / "none/results.json").read_text())["tuning"] is None
    (head,) = (tmp_path / "lora/heads").iterdir()
    assert (tmp_path / "lora/encoders" / head.name).exists()
    assert set(load_file(head)) == set(load_file(next((tmp_path / "none/heads").iterdir())))


@pytest.mark.slow
def test_several_rates_seeds_and_crops_are_tuned_and_picked_on_validation(probe):
    options = ["--tune", "lora", "--method", "linear", "--lr", "0.001,0.1", "--num-seeds", "2"]
    result = probe(*options, "--augment", "crops", "--json")
    assert result.exit_code == 0, result.output
    (row,) = json.loads(result.stdout)["rows"]
    assert (row["selected"], row["seeds"]) == ("selected on val", [0, 1])
    assert "tuning: 4 heads, each with an encoder of its own" in result.stderr


@pytest.mark.slow
def test_the_time_of_tuning_is_shown_before_it_begins(probe, monkeypatch):
    measured = re.search(r"tuning: 1 head with an encoder .* about \d+ s in all", tuned_once(probe))
    assert measured
    monkeypatch.setattr(tuned, "time_training", lambda *given: 3.0)
    messages = tuned_once(probe, "--lr", "0.01,0.1", "--shots", "2,3", "--draws", "2")
    # 2 rates x 2 epochs x (2 draws of 4 and of 6 images, 4 x 5 of val, forward alone: a third)
    seconds = 2 * 2 * (2 * 4 + 2 * 6 + 4 * 5 / 3) * 3.0
    assert f"over 20 images in each of 2 epochs, about {seconds / 60:.0f} min in all" in messages
    assert messages.index("in all") < messages.index("training ")


def tuned_once(probe, *options) -> str:
    result = probe("--tune", "full", *ONE, *options, "--overwrite")
    assert result.exit_code == 0, result.output
    return result.stderr


@pytest.mark.slow
def test_report_and_compare_keep_tuning_apart(probe, run_cli, tmp_path):
    for name, options in {
        "frozen": ONE,
        "tuned": ["--tune", "lora", *ONE],
        "both": ["--tune", "lora", *BOTH],
    }.items():
        assert probe(*options, output=tmp_path / name).exit_code == 0
    shown = run_cli("report", tmp_path / "tuned", tmp_path / "frozen", "-o", tmp_path / "r.html")
    probing, _, tuning = shown.stdout.partition("TUNING (encoders trained with the head")
    # By short names: of each part the row of its own run.
    assert "tuned" not in probing.partition("PROBING (frozen encoders)")[2]
    assert "tuned" in tuning
    assert "<h3>TUNING (encoders" in (tmp_path / "r.html").read_text()
    mixed = run_cli("compare", tmp_path / "frozen", tmp_path / "tuned")
    assert "TUNED AGAINST FROZEN" in mixed.stdout
    alike = run_cli("compare", tmp_path / "both")
    assert "TUNING (encoders trained with the head" in alike.stdout
    assert "TUNED AGAINST FROZEN" not in alike.stdout
    result = run_cli("compare", tmp_path / "frozen", tmp_path / "both")
    assert_bad_input(result, "no row of", "choose two with --rows")


@pytest.mark.slow
def test_a_fitted_head_leaves_its_encoder_the_statistics_of_its_norms(probe, monkeypatch):
    original, seen = frozen.train_bank, []

    def watched(bank, *args, **names):
        (key,) = bank.specs
        buffers = dict(bank.encoder(key).named_buffers())
        before = {name: value.clone() for name, value in buffers.items()}
        best = original(bank, *args, **names)
        seen.append([name for name in before if not before[name].equal(buffers[name])])
        assert any("running_mean" in name for name in before)
        return best

    monkeypatch.setattr(frozen, "train_bank", watched)
    options = ["--backbone", "timm:test_resnet?image_size=64", "--method", "linear"]
    result = probe(*options, "--lr", "0.01", "--tune", "full")
    assert result.exit_code == 0, result.output
    assert seen == [[]]


@pytest.mark.slow
def test_attention_is_drawn_through_the_tuned_encoder(probe, run_cli, tmp_path):
    options = ["--tune", "full", *ONE, "--encoder-lr", "0.01"]
    assert probe(*options).exit_code == 0
    picture = tmp_path / "run/attention.png"
    result = run_cli("attention", "--from", tmp_path / "run", "--num-images", "2")
    assert result.exit_code == 0, result.output
    first = picture.read_bytes()
    (file,) = (tmp_path / "run/encoders").iterdir()
    file.unlink()
    again = run_cli("attention", "--from", tmp_path / "run", "--num-images", "2")
    assert_bad_input(again, "cannot read the tuned encoder")
    assert picture.read_bytes() == first


@pytest.mark.slow
def test_an_interrupted_run_resumes_to_the_same_bits(probe, tmp_path, monkeypatch):
    options = ["--tune", "lora", *BOTH]
    assert probe(*options, output=tmp_path / "whole").exit_code == 0
    original, count = frozen.train_bank, itertools.count()

    def interrupted(bank, examples, *args, **where):
        source = Interrupting(examples.source, count)
        return original(bank, replace(examples, source=source), *args, **where)

    monkeypatch.setattr(frozen, "train_bank", interrupted)
    assert probe(*options).exit_code == 130
    monkeypatch.setattr(frozen, "train_bank", original)
    result = probe(*options, "--resume")
    assert result.exit_code == 0, result.output
    for folder in ("heads", "encoders"):
        for path in (tmp_path / "whole" / folder).iterdir():
            expected, actual = load_file(path), load_file(tmp_path / "run" / folder / path.name)
            assert all(expected[name].equal(actual[name]) for name in expected), path.name


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--method", "ep,knn"], ["method knn trains no head", "drop --tune lora"]),
        (["--inputs", "image+meta"], ["trains with images alone: drop --inputs image+meta"]),
        (["--store", "disk"], ["--store disk keeps features"]),
        (["--augment", "crops", "--views", "2"], ["--views 2 keeps features"]),
        (["--layers", "1,2"], ["reads the last layer of", "drop --layers 1,2"]),
        (["--head", "h.pth"], ["judged as it is: drop --tune lora"]),
        (["--backbone", "timm:test_resnet?image_size=64"], ["of timm ViTs", "use --tune full"]),
        (["--tune", "none", "--encoder-lr", "0.1"], ["add --tune lora or --tune full"]),
        (["--lora-rank", "0"], ["lora_rank: input should be greater"]),
    ],
)  # fmt: skip
def test_what_cannot_be_tuned_is_refused(probe, tmp_path, options, parts):
    assert_bad_input(probe("--tune", "lora", *options), *parts)
    assert not (tmp_path / "run").exists()
