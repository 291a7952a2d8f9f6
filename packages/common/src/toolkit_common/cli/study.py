"""`toolkit study`: a grid of commands from a file, carried out, resumed, and put in a table."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from toolkit_common.cli.app import plugin_group, say_next
from toolkit_common.errors import InputError
from toolkit_common.printable import counted, one_line, printable, shell_line

if TYPE_CHECKING:
    from toolkit_common.study.file import Study
    from toolkit_common.study.grid import Cell
    from toolkit_common.study.state import Status

app = typer.Typer(
    cls=plugin_group("study"),
    add_completion=False,
    no_args_is_help=True,
    help="Carry out a grid of commands with what they need from one another, and tabulate it.",
)

File = Annotated[
    Path, typer.Argument(metavar="FILE", help="Study file (YAML), or the folder of its runs.")
]
Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUE", help="A parameter of the file; \\[a, b] is a list."
    ),
]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Folder of the study's runs.", show_default="runs/NAME"),
]
LONGEST_SAID = 5  # cells that failed, one a line


@app.callback()
def _study() -> None: ...


@app.command()
def plan(file: File, assignments: Assignments = None, output: Output = None) -> None:
    """Print the commands of a study's cells, one a line, in an order in which they can be run.

    What is done stands behind a #; the rest can be pasted, or piped to sh. Every command's options
    are checked; no data are read.

    Examples:
        toolkit study plan studies/slimp-ablation.yaml
        toolkit study plan FILE --set data=csv:lesions.csv --set folds=5
    """
    from toolkit_common.study.state import State

    study, cells, folder = expanded(file, assignments, output)
    statuses = print_plan(study, cells, folder)
    if all(status.state is State.DONE for status in statuses.values()):
        _say_how_to_read(study, cells, folder)
    else:
        given = [word for text in assignments or () for word in ("--set", text)]
        given += [] if output is None else ["--output", str(output)]
        say_next("study", "run", str(file), *given)


def print_plan(study: "Study", cells: Sequence["Cell"], folder: Path) -> dict[str, "Status"]:
    """Print the commands of cells, and how far they are; returns that by cell."""
    from toolkit_common.study.run import call_of
    from toolkit_common.study.state import State

    statuses = _look(cells)
    for cell in cells:
        status = statuses[cell.id]
        line = shell_line(["toolkit", *call_of(cell, status)])
        if status.state is State.DONE:
            line = f"# done: {line}"
        elif status.state is State.OTHER:
            line = f"# of other settings, {status.why}: {line}"
        typer.echo(printable(line))
    typer.echo(printable(_summary(study, cells, statuses, folder=folder)), err=True)
    return statuses


@app.command()
def run(
    file: File,
    assignments: Assignments = None,
    output: Output = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Cells at once.")] = 1,
    executor: Annotated[
        Literal["here", "slurm"],
        typer.Option(help="Where cells run: in processes here, or as jobs of a Slurm cluster."),
    ] = "here",
    slurm: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="What jobs ask for, as submitit names it: timeout_min=60, gpus_per_node=1, "
            "slurm_partition=NAME.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Run cells of other settings anew.")
    ] = False,
) -> None:
    """Carry out what a study has to do, and print its table.

    Every command's options are checked before the first one runs. What is done is not run again,
    what was cut short is resumed; a cell that fails takes those along that need it, and no other.

    Examples:
        toolkit study run studies/slimp-ablation.yaml --jobs 4
        toolkit study run FILE --set data=csv:lesions.csv --output runs/mine
        toolkit study run FILE --executor slurm --jobs 50 --slurm timeout_min=60
    """
    from toolkit_common.runs.files import refuse_unwritable
    from toolkit_common.runs.locks import lock_folder, unlock_folder
    from toolkit_common.study.run import refuse_other_settings, run_cells

    study, cells, folder = expanded(file, assignments, output)
    if slurm and executor != "slurm":
        raise InputError("--slurm needs --executor slurm")
    refuse_unwritable(folder, option="--output")
    folder.mkdir(parents=True, exist_ok=True)
    lock_folder(folder, what="study")
    try:
        statuses = _look(cells)
        refuse_other_settings(statuses, overwrite=overwrite)
        study.keep(folder)
        typer.echo(printable(_summary(study, cells, statuses, folder=folder)), err=True)
        where = _executor(executor, folder, jobs=jobs, parameters=slurm or [])
        outcome = run_cells(cells, statuses, folder, executor=where, jobs=jobs)
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt("interrupted: the same command goes on") from error
    finally:
        unlock_folder(folder)
    if study.tables:
        _show_tables(study, cells, name=None, form="text")
    _say_failed(outcome)
    _say_how_to_read(study, cells, folder)
    if outcome.failed:
        raise typer.Exit(1)


@app.command("table")
def show(
    file: File,
    name: Annotated[str | None, typer.Argument(help="Which table, of a file with several.")] = None,
    assignments: Assignments = None,
    output: Output = None,
    form: Annotated[
        Literal["text", "md", "csv", "json"], typer.Option("--format", help="How it is printed.")
    ] = "text",
) -> None:
    """Print a study's table: means over folds with intervals, and differences fold by fold.

    What is not there is shown as missing. Every figure says how it was selected.

    Examples:
        toolkit study table runs/slimp-ablation
        toolkit study table runs/slimp-ablation --format md
    """
    study, cells, folder = expanded(file, assignments, output)
    _show_tables(study, cells, name=name, form=form)
    if form == "text":
        _say_how_to_read(study, cells, folder, is_shown=True)


def _show_tables(study: "Study", cells: Sequence["Cell"], *, name: str | None, form: str) -> None:
    from toolkit_common.console import result_console
    from toolkit_common.study.show import show_table, to_csv, to_json, to_markdown
    from toolkit_common.study.table import build_table, pick_tables

    statuses = _look(cells)
    tables = {
        each: build_table(study, each, cells, statuses=statuses)
        for each in pick_tables(study, name, cells)
    }
    if not tables:
        raise InputError(f"{study.document.path} has no table")
    if form == "csv" and len(tables) > 1:
        raise InputError(f"CSV holds one table, name one of: {', '.join(tables)}")
    if form == "json":
        shown: Any = {each: to_json(study, table) for each, table in tables.items()}
        typer.echo(json.dumps(shown.get("", shown), indent=2, allow_nan=False))
    elif form == "text":
        for table in tables.values():
            show_table(study, table, result_console(as_json=False))
    else:
        texts = [to_csv(t) if form == "csv" else to_markdown(study, t) for t in tables.values()]
        typer.echo(printable("\n".join(texts)), nl=False)


def _say_how_to_read(
    study: "Study", cells: Sequence["Cell"], folder: Path, *, is_shown: bool = False
) -> None:
    """Say how the figures of what was run are read."""
    if study.tables and not is_shown:
        say_next("study", "table", str(folder), "--format", "md")
    if any(cell.command.name == "probe" for cell in cells):
        say_next("report", str(folder), "-o", "report.html")


def _say_failed(outcome: Any) -> None:
    failed, skipped = outcome.failed, outcome.skipped
    if not failed:
        return
    lost = f", {len(skipped)} skipped that need them" if skipped else ""
    typer.echo(f"{counted(len(failed), 'cell')} failed{lost}:", err=True)
    for name, why in list(failed.items())[:LONGEST_SAID]:
        typer.echo(one_line(f"  {name}: {why}"), err=True)
    if len(failed) > LONGEST_SAID:
        typer.echo(f"  and {len(failed) - LONGEST_SAID} more", err=True)


def expanded(
    file: Path, assignments: Sequence[str] | None, output: Path | None
) -> tuple["Study", list["Cell"], Path]:
    """Return a study, its cells, and the folder of its runs."""
    from toolkit_common.study.commands import find_command
    from toolkit_common.study.file import read_study
    from toolkit_common.study.grid import expand
    from toolkit_common.study.table import check_table

    study = read_study(file, tuple(assignments or ()))
    if output is None:
        output = file if file.is_dir() else Path("runs") / study.spec.name
    cells = expand(study, output, find_command)
    for name in study.tables:
        check_table(study, name, cells)
    return study, cells, output


def _look(cells: Sequence["Cell"]) -> dict[str, "Status"]:
    from toolkit_common.study.state import look_at

    return look_at(cells)


def _summary(
    study: "Study", cells: Sequence["Cell"], statuses: dict[str, "Status"], *, folder: Path
) -> str:
    """Return a line on how much there is, what is done, and how long the rest may take."""
    from toolkit_common.study.state import State

    counts = Counter(statuses[cell.id].state for cell in cells)
    parts = [f"{counts[state]} {state.value}" for state in State if counts[state]]
    line = f"study {study.spec.name} in {folder}: {counted(len(cells), 'cell')}, {', '.join(parts)}"
    known: dict[str, list[float]] = {}
    for cell in cells:
        if (seconds := statuses[cell.id].seconds) is not None:
            known.setdefault(cell.step, []).append(seconds)
    left = [cell.step for cell in cells if statuses[cell.id].state is not State.DONE]
    if left and set(left) <= set(known):
        total = sum(sum(known[step]) / len(known[step]) for step in left)
        line += f"; about {total / 60:.0f} minutes one after the other, as those that are done"
    return line


def _executor(name: str, folder: Path, *, jobs: int, parameters: Sequence[str]) -> Any:
    from toolkit_common.foreign.plain_yaml import read_value
    from toolkit_common.study.executors import Cluster, Here

    if name == "here":
        return Here(jobs)
    given = {}
    for text in parameters:
        key, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"--slurm wants KEY=VALUE, got {text!r}")
        given[key] = read_value(value, f"--slurm {key}")
    return Cluster(folder / "slurm", given)
