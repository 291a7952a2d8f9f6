"""What a page becomes when the site is built: commands from `--help`, equations as MathML.

Equations are LaTeX in blocks of `math` and between dollars, which GitHub draws too; the site
needs no script for them.
"""

import html
import re
from collections.abc import Iterator
from typing import Any

MARK = "<!-- commands -->"
LEVEL = "##"
EQUATION = re.compile(r"^```math\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# Code, which is left alone, or an equation within a line.
INLINE = re.compile(r"(```.*?```|`[^`]*`)|\$([^$\n]+)\$", re.DOTALL)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put commands in the place of the mark, and draw equations (mkdocs calls it)."""
    if MARK in markdown:
        return markdown.replace(MARK, "\n".join(_commands()))
    return _with_equations(markdown) if EQUATION.search(markdown) else markdown


def _with_equations(markdown: str) -> str:
    from latex2mathml.converter import convert

    def block(found: re.Match[str]) -> str:
        # It may scroll sideways, which a keyboard must reach.
        return f'<div class="equation" tabindex="0">{convert(found[1], display="block")}</div>'

    drawn = EQUATION.sub(block, markdown)
    return INLINE.sub(lambda found: found[1] or convert(found[2]), drawn)


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
        yield f"| {panel} | what |\n|---|---|"
        for parameter in parameters:
            names = [*parameter.opts, *parameter.secondary_opts]
            shown = ", ".join(f"`{name}`" for name in names) if names else f"`{parameter.name}`"
            yield f"| {shown} | {_text(getattr(parameter, 'help', None))} |"
        yield ""


def _text(text: str | None) -> str:
    # What a help names may hold what a table or a page would take for its own.
    return html.escape(" ".join((text or "").split()), quote=False).replace("|", "\\|")
