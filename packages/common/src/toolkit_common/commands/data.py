"""`toolkit data`: look at a data set before computing on it."""

import json
from typing import Annotated

import typer

from toolkit_common.cli import plugin_group

app = typer.Typer(
    cls=plugin_group("data"),  # other packages may add commands: `data.schema`
    add_completion=False,
    no_args_is_help=True,
    help="Describe data sets before computing on them.",
)

Identifier = Annotated[str, typer.Argument(help="Data set id, such as lesions or csv:FILE.")]


@app.callback()
def _data() -> None: ...


@app.command()
def describe(
    identifier: Identifier,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """Show rows, groups, splits, labels, missing values and the sheet's notes."""
    from toolkit_common.data.describe import describe_data, print_description
    from toolkit_common.data.load import load_data

    described = describe_data(load_data(identifier))
    if as_json:
        typer.echo(json.dumps(described, indent=2))
    else:
        print_description(described)
