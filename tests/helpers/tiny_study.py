"""Two commands without torch, in which a study's cells take no time: `toy train`, `toy judge`.

Each notes in `calls.txt` that it ran. A judge's AUROC is written down: 0.6, more by how well its
encoder was trained, more by the fold.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from helpers.plugins import write_plugin
from toolkit_common.cli import app as cli
from toolkit_common.runs.files import read_json, write_json
from toolkit_common.study.commands import find_command
from toolkit_common.study.executors import Job
from toolkit_common.study.file import Study, read_study
from toolkit_common.study.grid import expand
from toolkit_common.study.state import look_at
from toolkit_common.study.table import Table, build_table, check_table

SHARED = """
import json, os, signal, time
from pathlib import Path
import typer
from toolkit_common.cli.command import run_command
from toolkit_common.config import Settings, option
from toolkit_common.errors import InputError
from toolkit_common.runs.files import write_json, write_text
from toolkit_common.runs.folder import _now

app = typer.Typer()

def carry_out(call, results, seconds=0.0):
    folder = call.output
    # As a real run: a folder without settings is what a kill left, and is begun anew.
    assert call.resume or call.overwrite or not (folder / "config.yaml").exists(), folder
    folder.mkdir(parents=True, exist_ok=True)
    with Path("calls.txt").open("a") as file:
        file.write(f"{folder.parent.name}/{folder.name}{' --resume' * call.resume}\\n")
    write_text(folder / "config.yaml", call.resolved.to_yaml())
    write_json(folder / "run.json", {"kind": "train", "starts": [_now()]})
    time.sleep(seconds)
    write_json(folder / "results.json", results)
    write_text(folder / "DONE", _now() + "\\n")
    return results
"""
TRAIN = """
class TrainSettings(Settings):
    quality: float = option(0.0, "How good.", ge=0, le=1)
    fold: int = option(0, "Which fold.", ge=0)
    seconds: float = option(0.0, "How long.", affects_result=False)
    fails: bool = option(False, "Whether it fails.", affects_result=False)

@run_command(app, TrainSettings, name="train")
def train(call):
    "Train."
    if call.settings.fails:
        raise InputError("the loss diverged")
    how = call.settings
    return carry_out(call, {"version": 1, "held_out": {"loss": how.quality / 2}}, how.seconds)
"""
JUDGE = """
class JudgeSettings(Settings):
    backbone: Path | None = option(None, "Encoder.")
    method: str = option("ep,linear", "Methods.")
    fold: int = option(0, "Which fold.", ge=0)
    fails: bool = option(False, "Whether it fails.", affects_result=False)

def row(method, value, **more):
    metrics = {"auroc": {"mean": value, "ci": [value - 0.1, value + 0.1], "values": [value]}}
    return {"name": method, "method": method, "inputs": "image", "labels": "all labels",
            "selected": "selected on val", "seen": "", "metrics": metrics, **more}

@run_command(app, JudgeSettings, name="judge")
def judge(call):
    "Judge."
    how = call.settings
    if how.fails:
        os.kill(os.getpid(), signal.SIGKILL)
    trained = json.loads((how.backbone / "results.json").read_text()) if how.backbone else None
    value = 0.6 + 0.05 * how.fold + (trained["held_out"]["loss"] / 2 if trained else 0.0)
    methods = how.method.split(",")
    rows = [row(method, value + 0.01 * number) for number, method in enumerate(methods)]
    data = {"classes": ["a", "b"], "sizes": {"train": 60, "val": 20, "test": 20}}
    baseline = row("metadata baseline", 0.7, inputs="metadata alone", selected="fitted on train")
    results = {"version": 1, "data": data, "backbone": {"random_weights": trained is None},
               "rows": rows, "baselines": [baseline]}
    return carry_out(call, results)
"""
STUDY = """\
name: toy
question: Does training help?
parameters:
  judged: [0, 1, 2]
steps:
  train:
    command: toy train
    grid:
      encoder:
        good: {quality: 0.8}
        poor: {quality: 0.2}
      fold: "{judged}"
  judge:
    command: toy judge
    needs: train
    options: {backbone: "{train}", fold: "{fold}"}
table:
  rows: [encoder, method]
  metrics: auroc
  against: {encoder: poor}
"""


@contextmanager
def toy_commands(folder: Path) -> Iterator[Path]:
    """Install both commands; gives the folder to import them from."""
    write_plugin(folder, "toy.train", SHARED + TRAIN)
    write_plugin(folder, "toy.judge", SHARED + JUDGE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        for cache in (cli._plugins, find_command):
            cache.cache_clear()
        yield folder
    for cache in (cli._plugins, find_command):
        cache.cache_clear()


def study_of(text: str = STUDY, *assignments: str) -> Study:
    """Return a study whose file is in the present folder."""
    Path("toy.yaml").write_text(text)
    return read_study(Path("toy.yaml"), assignments)


def calls() -> list[str]:
    """Return which cells ran, in their order."""
    path = Path("calls.txt")
    return path.read_text().splitlines() if path.exists() else []


def table_of(text: str = STUDY) -> Table:
    """Return the table of a study whose cells are in `runs`, as far as they are done."""
    study = study_of(text)
    cells = expand(study, Path("runs"), find_command)
    check_table(study, "", cells)
    return build_table(study, "", cells, statuses=look_at(cells))


def change(cell: str, **metrics: object) -> None:
    """Write something else into the AUROC of a cell's first row."""
    path = Path("runs", cell, "results.json")
    results = read_json(path)
    results["rows"][0]["metrics"]["auroc"] |= metrics
    write_json(path, results)


class InProcess:
    """Runs a cell in this process, at once."""

    def start(self, words: Sequence[str], log: Path) -> Job:
        result = CliRunner().invoke(cli.app, list(words), prog_name="toolkit")
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(result.output)
        return Ended(result.exit_code)


class Ended:
    """A job that is over."""

    def __init__(self, code: int) -> None:
        self.code = code

    def poll(self) -> int | None:
        return self.code

    def interrupt(self) -> None: ...

    def kill(self) -> None: ...
