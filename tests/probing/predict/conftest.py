"""One finished run of several methods, and new images for its probes."""

import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from toolkit_common.cli.app import app

TINY = ["--backbone", "timm:test_vit?image_size=32", "--random-init", "--epochs", "1"]
METHODS = ["--method", "ep,abmilp,linear,knn,logreg", "--set", "ep.num_queries=4"]
# As the optimizer left them, so that seeds make a difference.
TRAINED = ["--classifier", "trained", "--lr", "0.003", "--warmup-epochs", "0", "--num-seeds", "2"]


def write_greys(folder: Path, levels: Iterable[float], *, seed: int = 0) -> None:
    """Write an image of noise for each level, numbered."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for at, level in enumerate(levels):
        pixels = rng.normal(level, 25, (24, 24, 3)).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{at:03d}.png")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table of 40 images of 20 patients, and a run on it with two seeds."""
    root = tmp_path_factory.mktemp("predict")
    rng = np.random.default_rng(0)
    for name, level in (("dark", 110), ("light", 140)):
        write_greys(root / "pictures" / name, rng.normal(level, 30, 20))
    lines = ["image,label,group"]
    for name in ("dark", "light"):
        lines += [f"pictures/{name}/{at:03d}.png,{name},{name}-{at // 2}" for at in range(20)]
    (root / "table.csv").write_text("\n".join(lines) + "\n")
    previous = Path.cwd()
    os.chdir(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOOLKIT_CACHE", str(root / "cache"))
        args = [*TINY, *METHODS, *TRAINED, "--data", "csv:table.csv", "-o", "run"]
        made = CliRunner().invoke(app, ["probe", *args], prog_name="toolkit")
    os.chdir(previous)
    assert made.exit_code == 0, made.output
    return root


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """A copy of the run that a test may spoil; its data stay where they are."""
    return shutil.copytree(finished / "run", tmp_path / "copied")


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """Six images that the run has not seen, in two folders within each other."""
    write_greys(tmp_path / "new", [90, 110, 120, 130], seed=7)
    write_greys(tmp_path / "new/deeper", [140, 160], seed=8)
    return tmp_path / "new"


@pytest.fixture
def predict(run_cli: Callable[..., Result], finished: Path) -> Callable[..., Result]:
    def run(*args: object, run: Path = finished / "run") -> Result:
        return run_cli("predict", "--from", run, *args)

    return run


@pytest.fixture
def predicted(predict: Callable[..., Result], tmp_path: Path) -> Callable[..., pd.DataFrame]:
    """Predict into a parquet file and return the table."""

    def run(*args: object, **kwargs: Path) -> pd.DataFrame:
        file = tmp_path / "predicted.parquet"
        result = predict(*args, "-o", file, **kwargs)
        assert result.exit_code == 0, result.output
        return pd.read_parquet(file)

    return run
