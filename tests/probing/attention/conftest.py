"""A finished run with attention maps and mistakes, made once."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from toolkit_common.cli.app import app

TINY = ["--backbone", "timm:test_vit?image_size=32", "--random-init", "--epochs", "1"]


@pytest.fixture(scope="session")
def noise_probe() -> list[str]:
    """The call that made `mapped`, to be made in the folder that it lies in."""
    methods = ["--method", "ep,esimpool,linear", "--set", "ep.num_queries=16"]
    data = ["--data", "csv:table.csv?group=patient", "--store-dir", "tokens"]
    return ["probe", *TINY, *methods, *data]


@pytest.fixture(scope="session")
def mapped(noise_probe: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three methods on noise with labels drawn at random, of two images a patient."""
    root = tmp_path_factory.mktemp("mapped")
    rng, lines = np.random.default_rng(0), ["image,label,patient"]
    for index in range(60):
        path = root / f"pictures/{index:03d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (32, 40, 3), np.uint8)).save(path)
        lines.append(f"pictures/{index:03d}.png,{'ab'[rng.integers(2)]},p{index // 2}")
    (root / "table.csv").write_text("\n".join(lines) + "\n")
    previous = Path.cwd()
    os.chdir(root)
    made = CliRunner().invoke(app, [*noise_probe, "--no-report", "-o", "run"])
    assert made.exit_code == 0, made.output
    os.chdir(previous)
    return root / "run"


@pytest.fixture
def probe_run(mapped: Path, tmp_path: Path) -> Path:
    """A copy of the run that a test may spoil; its data lie where they did."""
    shutil.copytree(mapped, tmp_path / "run")
    return tmp_path / "run"
