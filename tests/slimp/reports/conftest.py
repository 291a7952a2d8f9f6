"""A tiny pre-training that ends with its page: on 15 patients, some cells empty, a word hostile."""

import shutil
from pathlib import Path

import pytest

from helpers.slimp_run import pretrain, table_rows, write_table

HOSTILE = "</script><script>alert('a & b')</script>"


@pytest.fixture(scope="package")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data, `table.csv`, and the run, `run`."""
    root = tmp_path_factory.mktemp("reports")
    rows = []
    for number, line in enumerate(table_rows()):
        cells = line.split(",")
        cells[5] = {0: HOSTILE, 1: ""}.get(number % 5, cells[5])  # site
        cells[6] = "" if number // 2 % 4 == 3 else cells[6]  # age, of every image of a patient
        rows.append(",".join(cells))
    data = write_table(root / "table.csv", rows)
    pretrain(data, root / "run", "--report", "--lesion-weight", "0.6")
    return root


@pytest.fixture
def run(root: Path, tmp_path: Path) -> Path:
    """A copy of the run, to be changed; its data lie where they lay."""
    return shutil.copytree(root / "run", tmp_path / "run")
