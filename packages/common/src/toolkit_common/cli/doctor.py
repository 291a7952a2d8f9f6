"""`toolkit doctor`: is this installation sound?"""

import json
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """Check versions, torchvision's library, devices, threads, memory, disk and caches."""
    from toolkit_common.cli.health import examine

    findings = examine()
    if as_json:
        typer.echo(json.dumps([vars(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            typer.echo(f"{'ok  ' if finding.ok else 'BAD '} {finding.name:<12} {finding.value}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)
