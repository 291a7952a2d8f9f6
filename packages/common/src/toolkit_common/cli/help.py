"""How a command's help is shown: names of options whole, examples last.

Typer lays it out with rich and has no setting for either.
"""

from typing import Any

EXAMPLES = "\n\nExamples:\n"


def shape_help_(command: Any) -> None:
    """Show the section "Examples:" of a docstring below the options, and cut no option's name."""
    text, mark, examples = (command.help or "").partition(EXAMPLES)
    if mark:
        command.help = text.rstrip()
        # Single line breaks are joined, empty lines become line breaks.
        lines = [line.strip() for line in examples.splitlines()]
        command.epilog = "\n\n".join(["Examples:", *lines])
    if "format_help" not in vars(command):  # once, however often it is looked up
        command.format_help = _with_whole_names(command.format_help)


def _with_whole_names(show: Any) -> Any:
    def format_help(ctx: Any, formatter: Any) -> None:
        # Here, so that a command that runs does not wait for rich.
        from rich.table import Table
        from typer import rich_utils

        class Options(Table):
            """In a narrow terminal types and help give way, which fold; a name would be cut."""

            def add_row(self, *cells: Any, **how: Any) -> None:
                super().add_row(*cells, **how)
                for column in self.columns[:-2]:
                    column.no_wrap = True

        vars(rich_utils)["Table"] = Options
        show(ctx, formatter)

    return format_help
