"""A run that is killed (SIGKILL) at random moments ends with the bits of one that was not."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from safetensors.torch import load_file
from typer.testing import CliRunner

from conftest import write_image_folder
from helpers.kills import run_forked, wait_for_end
from helpers.plugins import write_plugin
from helpers.small_data import build_data, image_bytes
from toolkit_common.backbones.load import load_backbone
from toolkit_common.cli.app import app
from toolkit_common.features.encode import Extraction
from toolkit_common.features.extract import extract
from toolkit_common.features.store import TokenStore
from toolkit_common.training.distributed import build_accelerator

NUM_KILLS = 10


@pytest.mark.slow
def test_extraction_killed_at_random_moments_gives_the_same_features(tmp_path, monkeypatch):
    monkeypatch.setattr("toolkit_common.features.extract.SHARD_BYTES", 1 << 11)
    rng = np.random.default_rng(0)
    images = [image_bytes(int(seed)) for seed in rng.integers(1 << 30, size=60)]
    data = build_data(["ab"[row % 2] for row in range(60)], images=images)
    backbone = load_backbone("timm:test_vit?image_size=32", random_init=True)

    def run(name: str) -> TokenStore:
        how = Extraction(tmp_path / name, store="disk", batch_size=2)
        accelerator = build_accelerator(device="cpu")
        source = extract(backbone, data, np.arange(60), how=how, accelerator=accelerator).source
        assert isinstance(source, TokenStore)
        return source

    begin = time.monotonic()
    assert run_forked(lambda: run("whole"))
    whole_s = time.monotonic() - begin
    draws, kills = random.Random(0), 0
    while kills < NUM_KILLS:
        if run_forked(lambda: run("cut"), kill_after_s=draws.uniform(0.05, 0.7) * whole_s):
            shutil.rmtree(tmp_path / "cut")
        else:
            kills += 1
    expected, actual = (run(name).read(np.arange(60))[6] for name in ("whole", "cut"))
    assert expected.patches is not None
    assert actual.patches is not None
    assert expected.patches.equal(actual.patches)
    assert all(vector.equal(actual.vectors[name]) for name, vector in expected.vectors.items())


WORDS = ["--backbone", "timm:test_vit?image_size=32", "--random-init", "--method", "ep",
         "--lr", "0.003", "--set", "ep.num_queries=4"]  # fmt: skip
STAGES = {  # of a run: the first and the last file that it writes
    "extraction": (
        "{name}-cache/features/*/tokens-00000.xxh3",
        "{name}-cache/features/*/index.json",
    ),
    "training": ("{name}/checkpoints/*/pass-1/step-*.pt", "{name}/results.json"),
}


class Killable:
    """Runs of the whole command in one folder, beside one that nothing interrupted."""

    def __init__(self, folder: Path, run: Callable[[str], object]) -> None:
        self.folder = folder
        self.run = run
        run("whole")  # here, not in a fork: forks then find all that is imported on the way
        started = {stage: self._made("whole", names[0]) for stage, names in STAGES.items()}
        ended = {stage: self._made("whole", names[1]) for stage, names in STAGES.items()}
        self.seconds = {stage: ended[stage] - started[stage] for stage in STAGES}

    def kill_in(self, stage: str, at: float, name: str) -> bool:
        """Start or resume a run and kill it at a share of a stage; returns whether it was."""
        begun = STAGES[stage][0].format(name=name)
        return not run_forked(
            lambda: self.run(name),
            kill_after_s=at * self.seconds[stage],
            counted_from=lambda: any(self.folder.glob(begun)),
        )

    def _made(self, name: str, pattern: str) -> float:
        return min(path.stat().st_mtime for path in self.folder.glob(pattern.format(name=name)))


@pytest.fixture(scope="module")
def killable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killable]:
    """A run of many shards and checkpoints."""
    folder = tmp_path_factory.mktemp("killed")
    data = write_image_folder(folder / "images", per_class=16)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("toolkit_probing.training.checkpoint.SAVE_EVERY_S", 0.0)
        patch.setattr("toolkit_common.features.extract.SHARD_BYTES", 1 << 12)

        def run(name: str) -> None:
            os.environ["TOOLKIT_CACHE"] = str(folder / f"{name}-cache")
            resume = ["--resume"] if (folder / name / "config.yaml").exists() else []
            where = ["--data", f"imagefolder:{data}", "--output", str(folder / name)]
            # Figures of a page are drawn by threads, which a fork does not have.
            words = [*WORDS, *where, "--epochs", "4", "--keep-checkpoints", "--no-report"]
            result = CliRunner().invoke(app, ["probe", *words, *resume], prog_name="toolkit")
            assert result.exit_code == 0, result.output

        yield Killable(folder, run)


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("seed", range(NUM_KILLS // len(STAGES)))
def test_a_run_killed_at_any_moment_resumes_to_the_same_bits(
    killable: Killable, stage: str, seed: int
) -> None:
    name, draws = f"{stage}-{seed}", random.Random(f"{stage}-{seed}")
    done = killable.folder / name / "DONE"
    while not killable.kill_in(stage, draws.uniform(0.0, 0.8), name) or done.exists():
        for made in (name, f"{name}-cache"):  # it was faster than the whole run: once more
            shutil.rmtree(killable.folder / made)
    assert run_forked(lambda: killable.run(name))
    _assert_same(killable.folder / "whole", killable.folder / name)


EAGER = """
    from toolkit_common.features import extract
    from toolkit_probing.training import checkpoint as state

    state.SAVE_EVERY_S = 0.0  # else a short run would save nothing before its end
    extract.SHARD_BYTES = 1 << 12

    from toolkit_probing.cli.probe import app
"""


@pytest.mark.dist
@pytest.mark.slow
def test_two_processes_whose_launcher_is_killed_resume_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_image_folder(tmp_path / "images", per_class=32)
    site = write_plugin(tmp_path / "site", "eager", EAGER)
    monkeypatch.setenv("PYTHONPATH", str(site), prepend=os.pathsep)

    def start(name: str, *more: str) -> subprocess.Popen[bytes]:
        words = [*WORDS, "--epochs", "40", "--data", f"imagefolder:{data}", "-o", name, *more]
        command = [sys.executable, "-m", "toolkit_common", "eager", *words, "--num-processes", "2"]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def finish(name: str, *more: str) -> None:
        with start(name, *more) as run:
            messages = run.communicate(timeout=120)[1]
        assert run.returncode == 0, messages.decode()

    finish("whole")
    shutil.rmtree(tmp_path / "cache")
    more, draws = [], random.Random(0)
    for sign in ("cache/features/*/tokens-*.xxh3", "cut/checkpoints/*/pass-1/step-*.pt"):
        before = set(tmp_path.glob(sign))
        with start("cut", *more) as launcher:
            while not set(tmp_path.glob(sign)) - before and launcher.poll() is None:
                time.sleep(0.01)
            time.sleep(draws.uniform(0.0, 0.2))
            workers = [child.pid for child in psutil.Process(launcher.pid).children()]
            launcher.kill()
        assert launcher.returncode == -signal.SIGKILL
        assert len(workers) == 2
        assert wait_for_end(workers)
        assert not (tmp_path / "cut/results.json").exists()
        more = ["--resume"]
    finish("cut", *more)
    _assert_same(tmp_path / "whole", tmp_path / "cut")


def _assert_same(whole: Path, cut: Path) -> None:
    heads = sorted((whole / "heads").iterdir())
    assert heads
    for head in heads:
        expected, actual = load_file(head), load_file(cut / "heads" / head.name)
        assert all(expected[name].equal(actual[name]) for name in expected), head.name
    one, two = (json.loads((run / "results.json").read_text()) for run in (whole, cut))
    assert one["rows"] == two["rows"]
    assert _log(whole) == _log(cut)


def _log(run: Path) -> list[dict[str, Any]]:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [{**json.loads(line), "time": None} for line in lines]
