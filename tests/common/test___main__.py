"""The command begins: it is a module too, and hears interrupts before it imports anything large."""

import subprocess
import sys

import pytest


def test_the_module_is_the_command() -> None:
    command = [sys.executable, "-m", "toolkit_common", "--version"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "toolkit 0.1.0\n")


@pytest.mark.slow
@pytest.mark.parametrize("module", ["typer", "rich", "pydantic"])
def test_an_interrupt_before_a_command_begins_is_one_line(module: str) -> None:
    code = f"""
import os, signal, sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r} and sys.modules.get("toolkit_common.cli.app"):
            os.kill(os.getpid(), signal.SIGTERM)

sys.meta_path.insert(0, Interrupting())
from toolkit_common.__main__ import main

main()
"""
    command = [sys.executable, "-c", code, "doctor", *(["--help"] if module == "rich" else [])]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


@pytest.mark.slow
def test_an_interrupt_that_an_import_swallowed_is_not_forgotten() -> None:
    code = """
import os, signal, sys

class Swallowing:
    def find_spec(self, name, path=None, target=None):
        if name == "typer" and sys.modules.get("toolkit_common.cli.app"):
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            except KeyboardInterrupt:
                pass
        if name == "torch":  # of the command itself, later
            raise ImportError("in pieces")

sys.meta_path.insert(0, Swallowing())
from toolkit_common.__main__ import main

main()
"""
    command = [sys.executable, "-c", code, "backbones", "list"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")
