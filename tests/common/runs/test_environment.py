"""Versions, commit and machine as run.json records them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from toolkit_common.runs.environment import cpu_name, environment


def test_the_processor_is_named() -> None:
    assert cpu_name()


def test_without_git_the_commit_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert environment()["commit"] is None


def commit_of(site: Path) -> str:
    """Return what the code in a folder takes for its commit."""
    code = "from toolkit_common.runs.environment import _git_commit; print(_git_commit())"
    command = [sys.executable, "-c", code]
    variables = os.environ | {"PYTHONPATH": str(site)}
    return subprocess.check_output(command, text=True, env=variables).strip()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_commit_is_that_of_the_code_and_not_of_a_checkout_around_it(tmp_path: Path) -> None:
    def git(*args: str) -> str:
        options = ("-c", "user.name=a", "-c", "user.email=a", "-c", "core.hooksPath=/dev/null")
        return subprocess.check_output(["git", *options, *args], text=True).strip()

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "a thesis")
    package = Path(sys.modules["toolkit_common"].__file__ or "").parent
    shutil.copytree(package, "site/toolkit_common", ignore=shutil.ignore_patterns("data"))
    assert commit_of(tmp_path / "site") == "None"
    git("add", "site")
    git("commit", "-q", "-m", "the code")
    assert commit_of(tmp_path / "site") == git("rev-parse", "--short=12", "HEAD")
    Path("site/toolkit_common/seed.py").write_text("")
    assert commit_of(tmp_path / "site").endswith("-dirty")
