"""`toolkit study` from the command line: plan, run, table; kills, interrupts, and one at a time."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import assert_bad_input
from helpers.kills import wait_for_end
from helpers.tiny_study import STUDY, calls, toy_commands
from toolkit_common.runs.locks import lock_folder, unlock_folder

SHORT = STUDY.replace("[0, 1, 2]", "[0, 1]")
ONE_ENCODER = SHORT.replace("        poor: {quality: 0.2}\n", "").replace(
    "{encoder: poor}", "{method: ep}"
)


@pytest.fixture(scope="module", autouse=True)
def toys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with toy_commands(tmp_path_factory.mktemp("toys")) as folder:
        yield folder


@pytest.fixture(autouse=True)
def importable(toys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(toys), os.environ.get("PYTHONPATH", "")]))
    Path("toy.yaml").write_text(SHORT)


def begin(*more: str) -> "subprocess.Popen[str]":
    """Start `toolkit study run` in a process of its own."""
    words = [sys.executable, "-m", "toolkit_common", "study", "run", "toy.yaml", *more]
    pipe = subprocess.PIPE
    return subprocess.Popen(words, stdout=pipe, stderr=pipe, text=True)


def finish(*more: str) -> "subprocess.CompletedProcess[str]":
    with begin(*more) as process:
        out, err = process.communicate(timeout=200)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def wait_for(path: str, process: "subprocess.Popen[str]") -> None:
    end = time.monotonic() + 100
    while not Path(path).exists():
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_plan_is_the_commands_one_a_line(run_cli):
    result = run_cli("study", "plan", "toy.yaml")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == (
        "toolkit toy train --quality 0.8 --fold 0 --output runs/toy/train/encoder=good,fold=0"
    )
    assert len(lines) == 8
    summary, following = result.stderr.splitlines()
    assert summary == "study toy in runs/toy: 8 cells, 8 to do"
    assert following == "next: toolkit study run toy.yaml"
    assert not Path("runs").exists()


@pytest.mark.slow
def test_a_plan_can_be_pasted(run_cli):
    for line in run_cli("study", "plan", "toy.yaml").stdout.splitlines():
        assert run_cli(*shlex.split(line)[1:]).exit_code == 0
    result = run_cli("study", "plan", "toy.yaml")
    assert all(line.startswith("# done: toolkit toy ") for line in result.stdout.splitlines())
    assert "8 cells, 8 done" in result.stderr
    assert result.stderr.endswith("next: toolkit study table runs/toy --format md\n")
    table = run_cli("study", "table", "toy.yaml")
    assert "+0.150" in table.stdout


@pytest.mark.slow
def test_a_study_runs_side_by_side_and_shows_its_table(run_cli):
    Path("toy.yaml").write_text(STUDY.replace("[0, 1, 2]", "[1]"))
    done = finish("--jobs", "2")
    assert done.returncode == 0, done.stderr
    assert "judge/encoder=poor,fold=1: done in" in done.stderr
    assert "reference" in done.stdout
    assert len(calls()) == 4
    log = Path("runs/toy/logs/train/encoder=good,fold=1.log").read_text()
    assert log.startswith("$ toolkit toy train --quality 0.8")
    rows = json.loads(run_cli("study", "table", "runs/toy", "--format", "json").stdout)["rows"]
    assert [row["cells"] for row in rows] == [1] * 4
    again = run_cli("study", "run", "runs/toy")
    assert (again.exit_code, len(calls())) == (0, 4)


@pytest.mark.slow
def test_a_killed_study_goes_on_to_the_same_table(run_cli):
    Path("toy.yaml").write_text(ONE_ENCODER.replace("0.8}", "0.8, seconds: 1}"))
    process = begin()
    wait_for("runs/toy/train/encoder=good,fold=1/run.json", process)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert wait_for_end(map(int, children))
    assert not Path("runs/toy/train/encoder=good,fold=1/DONE").exists()
    assert finish().returncode == 0
    ran = calls()
    assert ran.count("train/encoder=good,fold=0") == 1
    assert "train/encoder=good,fold=1 --resume" in ran
    assert len(ran) == 5
    killed = run_cli("study", "table", "toy.yaml", "--format", "csv").stdout
    for line in run_cli("study", "plan", "toy.yaml", "-o", "runs/whole").stdout.splitlines():
        assert run_cli(*shlex.split(line)[1:]).exit_code == 0
    whole = run_cli("study", "table", "toy.yaml", "-o", "runs/whole", "--format", "csv").stdout
    assert killed == whole


@pytest.mark.slow
def test_an_interrupt_reaches_the_cells_and_ends_resumably():
    Path("toy.yaml").write_text(SHORT.replace("0.8}", "0.8, seconds: 60}"))
    process = begin()
    wait_for("runs/toy/train/encoder=good,fold=0/run.json", process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "interrupted: the same command goes on" in err
    assert calls() == ["train/encoder=good,fold=0"]
    log = Path("runs/toy/logs/train/encoder=good,fold=0.log").read_text()
    assert "interrupted: " in log


@pytest.mark.slow
def test_a_failed_cell_ends_the_study_with_its_last_line(run_cli):
    text = STUDY.replace("[0, 1, 2]", "[0]").replace("{quality: 0.2}", "{fails: true}")
    Path("toy.yaml").write_text(text)
    result = run_cli("study", "run", "toy.yaml")
    assert result.exit_code == 1
    assert "1 cell failed, 1 skipped that need them:" in result.stderr
    assert "train/encoder=poor,fold=0: the loss diverged" in result.stderr
    assert "MISSING: 1 cell" in result.stdout


def test_one_study_is_run_by_one_process(run_cli):
    script = "import sys, time; from pathlib import Path; from toolkit_common.runs.locks import *;"
    script += "lock_folder(Path('runs/toy')); print('held', flush=True); time.sleep(60)"
    Path("runs/toy").mkdir(parents=True)
    words = [sys.executable, "-c", script]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        other.stdout.readline()
        result = run_cli("study", "run", "toy.yaml")
        other.kill()
    assert_bad_input(result, "study folder ", "runs/toy is being written", f"pid {other.pid}")
    lock_folder(Path("runs/toy"))
    unlock_folder(Path("runs/toy"))


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["plan", "none.yaml"], ["no file at none.yaml"]),
        (["plan", "toy.yaml", "--set", "juged=1"], ["no parameter 'juged'; did you mean 'judged'"]),
        (["run", "toy.yaml", "--slurm", "a=1"], ["--slurm needs --executor slurm"]),
        (["run", "toy.yaml", "--executor", "slurm", "--slurm", "a"], ["wants KEY=VALUE, got 'a'"]),
        (["table", "toy.yaml", "none"], ["there is no table 'none'"]),
    ],
)
def test_bad_input_is_one_line(run_cli, words, parts):
    assert_bad_input(run_cli("study", *words), *parts)


def test_a_mistake_in_the_last_cell_is_seen_before_the_first_runs(run_cli):
    Path("toy.yaml").write_text(SHORT.replace("{quality: 0.2}", "{quality: 2}"))
    result = run_cli("study", "run", "toy.yaml")
    assert_bad_input(result, "toy.yaml, line 6", "cell encoder=poor,fold=0", "quality")
    assert not Path("runs").exists()


def test_cells_of_other_settings_are_refused(run_cli):
    train = "toy train --quality 0.5 --output runs/toy/train/encoder=good,fold=0"
    assert run_cli(*train.split()).exit_code == 0
    result = run_cli("study", "run", "toy.yaml")
    assert_bad_input(result, "1 cell was run with other settings", "quality (was 0.5, now 0.8)")
    plan = run_cli("study", "plan", "toy.yaml").stdout.splitlines()
    assert plan[0].startswith("# of other settings, quality (was 0.5, now 0.8): toolkit toy train")


def test_a_study_without_a_table_has_none_to_show(run_cli):
    Path("toy.yaml").write_text(SHORT.partition("table:")[0])
    assert_bad_input(run_cli("study", "table", "toy.yaml"), "toy.yaml has no table")


def test_csv_holds_one_table(run_cli):
    one = "  {rows: [encoder, method], metrics: auroc}\n"
    text = SHORT.partition("table:")[0] + f"tables:\n  a:{one}  b:{one}"
    Path("toy.yaml").write_text(text)
    assert_bad_input(run_cli("study", "table", "toy.yaml", "--format", "csv"), "name one of: a, b")
    result = run_cli("study", "table", "toy.yaml", "b", "--format", "csv")
    assert re.match("encoder,method,metric", result.stdout)
