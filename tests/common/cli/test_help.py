"""Help is read in a terminal of 80 columns."""

import re

import pytest

from toolkit_common.cli.help import shape_help_

CUT = re.compile(r"--[a-z-]+…")


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", ["probe", "pretrain slimp", "extrapolate slimp", "study run", "features"]
)
def test_no_option_is_cut_at_80_columns(run_cli, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "80")
    shown = run_cli(*command.split(), "--help").stdout
    assert max(map(len, shown.splitlines())) <= 80
    assert CUT.findall(shown) == []
    assert "Examples:" in shown.split("╰")[-1]  # behind all options


def test_a_command_is_shaped_once():
    class Command:
        help = "Do it.\n\nExamples:\n  toolkit do it\n"
        epilog = None

        def format_help(self, ctx, formatter):
            pass

    command = Command()
    shape_help_(command)
    shaped = command.format_help
    shape_help_(command)
    assert command.format_help is shaped
    assert (command.help, command.epilog) == ("Do it.", "Examples:\n\ntoolkit do it")
