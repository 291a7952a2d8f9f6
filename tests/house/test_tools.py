"""The rules of the house that tools check: style and types, over the whole repository."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec

import pytest

from helpers.repository import ROOT


def run(*command: str) -> None:
    """Run a tool over the repository; what it says is the test's message."""
    if find_spec(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed: pip install -r requirements-dev.txt")
    arguments = [sys.executable, "-m", *command]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.fail(done.stdout + done.stderr, pytrace=False)


@pytest.mark.slow
def test_the_code_keeps_the_rules_of_style() -> None:
    run("ruff", "check", ".")


@pytest.mark.slow
def test_the_code_is_formatted() -> None:
    run("ruff", "format", "--check", ".")


@pytest.mark.slow  # 25 s without mypy's cache
def test_the_types_hold() -> None:
    run("mypy")


@pytest.mark.parametrize("target", ["demo", "bench-slimp-ablation"])
def test_make_runs_studies_on_all_cores(target: str) -> None:
    shown = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True)
    jobs = re.search(r"--jobs (\$\(.*?\))", shown.stdout)
    assert jobs is not None, shown.stdout + shown.stderr
    bare = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    one = {**bare, "OMP_NUM_THREADS": "1"}  # as the Makefile exports it
    cores = [
        subprocess.run(["sh", "-c", f"echo {command}"], env=env, capture_output=True, check=True)
        for command, env in ((jobs[1], one), ("$(nproc)", bare))
    ]
    assert cores[0].stdout == cores[1].stdout
