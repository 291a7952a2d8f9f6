"""`toolkit backbones`: which encoders there are."""

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


@app.command()
def backbones(
    pattern: Annotated[
        str, typer.Argument(help="Part of a name, or a pattern: dinov2, vit_*16* (any case).")
    ] = "*",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
    inspect: Annotated[
        Path | None,
        typer.Option(help="Show what a weights file holds, and which timm model it fits."),
    ] = None,
) -> None:
    """List encoders by id; those of timm and open_clip with published weights.

    Examples:
        toolkit backbones dinov2
        toolkit backbones --inspect checkpoint.pth
    """
    if inspect is not None:
        from toolkit_common.backbones.weights.inspection import describe_file

        for line in describe_file(inspect):
            typer.echo(line)
        return
    from fnmatch import fnmatchcase

    from toolkit_common.torchvision_ops import prepare

    prepare()
    import open_clip
    import timm

    wanted = pattern if any(mark in pattern for mark in "*?[") else f"*{pattern}*"
    pairs = [f"{name}@{tag}" for name, tag in open_clip.list_pretrained()]
    names = [f"timm:{name}" for name in timm.list_pretrained()]
    names += [f"open_clip:{pair}" for pair in pairs]
    matches = [
        name for name in names if fnmatchcase(name.partition(":")[2].lower(), wanted.lower())
    ]
    if as_json:
        typer.echo(json.dumps(matches, indent=2))
        return
    for name in matches:
        typer.echo(name)
    typer.echo(
        f"{len(matches)} of {len(names)} encoders match {wanted!r}; weights come from the Hub's "
        "cache, or from a file with ?weights=FILE",
        err=True,
    )
