"""A run that is killed (SIGKILL) at random moments ends with the bits of one that was not."""

import json
import random
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from conftest import write_image_folder
from kills import run_forked
from probe_problem import PLAN, make_problem, specs
from small_data import build_data, image_bytes
from toolkit_common.backbones.load import load_backbone
from toolkit_common.features.extract import extract
from toolkit_common.features.online import Extraction
from toolkit_common.features.store import TokenStore
from toolkit_common.runs import RunFolder
from toolkit_common.training.distributed import build_accelerator
from toolkit_probing.bank import HeadBank
from toolkit_probing.train import train_bank

NUM_KILLS = 10
NUM_KILLED_RUNS = 3  # of the whole command, whose starts take seconds


def test_training_killed_at_random_moments_ends_with_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr("toolkit_probing.state.SAVE_EVERY_S", 0.0)

    def train(name: str) -> None:
        store, targets = make_problem()
        sample = next(iter(store.iterate([np.arange(2)])))
        bank = HeadBank(specs()[::2], sample, num_classes=3)
        best = train_bank(
            bank, store, targets, train=np.arange(30), select=np.arange(30, 40),
            plan=replace(PLAN, epochs=6), accelerator=build_accelerator(device="cpu"),
            run=RunFolder(tmp_path / name),
        )  # fmt: skip
        kept = {key: (item.value, item.epoch) for key, item in best.items()}
        torch.save((bank.state_dict(), kept), tmp_path / f"{name}.pt")

    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    begin = time.monotonic()
    assert run_forked(lambda: train("whole"))
    whole_s = time.monotonic() - begin
    draws, kills = random.Random(0), 0
    while kills < NUM_KILLS:
        if run_forked(lambda: train("cut"), kill_after_s=draws.uniform(0.05, 0.5) * whole_s):
            shutil.rmtree(tmp_path / "cut")
            (tmp_path / "cut").mkdir()
        else:
            kills += 1
    assert run_forked(lambda: train("cut"))
    (expected, best), (found, best_found) = (
        torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("whole", "cut")
    )
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert best == best_found


def test_extraction_killed_at_random_moments_gives_the_same_features(tmp_path, monkeypatch):
    monkeypatch.setattr("toolkit_common.features.extract.SHARD_BYTES", 1 << 11)
    rng = np.random.default_rng(0)
    images = [image_bytes(int(seed)) for seed in rng.integers(1 << 30, size=60)]
    data = build_data(["ab"[row % 2] for row in range(60)], images=images)
    backbone = load_backbone("timm:test_vit?image_size=32", random_init=True)

    def run(name: str) -> TokenStore:
        how = Extraction(tmp_path / name, store="disk", batch_size=2)
        accelerator = build_accelerator(device="cpu")
        source = extract(backbone, data, np.arange(60), how=how, accelerator=accelerator).source
        assert isinstance(source, TokenStore)
        return source

    begin = time.monotonic()
    assert run_forked(lambda: run("whole"))
    whole_s = time.monotonic() - begin
    draws, kills = random.Random(0), 0
    while kills < NUM_KILLS:
        if run_forked(lambda: run("cut"), kill_after_s=draws.uniform(0.05, 0.7) * whole_s):
            shutil.rmtree(tmp_path / "cut")
        else:
            kills += 1
    expected, found = (run(name).read(np.arange(60))[6] for name in ("whole", "cut"))
    assert expected.patches is not None
    assert found.patches is not None
    assert expected.patches.equal(found.patches)
    assert all(vector.equal(found.vectors[name]) for name, vector in expected.vectors.items())


@pytest.mark.slow
def test_a_run_killed_at_any_moment_resumes_to_the_same_bits(run_cli, tmp_path, monkeypatch):
    monkeypatch.setattr("toolkit_probing.state.SAVE_EVERY_S", 0.02)
    monkeypatch.setattr("toolkit_common.features.extract.SHARD_BYTES", 1 << 13)
    data = write_image_folder(tmp_path / "images", per_class=16)

    def run(name: str) -> None:
        monkeypatch.setenv("TOOLKIT_CACHE", str(tmp_path / f"{name}-cache"))
        output = tmp_path / name
        more = ["--resume"] if (output / "config.yaml").exists() else []
        result = run_cli(
            "probe", "--data", f"imagefolder:{data}", "--backbone", "timm:test_vit?image_size=32",
            "--random-init", "--method", "ep,linear", "--epochs", "4", "--output", output, *more,
        )  # fmt: skip
        assert result.exit_code == 0, result.output

    start = time.monotonic()
    assert run_forked(lambda: run("whole"))
    whole_s = time.monotonic() - start
    draws, kills = random.Random(0), 0
    while kills < NUM_KILLED_RUNS:
        if run_forked(lambda: run("cut"), kill_after_s=draws.uniform(0.05, 0.8) * whole_s):
            _assert_same(tmp_path)  # came to its end: what follows are kills of another run
            for name in ("cut", "cut-cache"):
                shutil.rmtree(tmp_path / name)
        else:
            kills += 1
    assert run_forked(lambda: run("cut"))
    _assert_same(tmp_path)


def _assert_same(folder: Path) -> None:
    whole, cut = folder / "whole", folder / "cut"
    heads = sorted((whole / "heads").iterdir())
    assert heads
    for head in heads:
        expected, found = load_file(head), load_file(cut / "heads" / head.name)
        assert all(expected[name].equal(found[name]) for name in expected), head.name
    one, two = (json.loads((run / "results.json").read_text()) for run in (whole, cut))
    assert one["rows"] == two["rows"]
    assert _log(whole) == _log(cut)


def _log(run: Path) -> list[dict[str, Any]]:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [{**json.loads(line), "time": None} for line in lines]
