"""Fixtures shared by all tests: an offline world, a folder of its own for each test, the CLI."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

from jaxtyping import install_import_hook

# Before the first import of ours: every function then checks its annotations when it is called.
PACKAGES = ["toolkit_common", "toolkit_probing", "toolkit_slimp"]
install_import_hook(PACKAGES, "shape_check.check")

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner, Result

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run every test in an empty folder, with its own cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOOLKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.fixture(autouse=True, scope="session")
def own_signals() -> None:
    """Heed what a shell in the background, or nohup, ignores; what tests start inherits it."""
    for number, usual in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGHUP, signal.SIG_DFL),
    ):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, usual)


@pytest.fixture(autouse=True, scope="session")
def own_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Make all tests one site with a secret of its own, not that of who runs them."""
    with pytest.MonkeyPatch.context() as patch:
        path = tmp_path_factory.mktemp("site") / "secret"
        patch.setenv("TOOLKIT_SITE_SECRET", str(path))
        yield


@pytest.fixture(autouse=True)
def no_open_runs() -> Iterator[None]:
    """Leave no folder locked and no log open, as a process that ends does."""
    yield
    from toolkit_common.runs.locks import unlock_all

    unlock_all()


@pytest.fixture(autouse=True)
def fresh_accelerator() -> Iterator[None]:
    """Forget accelerate's process-wide state, which keeps the first test's precision."""
    yield
    from accelerate.state import AcceleratorState, PartialState

    AcceleratorState._reset_state()
    PartialState._reset_state()


@pytest.fixture
def run_cli() -> Callable[..., Result]:
    """Run `toolkit ARGS` in this process; a run without its page, which takes longer than it."""
    from toolkit_common.cli.app import app

    def run(*args: object) -> Result:
        words = [str(arg) for arg in args]
        is_run = words[:1] == ["probe"] or words[:2] == ["pretrain", "slimp"]
        if is_run and not {"--report", "--list", "--help"} & {*words}:
            words.append("--no-report")
        return CliRunner().invoke(app, words, prog_name="toolkit")

    return run


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """A folder of 2 classes x 12 images that a probe can tell apart: dark and bright."""
    return write_image_folder(tmp_path / "images")


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set, a probe and a pre-training, whose files tests change: see `helpers.readers`."""
    from helpers.readers import make_world

    folder = tmp_path_factory.mktemp("readers") / "world"
    previous = Path.cwd()
    make_world(folder)
    os.chdir(previous)
    return folder


def write_image_folder(root: Path, *, per_class: int = 12, size: int = 24) -> Path:
    rng = np.random.default_rng(0)
    for name, level in (("dark", 40), ("light", 200)):
        (root / name).mkdir(parents=True)
        for index in range(per_class):
            pixels = rng.normal(level, 25, (size, size, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{index:03d}.png")
    return root


def assert_bad_input(result: Result, *parts: str) -> None:
    """The rule for bad input: exit code 2, one line on stderr with these parts, no traceback."""
    assert result.exit_code == 2, (result.exit_code, result.output, result.exception)
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, result.stderr
    for part in parts:
        assert part in lines[0], lines[0]
