"""Two processes see the batches of one and follow the same losses."""

import json

import pytest

from helpers.ranks import run_toolkit

ARGS = ["pretrain", "slimp", "--backbone", "timm:test_vit?image_size=32", "--random-init",
        "--epochs", "2", "--metadata-dim", "16"]  # fmt: skip


@pytest.mark.dist
@pytest.mark.slow
def test_two_processes_follow_the_losses_of_one(run_cli, tmp_path):
    assert run_cli(*ARGS, "--output", tmp_path / "one").exit_code == 0
    run_toolkit(*ARGS, "--output", tmp_path / "two", num_processes=2)
    one, two = (
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    )
    for line, other in zip(one, two, strict=True):
        assert {"loss", "lesion_loss", "patient_loss"} <= set(line)
        for name in {"loss", "lesion_loss", "patient_loss", "val_loss"} & set(line):
            assert other[name] == pytest.approx(line[name], rel=1e-4), (line["step"], name)
