"""Probe runs to call, and finished ones for the tests of what reads them."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from conftest import write_image_folder
from helpers.probe_runs import TINY
from toolkit_common.cli.app import app


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs on one table, of two methods: `a` of two layers, `b` picked on the test split.

    Heads are as the optimizer left them, so that seeds and rates make a difference.
    """
    root = tmp_path_factory.mktemp("runs")
    write_image_folder(root / "pictures", per_class=20)
    rng, lines = np.random.default_rng(0), ["image,label,group,site,age"]
    for name in ("dark", "light"):
        for index in range(20):
            site = ("arm", "back", "")[index % 3]
            age = rng.integers(20, 90)
            lines.append(f"pictures/{name}/{index:03d}.png,{name},p{index % 10},{site},{age}")
    (root / "table.csv").write_text("\n".join(lines) + "\n")
    shared = ["--data", f"csv:{root / 'table.csv'}", "--backbone", "timm:test_vit?image_size=32",
              "--random-init", "--store", "memory", "--epochs", "2",
              "--classifier", "trained", "--no-report"]  # fmt: skip
    previous = Path.cwd()
    os.chdir(root)
    for name, options in {
        "a": ["--method", "linear,knn", "--layers", "2,-1", "--num-seeds", "2"],
        "b": ["--method", "linear,knn", "--select-on", "test", "--epochs", "1"],
    }.items():
        made = CliRunner().invoke(app, ["probe", *shared, *options, "-o", str(root / name)])
        assert made.exit_code == 0, made.output
    os.chdir(previous)
    return root


FOLDED = ["--method", "linear,knn", "--backbone", "timm:test_vit?image_size=32", "--random-init",
          "--epochs", "1", "--folds", "3", "--no-report"]  # fmt: skip


@pytest.fixture(scope="session")
def folded(runs: Path) -> Path:
    """Two runs of all three folds of the table of `runs`, `f` and `g`, of two and of one method."""
    previous = Path.cwd()
    os.chdir(runs)
    data = ["--data", f"csv:{runs / 'table.csv'}", "--store-dir", str(runs / "folded-tokens")]
    root = runs.parent / "folded"
    for name, options in {"f": [], "g": ["--method", "knn", "--set", "knn.k=3"]}.items():
        words = ["probe", *FOLDED, *data, *options, "-o", str(root / name), "--json"]
        made = CliRunner().invoke(app, words)
        assert made.exit_code == 0, made.output
        (root / f"{name}.json").write_text(made.stdout)
        (root / f"{name}.log").write_text(made.stderr)
    os.chdir(previous)
    return root


@pytest.fixture
def copied(runs, tmp_path):
    """Copies of the runs that a test may spoil."""
    for name in ("a", "b"):
        shutil.copytree(runs / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def probe(run_cli, image_folder, tmp_path):
    def run(*args, data=f"imagefolder:{image_folder}", output=tmp_path / "run"):
        return run_cli("probe", *TINY, "--data", data, "--output", output, *args)

    return run
