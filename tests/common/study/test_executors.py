"""Cells in processes and as jobs: their output in a log, their exit code, their end with ours."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers.kills import wait_for_end
from toolkit_common.errors import InputError
from toolkit_common.study.executors import Cluster, Here, Job, _ClusterJob, call

pytestmark = pytest.mark.slow  # each starts a process that imports typer and pydantic


@pytest.fixture(autouse=True)
def importable(toys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(toys), os.environ.get("PYTHONPATH", "")]))


def ended(job: Job, *, within_s: float = 120.0) -> int:
    end = time.monotonic() + within_s
    while (code := job.poll()) is None:
        assert time.monotonic() < end
        time.sleep(0.05)
    return code


def words(*more: str) -> list[str]:
    return ["toy", "train", "--output", "runs/a/b", *more]


def test_a_process_writes_its_log_and_gives_its_code():
    log = Path("logs/a.log")
    assert ended(Here(1).start(words(), log)) == 0
    assert Path("runs/a/b/DONE").exists()
    assert ended(Here(1).start([*words("--fails"), "--overwrite"], log)) == 2
    lines = log.read_text().splitlines()
    assert lines[0] == "$ toolkit toy train --output runs/a/b"
    assert lines[-1] == "error: the loss diverged"


def test_an_interrupt_reaches_the_cell_and_a_kill_ends_it():
    for stop, code in ((lambda job: job.interrupt(), 130), (lambda job: job.kill(), 137)):
        job = Here(1).start([*words("--seconds", "60"), "--overwrite"], Path("a.log"))
        while not Path("runs/a/b/run.json").exists():
            assert job.poll() is None, Path("a.log").read_text()
            time.sleep(0.05)
        stop(job)
        assert ended(job) == code
        Path("runs/a/b/run.json").unlink()


def test_a_cell_ends_with_a_killed_study():
    code = (
        "import time; from pathlib import Path; from toolkit_common.study.executors import Here;"
        f"job = Here(1).start({words('--seconds', '60')}, Path('a.log'));"
        "print(job._process.pid, flush=True); time.sleep(60)"
    )
    runner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert runner.stdout is not None
    cell = int(runner.stdout.readline())
    while not Path("runs/a/b/run.json").exists():
        time.sleep(0.05)
    os.kill(runner.pid, signal.SIGKILL)
    runner.wait()
    runner.stdout.close()
    assert wait_for_end([cell])


def test_jobs_of_a_cluster_run_cells():
    cluster = Cluster(Path("slurm").absolute(), {"timeout_min": 5}, cluster="local")
    good = cluster.start(words(), Path("good.log"))
    bad = cluster.start(["toy", "train", "--fails", "--output", "runs/a/c"], Path("bad.log"))
    assert (ended(good), ended(bad)) == (0, 2)
    assert Path("runs/a/b/DONE").exists()
    assert Path("bad.log").read_text().splitlines()[-2:] == [
        "error: the loss diverged", "# exit code 2",
    ]  # fmt: skip


def test_a_log_is_read_from_where_a_job_began():
    class Over:
        def done(self) -> bool:
            return True

    log = Path("a.log")
    log.write_text("# exit code 0\n")
    job = _ClusterJob(Over(), log, log.stat().st_size)
    assert job.poll() == 137
    for text, code in (("$ toolkit toy\n", 137), ("7\n", 137), ("# exit code 3\n", 3)):
        with log.open("a") as file:
            file.write(text)
        assert job.poll() == code


def test_what_a_cluster_cannot_be_asked_is_refused(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(InputError, match=r"--slurm: .*nodez"):
        Cluster(Path("slurm"), {"nodez": 1}, cluster="local")
    with pytest.raises(InputError, match=r"--executor slurm: .*run it where jobs are submitted"):
        Cluster(Path("slurm"), {})
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(InputError, match=r"pip install 'toolkit-common\[slurm\]'"):
        Cluster(Path("slurm"), {})


def test_a_call_notes_its_exit_code():
    assert call(["toy", "train", "--fails"], Path("a.log"), Path.cwd()) == 2
    assert Path("a.log").read_text().endswith("# exit code 2\n")
