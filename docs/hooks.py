"""Writes the page of commands from what `--help` knows, when the site is built."""

import html
from collections.abc import Iterator
from typing import Any

MARK = "<!-- commands -->"
LEVEL = "##"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put every command in the place of the mark (called by mkdocs for every page)."""
    return markdown.replace(MARK, "\n".join(_commands())) if MARK in markdown else markdown


def _commands() -> Iterator[str]:
    from typer.main import get_command

    from toolkit_common.cli.app import app

    for words, command in _leaves(get_command(app), "toolkit"):
        yield f"{LEVEL} {words}\n"
        yield f"{_text(command.help)}\n"
        if command.epilog:
            examples = [line for line in command.epilog.splitlines()[1:] if line]
            yield "\n".join(["```bash", *examples, "```\n"])
        yield from _table(command)


def _leaves(group: Any, words: str) -> Iterator[tuple[str, Any]]:
    context = group.make_context("toolkit", [], resilient_parsing=True)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if hasattr(command, "list_commands"):
            yield from _leaves(command, f"{words} {name}")
        else:
            yield f"{words} {name}", command


def _table(command: Any) -> Iterator[str]:
    """Yield the options of a command, a table a panel, in the order of its `--help`."""
    panels: dict[str, list[Any]] = {}
    for parameter in command.params:
        if not getattr(parameter, "hidden", False):
            panel = getattr(parameter, "rich_help_panel", None) or "Options"
            panels.setdefault(panel, []).append(parameter)
    for panel, parameters in panels.items():
        yield f"| {panel} | |\n|---|---|"
        for parameter in parameters:
            names = [*parameter.opts, *parameter.secondary_opts]
            shown = ", ".join(f"`{name}`" for name in names) if names else f"`{parameter.name}`"
            yield f"| {shown} | {_text(getattr(parameter, 'help', None))} |"
        yield ""


def _text(text: str | None) -> str:
    # What a help names may hold what a table or a page would take for its own.
    return html.escape(" ".join((text or "").split()), quote=False).replace("|", "\\|")
