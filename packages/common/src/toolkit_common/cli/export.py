"""`toolkit export`: what others are to use, in formats that need no toolkit.

What a probe run exports is known by the package that made it: it installs a function in the
entry-point group `toolkit.exports`, so that this package need not know it.
"""

import json
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import typer

from toolkit_common.cli.app import EXIT_FAILED
from toolkit_common.errors import InputError
from toolkit_common.printable import printable

GROUP = "toolkit.exports"
ONNX = "onnx"

app = typer.Typer(add_completion=False)


@app.command()
def export(
    run: Annotated[Path, typer.Option("--from", metavar="RUN", help="Finished probe run.")],
    onnx: Annotated[
        Path, typer.Option("--onnx", metavar="FILE", help="ONNX file of a probe with its encoder.")
    ],
    row: Annotated[
        str | None,
        typer.Option(
            "--row",
            help="Row of results.json, or a head's file in RUN/heads, or how it begins.",
            show_default="EP's first row, else the first",
        ),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option("--backbone", "-b", help="Where the run's encoder lies now, if elsewhere."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """Write a trained probe with its encoder as one ONNX graph, and check it with onnxruntime.

    The graph takes normalised images and gives probabilities and logits. What it computes is
    compared before it is kept; a JSON file beside it has classes, input and protocol.

    Examples:
        toolkit export --from runs/probe-1 --onnx probe.onnx
    """
    try:
        described = find_exporter(ONNX)(run, onnx, row=row, backbone=backbone)
    except RuntimeError as error:
        typer.echo(printable(f"error: {' '.join(str(error).split())[:500]}"), err=True)
        raise typer.Exit(EXIT_FAILED) from error
    if as_json:
        typer.echo(json.dumps(described, indent=2, allow_nan=False))


def find_exporter(name: str) -> Callable[..., Mapping[str, Any]]:
    """Return who exports what a command of another package made.

    Raises:
        InputError: If it is not installed.
    """
    points = {point.name: point for point in entry_points(group=GROUP)}
    if name not in points:
        raise InputError(f"--{name} exports probes: pip install toolkit-probing")
    exporter: Callable[..., Mapping[str, Any]] = points[name].load()
    return exporter
