"""Every command's `--help` ends with examples that fit a terminal, and that the command takes.

A command gets them from the section "Examples:" of its docstring (`toolkit_common.cli.app`).
"""

import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from toolkit_common.cli import command as commands
from toolkit_common.cli.app import app

MOST = 3
COLUMNS = 80
ROOT_COMMAND = get_command(app)


def leaves(group: Any, *words: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command that is no group, with the words that lead to it."""
    context = group.make_context("toolkit", [], resilient_parsing=True)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if hasattr(command, "list_commands"):
            yield from leaves(command, *words, name)
        else:
            yield (*words, name), command


COMMANDS = dict(leaves(ROOT_COMMAND))
EACH = pytest.mark.parametrize("words", COMMANDS, ids=" ".join)


def examples(words: tuple[str, ...]) -> list[str]:
    """Return the examples of a command."""
    title, *lines = (COMMANDS[words].epilog or "none").split("\n\n")
    assert title == "Examples:", f"end the docstring of toolkit {' '.join(words)} with Examples:"
    return lines


def test_the_walk_meets_commands_and_those_of_groups() -> None:
    assert {("probe",), ("data", "make"), ("data", "schema"), ("pretrain", "slimp")} <= {*COMMANDS}


@EACH
def test_a_command_has_one_to_three_examples_of_itself(words: tuple[str, ...]) -> None:
    lines = examples(words)
    assert 1 <= len(lines) <= MOST
    starts = [shlex.split(line)[: len(words) + 1] for line in lines]
    assert starts == [["toolkit", *words]] * len(lines)


@EACH
def test_the_examples_of_a_command_parse(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Options and arguments by the command line; of a run also every setting's name and value."""
    acts: list[Any] = []
    monkeypatch.setattr(commands, "_carry_out", lambda act, call: acts.append(call))
    command = COMMANDS[words]
    lines = examples(words)
    for line in lines:
        context = command.make_context("toolkit", shlex.split(line)[len(words) + 1 :])
        if is_run(command):
            command.invoke(context)
    assert len(acts) == (len(lines) if is_run(command) else 0)


def is_run(command: Any) -> bool:
    return bool(command.callback.__wrapped__.__qualname__.startswith("run_command."))


@EACH
def test_help_shows_each_example_on_a_line_of_80_columns(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    result = CliRunner().invoke(app, [*words, "--help"], prog_name="toolkit")
    assert result.exit_code == 0, result.output
    shown = [line.strip() for line in result.output.splitlines()]
    at = shown.index("Examples:")
    assert [line for line in shown[at + 1 :] if line] == examples(words)
    assert "Examples:" not in shown[:at]
