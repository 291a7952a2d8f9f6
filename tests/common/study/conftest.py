"""The commands that a study's tests are made of, and a study that was carried out with them."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import chdir
from pathlib import Path

import pytest

from helpers.tiny_study import InProcess, study_of, toy_commands
from toolkit_common.study.commands import find_command
from toolkit_common.study.grid import expand
from toolkit_common.study.run import run_cells
from toolkit_common.study.state import look_at


@pytest.fixture(autouse=True, scope="session")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with toy_commands(tmp_path_factory.mktemp("toys")) as folder:
        yield folder


@pytest.fixture(scope="session")
def carried_out(toys: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in whose `runs` the toy study's cells are done."""
    folder = tmp_path_factory.mktemp("carried-out")
    with chdir(folder):
        cells = expand(study_of(), Path("runs"), find_command)
        outcome = run_cells(cells, look_at(cells), Path("runs"), executor=InProcess(), jobs=1)
    assert len(outcome.ran) == 12
    return folder


@pytest.fixture
def runs(carried_out: Path) -> Callable[[], None]:
    """Put the cells of the toy study that was carried out into the present folder."""
    return lambda: shutil.copytree(carried_out / "runs", "runs")
