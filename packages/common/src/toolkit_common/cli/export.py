"""`toolkit export`: what others are to use, in formats that need no toolkit.

An encoder to publish is written by `toolkit_common.sharing`, whoever trained it. What a probe run
exports is known by the package that made it: it installs a function in the entry-point group
`toolkit.exports`, so that this package need not know it.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
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
    out: Annotated[
        Path | None,
        typer.Argument(help="New folder of an encoder, to publish.", show_default=False),
    ] = None,
    *,
    run: Annotated[
        Path,
        typer.Option(
            "--from",
            metavar="RUN",
            help="Finished run: a pre-training (or its encoder/) for OUT, a probe for --onnx.",
        ),
    ],
    onnx: Annotated[
        Path | None,
        typer.Option("--onnx", metavar="FILE", help="ONNX file of a probe with its encoder."),
    ] = None,
    keep_seen_hashes: Annotated[
        bool,
        typer.Option(
            "--keep-seen-hashes",
            help="Publish whom the encoder has seen, as digests under this site's secret; without "
            "them every figure elsewhere says SEEN?.",
        ),
    ] = False,
    probed: Annotated[
        list[Path] | None,
        typer.Option(
            "--probed",
            metavar="RUN",
            help="Finished probe of this encoder: its figures go into the model card. Repeatable.",
        ),
    ] = None,
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
    """Write an encoder to publish, or a trained probe as one ONNX graph.

    OUT is a folder that timm and the Hub read, too: weights, how they are read, a model card with
    the licences of all that the encoder was made of. It holds no ids, hashes, paths or values of
    the data. --onnx takes normalised images and gives probabilities and logits, compared with
    onnxruntime before the file is kept; a JSON file beside it has classes, input and protocol.

    Examples:
        toolkit export --from runs/derm derm-encoder --probed runs/probe-1
        toolkit export --from runs/probe-1 --onnx probe.onnx
    """
    of_probe = {"--row": row, "--backbone": backbone}
    of_encoder = {"--keep-seen-hashes": keep_seen_hashes, "--probed": probed}
    if (out is None) == (onnx is None):
        raise InputError(
            "give one of OUT, a new folder for an encoder to publish, and --onnx FILE, for a probe"
        )
    if onnx is not None:
        _refuse(of_encoder, "OUT, an encoder to publish")
        described = _export_onnx(run, onnx, row=row, backbone=backbone)
    else:
        assert out is not None
        _refuse(of_probe, "--onnx")
        described = _share(run, out, keep_hashes=keep_seen_hashes, probed=probed or ())
    if as_json:
        typer.echo(json.dumps(described, indent=2, allow_nan=False))


def _refuse(options: Mapping[str, Any], other: str) -> None:
    """Refuse options that belong to the other kind of export."""
    for name, value in options.items():
        if value:
            raise InputError(f"{name} is of {other}: drop it")


def _export_onnx(run: Path, onnx: Path, **options: Any) -> Mapping[str, Any]:
    try:
        return find_exporter(ONNX)(run, onnx, **options)
    except RuntimeError as error:
        typer.echo(printable(f"error: {' '.join(str(error).split())[:500]}"), err=True)
        raise typer.Exit(EXIT_FAILED) from error


def _share(run: Path, out: Path, **options: Any) -> Mapping[str, Any]:
    from toolkit_common.console import console
    from toolkit_common.sharing.share import share_encoder

    shared = share_encoder(run, out, **options)
    reader = "timm and the toolkit read it" if shared.has_timm else "the toolkit reads it"
    console.print(f"{out}: {', '.join(shared.files)}; {reader}", markup=False)
    for what, licence in shared.licences.items():
        console.print(f"licence: {what}: {licence}", markup=False)
    for what, source in shared.sources.items():
        console.print(f"source: {what}: {source}", markup=False)
    if shared.unknown:
        console.print(
            f"licence unknown of {len(shared.unknown)} of these: find it out before you publish, "
            "and write it into README.md",
            markup=False,
        )
    if not shared.has_hashes:
        console.print(
            "whom it has seen is not in it: figures elsewhere say SEEN? (--keep-seen-hashes "
            "publishes keyed digests)",
            markup=False,
        )
    return {**asdict(shared), "folder": str(shared.folder)}


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
