"""The commands: what stands on stdout, what a newcomer types, what is light."""

import json
import subprocess
import sys
from pkgutil import iter_modules

import pytest

from toolkit_probing import cli


@pytest.mark.slow
def test_json_is_all_there_is_on_stdout(probe):
    result = probe("--method", "linear", "--json")
    assert json.loads(result.stdout)["rows"][0]["method"] == "linear"
    assert "run folder" in result.stderr


@pytest.mark.slow
def test_the_first_command_a_newcomer_types_works_offline(run_cli):
    result = run_cli("probe", "--epochs", "1", "--method", "linear", "--set", "lr=[0.01]")
    assert result.exit_code == 0, result.output
    assert "no --backbone was given" in result.stderr
    assert "runs/probe-1" in result.stdout


@pytest.mark.slow
def test_the_commands_are_there_without_torch():
    names = [f"toolkit_probing.cli.{module.name}" for module in iter_modules(cli.__path__)]
    assert len(names) > 5
    code = f"import sys, {', '.join(names)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
