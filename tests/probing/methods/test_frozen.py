"""Heads on frozen features: passes that memory asks for change nothing but memory."""

import json

import pytest
from safetensors.torch import load_file

RUN = ["probe", "--backbone", "timm:test_vit?image_size=32", "--random-init", "--epochs", "2",
       "--method", "ep,linear", "--set", "ep.num_queries=4", "--lr", "0.01,0.1",
       "--shots", "2,3"]  # fmt: skip
TRAINED = ["--classifier", "trained"]  # so that linear takes steps too


@pytest.fixture
def probe(run_cli, image_folder, tmp_path):
    def run(name, *options):
        data = ["--data", f"imagefolder:{image_folder}", "--output", tmp_path / name]
        result = run_cli(*RUN, *data, *options)
        assert result.exit_code == 0, result.output
        return result

    return run


@pytest.mark.slow
def test_passes_give_the_figures_and_heads_of_one_bank_and_steps_in_order(probe, tmp_path):
    probe("whole", *TRAINED)
    shown = probe("cut", *TRAINED, "--bank-memory", "1e-9").stderr
    assert "4 heads do not fit the memory for heads at once: 4 passes" in shown
    assert_alike(tmp_path)
    log = [json.loads(line) for line in (tmp_path / "cut/metrics.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in log]
    assert steps == list(range(1, 1 + 2 * 4 * 2))  # subsets, passes, epochs of one step each
    parts = dict.fromkeys(line["part"] for line in log)
    assert list(parts)[0::4] == ["2shot-draw0/pass-1", "3shot-draw0/pass-1"]


def assert_alike(folder):
    whole, cut = (
        json.loads((folder / name / "results.json").read_text()) for name in ("whole", "cut")
    )
    assert whole["rows"] == cut["rows"]
    heads = sorted((folder / "whole/heads").iterdir())
    assert len(heads) == 2 * 2
    for path in heads:
        expected, actual = load_file(path), load_file(folder / "cut/heads" / path.name)
        assert all(expected[name].equal(actual[name]) for name in expected), path.name


@pytest.mark.slow
def test_passes_of_fitted_heads_give_those_of_one_bank_and_linear_takes_no_step(probe, tmp_path):
    probe("whole")
    shown = probe("cut", "--bank-memory", "1e-9").stderr
    assert "3 heads do not fit the memory for heads at once: 3 passes" in shown
    assert_alike(tmp_path)
    log = [json.loads(line) for line in (tmp_path / "cut/metrics.jsonl").read_text().splitlines()]
    assert {name.partition("-lr")[0] for line in log for name in line["train_loss"]} == {
        "ep-num_queries4-layer6-all"
    }
    rows = json.loads((tmp_path / "cut/results.json").read_text())["rows"]
    for row in rows:
        named = row["settings"].keys() & {"lr", "epoch", "C"}
        # Of what is judged as it began no rate was picked.
        rate = {"lr"} if any(row["settings"].get("epoch", [])) else set()
        assert named == ({"C"} if row["method"] == "linear" else {"epoch", "C", *rate})


@pytest.mark.slow
def test_a_resumed_run_keeps_its_passes_and_logs_nothing_twice(probe, tmp_path):
    probe("run", *TRAINED, "--bank-memory", "1e-9")
    log = (tmp_path / "run/metrics.jsonl").read_text()
    (tmp_path / "run/DONE").unlink()
    probe("run", "--resume")
    assert (tmp_path / "run/metrics.jsonl").read_text() == log
