"""Small probe runs from the command line, shared by the tests of the probing package."""

import csv
from pathlib import Path

from typer.testing import Result

from conftest import assert_bad_input

TINY = ["--backbone", "timm:test_vit?image_size=32", "--random-init", "--epochs", "3"]


def refused(result: Result, tmp_path: Path, *parts: str) -> None:
    """Assert one line with these parts, exit code 2, and no folder `tmp_path / "run"`."""
    assert_bad_input(result, *parts)
    assert not (tmp_path / "run").exists()


def read_csv(path: Path, column: str) -> list[str]:
    """Return a column of a CSV file."""
    return [row[column] for row in csv.DictReader(path.read_text().splitlines())]
