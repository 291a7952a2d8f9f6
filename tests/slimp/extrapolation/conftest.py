"""A tiny run on lesions whose brightness tells some metadata, with its bank."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from helpers.similar_lesions import pretrain_on, write_lesions
from toolkit_common.cli.app import app


@pytest.fixture(scope="session")
def lesions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of `table.csv`, which `run` was trained on, and `new.csv` of other patients."""
    root = tmp_path_factory.mktemp("lesions")
    pretrain_on(write_lesions(root), root / "run")
    write_lesions(root, name="new", prefix="q", patients=20, seed=1)
    return root


@pytest.fixture
def extrapolate(lesions: Path, tmp_path: Path) -> Callable[..., Result]:
    def run(*args: object, data: str = f"csv:{lesions / 'new.csv'}", name: str = "f.parquet"):
        words = ["extrapolate", "slimp", "--from", lesions / "run", "--data", data]
        words += ["-o", tmp_path / name, *args]
        return CliRunner().invoke(app, [str(word) for word in words], prog_name="toolkit")

    return run
