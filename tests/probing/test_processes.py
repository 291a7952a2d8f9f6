"""Two processes of one launcher, or of two as on two machines, give the figures of one."""

import json
import os
import socket
import subprocess
import sys

import pytest

from helpers.ranks import run_toolkit

PROBE = ["probe", "--data", "digits", "--backbone", "timm:test_vit?image_size=32", "--random-init"]
ARGS = [*PROBE, "--method", "ep,linear,knn,logreg", "--epochs", "2", "--optimizer", "lars",
        "--label-fraction", "0.3,1", "--set", "logreg.c=0.1", "--batch-size", "31"]  # fmt: skip
NODES_ARGS = [*PROBE, "--method", "ep,knn", "--epochs", "1"]


@pytest.mark.dist
@pytest.mark.slow
def test_two_nodes_give_the_figures_of_one_process(run_cli, tmp_path):
    assert run_cli(*NODES_ARGS, "--output", tmp_path / "one").exit_code == 0
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1",
        "--rdzv-backend", "c10d", "--rdzv-endpoint", f"localhost:{port}", "--rdzv-id", "two",
        "-m", "toolkit_common", *NODES_ARGS, "--output", str(tmp_path / "two"),
    ]  # fmt: skip
    shared = os.environ | {"TOOLKIT_CACHE": str(tmp_path / "shared")}
    nodes = [
        subprocess.Popen(command, env=shared, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for _ in range(2)
    ]
    outputs = [node.communicate(timeout=200)[0].decode() for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], outputs
    one, two = (
        json.loads((tmp_path / name / "results.json").read_text()) for name in ("one", "two")
    )
    for row, other in zip(one["rows"], two["rows"], strict=True):
        for metric in ("top1", "balanced_accuracy", "macro_f1"):
            assert row["metrics"][metric] == other["metrics"][metric]


@pytest.mark.dist
@pytest.mark.slow
def test_two_processes_give_the_figures_of_one(run_cli, tmp_path, monkeypatch):
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
    # What is summed in another order moves a fitted classifier along directions of little loss.
    for row, other in zip(one["rows"], two["rows"], strict=True):
        losses = [item["metrics"]["log_loss"]["mean"] for item in (row, other)]
        assert losses[1] == pytest.approx(losses[0], rel=2e-3)
