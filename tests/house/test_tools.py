"""The rules of the house that tools check: style and types, over the whole repository."""

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
