"""A small table of lesions with metadata, and a SLIMP run on it: what tests of metadata read."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from toolkit_common.cli.app import app
from toolkit_slimp.training import loop
from toolkit_slimp.training.step import Stepper

HEADER = "image,label,group,split,size_mm,site,age,sex"
NUM_PATIENTS = 15
TINY = ["--backbone", "timm:test_vit?image_size=32", "--random-init", "--epochs", "2",
        "--metadata-dim", "16", "--embed-dim", "16", "--patients-per-batch", "4"]  # fmt: skip
SPLITS = ("train", "train", "train", "val", "test")


def table_rows() -> list[str]:
    """30 lesions of 15 patients; age and sex are the patient's, size and site the lesion's."""
    draws = np.random.default_rng(0)
    return [
        f"{number}.png,{'ab'[number % 2]},p{number // 2},{SPLITS[number // 2 % 5]},"
        f"{draws.uniform(1, 4) + 5 * (number % 2):.2f},{('arm', 'leg', 'back')[number % 3]},"
        f"{30 + number // 2},{('female', 'male')[number // 2 % 2]}"
        for number in range(2 * NUM_PATIENTS)
    ]


def write_table(path: Path, rows: list[str], header: str = HEADER) -> str:
    """Write a table, its images beside it; returns the data set's id."""
    draws = np.random.default_rng(1)
    for number in range(2 * NUM_PATIENTS):
        image = path.parent / f"{number}.png"
        if not image.exists():
            pixels = draws.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(image)
    path.write_text("\n".join([header, *rows]) + "\n")
    return f"csv:{path}"


def pretrain(data: str, output: Path, *options: str, allow_leaks: str = "size_mm") -> Path:
    """Train a tiny SLIMP model for an epoch, without a page; returns the run's folder.

    The sizes of `table_rows` tell the label, as tests of probes want it: pre-training accepts that,
    by their name or by that of another table's column.
    """
    arguments = [
        "pretrain", "slimp", "--data", data, "--output", str(output), "--random-init",
        "--backbone", "timm:test_vit?image_size=32", "--epochs", "1", "--metadata-dim", "8",
        "--metadata-heads", "2", "--metadata-depth", "1", "--embed-dim", "4",
        "--patients-per-batch", "4", "--allow-leaks", allow_leaks, "--no-report", *options,
    ]  # fmt: skip
    result = CliRunner().invoke(app, arguments, prog_name="toolkit")
    assert result.exit_code == 0, result.output
    return output


def run_killed(run: Callable[[], object], patch: pytest.MonkeyPatch, *, step: int) -> None:
    """Run in a fork until SIGKILL ends it in a step: no handler runs, nothing is tidied up."""
    original = Stepper.backward

    def killed(self: Stepper, batch: Any, at: int) -> Any:
        loss = original(self, batch, at)
        if at == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return loss

    child = os.fork()
    if child == 0:
        try:
            patch.setattr(Stepper, "backward", killed)
            patch.setattr(loop, "SAVE_EVERY_S", 0.0)
            run()
        finally:
            os._exit(0)  # never back into pytest
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
