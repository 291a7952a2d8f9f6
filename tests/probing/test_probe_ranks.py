"""Two processes give what one gives: the same order of samples, the same figures."""

import json

import pytest
from safetensors.torch import load_file

from ranks import run_toolkit

ARGS = ["probe", "--data", "digits", "--backbone", "timm:test_vit?image_size=32", "--random-init",
        "--method", "ep,linear,knn,logreg", "--epochs", "2", "--optimizer", "lars",
        "--label-fraction", "0.3,1", "--logreg-c", "0.1"]  # fmt: skip


@pytest.mark.dist
@pytest.mark.slow
def test_two_processes_give_the_figures_and_weights_of_one(run_cli, tmp_path, monkeypatch):
    assert run_cli(*ARGS, "--output", tmp_path / "one").exit_code == 0
    monkeypatch.setenv("TOOLKIT_CACHE", str(tmp_path / "other-cache"))
    run_toolkit(*ARGS, "--output", tmp_path / "two", num_processes=2)
    one, two = (
        json.loads((tmp_path / name / "results.json").read_text()) for name in ("one", "two")
    )
    assert two["features"]["was_cached"] is False
    for row, other in zip(one["rows"], two["rows"], strict=True):
        for metric in ("top1", "balanced_accuracy", "macro_f1"):
            assert row["metrics"][metric] == other["metrics"][metric]
    for head in (tmp_path / "one/heads").iterdir():
        expected, found = load_file(head), load_file(tmp_path / "two/heads" / head.name)
        for name in expected:
            assert (expected[name].double() - found[name].double()).abs().max() < 1e-4, name
