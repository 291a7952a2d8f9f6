"""`toolkit reproduce`: a published row on the user's own weights and data, or its command."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toolkit_common.cli.app import say_next
from toolkit_common.cli.command import with_settings
from toolkit_common.errors import InputError
from toolkit_common.printable import one_line
from toolkit_probing.cli.arguments import AsJson, print_json
from toolkit_probing.published.settings import ReproduceSettings

if TYPE_CHECKING:
    from toolkit_probing.published.reproduction import Reproduction

app = typer.Typer(add_completion=False)


@app.command()
@with_settings(ReproduceSettings)
def reproduce(
    row: Annotated[
        str | None, typer.Argument(metavar="ROW", help="A published row; --list names them.")
    ] = None,
    run: Annotated[
        bool,
        typer.Option("--run/--print", help="Run it and judge the figures, or print its command."),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Folder of the run.", show_default="runs/reproduce/ROW"
        ),
    ] = None,
    list_rows: Annotated[bool, typer.Option("--list", help="List the published rows.")] = False,
    as_json: AsJson = False,
    *,
    settings: ReproduceSettings,
) -> None:
    """Measure a published ImageNet row of Efficient Probing on your weights: PASS or FAIL.

    The command is printed unless --run is given. Exit code 0 is PASS, 1 is FAIL.

    Examples:
        toolkit reproduce --list
        toolkit reproduce mae-vit-b-16 --data PATH
        toolkit reproduce ibot-vit-b-16 --weights ibot.pth --data PATH --run
    """
    from toolkit_probing.published.reproduction import reproduction_of
    from toolkit_probing.published.rows import FILE, read_published

    published = read_published(settings.rows or FILE)
    if list_rows:
        from toolkit_probing.published.listing import show_rows

        return show_rows(published, as_json=as_json)
    if row is None:
        raise InputError("which ROW? toolkit reproduce --list names them")
    reproduction, notes = reproduction_of(row, published, settings)
    for note in notes:
        typer.echo(note, err=True)
    if not run:
        return _print(reproduction, output, settings)
    return _run(reproduction, _folder(reproduction, output), settings=settings, as_json=as_json)


def _folder(reproduction: "Reproduction", output: Path | None) -> Path:
    return output or Path("runs/reproduce") / reproduction.name


def _print(reproduction: "Reproduction", output: Path | None, settings: ReproduceSettings) -> None:
    from toolkit_common.cli.study import expanded, print_plan
    from toolkit_probing.published.reproduction import STUDY

    print_plan(*expanded(STUDY, reproduction.assignments, _folder(reproduction, output)))
    options = {
        name: ",".join(value) if isinstance(value, tuple) else str(value)
        for name, field in ReproduceSettings.model_fields.items()
        if (value := getattr(settings, name)) != field.default
    }
    options.setdefault("data", "PATH")
    say_next("reproduce", reproduction.name, "--run", **options, output=str(output or ""))


def _run(
    reproduction: "Reproduction", folder: Path, *, settings: ReproduceSettings, as_json: bool
) -> None:
    from toolkit_common.cli import study
    from toolkit_common.console import result_console
    from toolkit_probing.published.reproduction import CELL, STUDY, refuse_other
    from toolkit_probing.published.verdict import judge, show_verdict
    from toolkit_probing.results.contents import read_results

    refuse_other(reproduction)
    typer.echo(one_line(f"log: {folder / 'logs' / CELL}.log"), err=True)
    study.run(STUDY, reproduction.assignments, folder, overwrite=settings.overwrite)
    results = read_results(folder / CELL)
    verdict = judge(results, reproduction, tolerance=settings.tolerance)
    show_verdict(verdict, reproduction, result_console(as_json=as_json))
    if as_json:
        print_json({"row": reproduction.name, **verdict.to_json()})
    if not verdict.has_passed:
        raise typer.Exit(1)
