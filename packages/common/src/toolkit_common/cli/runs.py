"""`toolkit runs`: which runs there are, and what of them can go."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolkit_common.cli.app import plugin_group
from toolkit_common.cli.cache import Yes, age, confirm
from toolkit_common.errors import InputError
from toolkit_common.printable import counted, placeless_id, shell_line

if TYPE_CHECKING:
    from toolkit_common.runs.listing import ListedRun

app = typer.Typer(
    cls=plugin_group("runs"),  # which shows examples
    add_completion=False,
    no_args_is_help=True,
    help="List and remove runs.",
)


@app.callback()
def _runs() -> None: ...


@app.command()
def ls(
    folder: Annotated[Path, typer.Argument(help="Folder of runs.")] = Path("runs"),
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """List runs: what they judge or train, whether they have ended, size, age, best figure.

    The best row is the one of highest balanced accuracy on the test split: to find a run again, not
    to choose among its rows. A run whose files are damaged is named and left out.

    Examples:
        toolkit runs ls
        toolkit runs ls runs/old --json
    """
    from toolkit_common.features.planner import size
    from toolkit_common.runs.listing import look_at_run

    runs = [look_at_run(path) for path in _whole_runs(folder)]
    if as_json:
        typer.echo(json.dumps([run.to_json() for run in runs], indent=2))
        return
    if runs:
        _print(_table(runs, root=folder))
    spare = sum(run.checkpoint_bytes for run in runs if run.state == "done")
    total = size(sum(run.num_bytes for run in runs))
    count = counted(len(runs), "run")
    _print(f"{count} in {folder}, {total}" if runs else f"no run in {folder}")
    if spare:
        _print(f"checkpoints of finished runs: {size(spare)} (toolkit runs rm --checkpoints RUN)")


@app.command()
def rm(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders.")],
    *,
    checkpoints: Annotated[
        bool,
        typer.Option("--checkpoints", help="Remove the checkpoints of finished runs alone."),
    ] = False,
    yes: Yes = False,
) -> None:
    """Remove runs, or the checkpoints of finished ones; never a running one or any other folder.

    Examples:
        toolkit runs rm runs/probe-1 runs/probe-2
        toolkit runs rm --checkpoints runs/derm
    """
    from toolkit_common.features.planner import size
    from toolkit_common.runs.listing import look_at_run

    for folder in folders:  # all before the first goes
        _refuse(folder, checkpoints=checkpoints)
    runs = [look_at_run(folder) for folder in dict.fromkeys(folders)]
    sizes = [run.checkpoint_bytes if checkpoints else run.num_bytes for run in runs]
    if checkpoints and not sum(sizes):
        _print("these runs have no checkpoints")
        return
    what = "checkpoints of " if checkpoints else ""
    for run, num_bytes in zip(runs, sizes, strict=True):
        _print(f"{what}{run.path}  {run.kind}, {run.state}, {size(num_bytes)}")
    confirm(f"remove these, {size(sum(sizes))}?", yes=yes)
    for run in runs:
        _remove(run.path, checkpoints=checkpoints)
    _print(f"removed {len(runs)}, {size(sum(sizes))}")


def _whole_runs(folder: Path) -> Iterator[Path]:
    """Yield the runs in a folder; those that are damaged are named."""
    from toolkit_common.console import console
    from toolkit_common.runs.listing import damage_of, damage_of_folds, find_run_folders

    for path in find_run_folders(folder):
        if message := damage_of(path):
            console.print(f"left out: {message}", style="bold red", markup=False)
            continue
        for message in damage_of_folds(path):
            console.print(f"a fold of {path}: {message}", style="bold red", markup=False)
        yield path


def _refuse(folder: Path, *, checkpoints: bool) -> None:
    """Refuse what is no run folder, is being written, or would be missed."""
    from toolkit_common.runs.facts import is_run, read_facts
    from toolkit_common.runs.listing import state_of, whole_of

    if not is_run(folder) or folder.is_symlink():
        raise InputError(
            f"{folder} is no run folder (one with run.json): name each run, as toolkit runs ls "
            "lists them; nothing was removed"
        )
    try:
        read_facts(folder)
    except InputError as error:
        remedy = shell_line(["rm", "-r", "--", str(folder)])
        raise InputError(
            f"{error}: if {folder} was a run, delete it by {remedy}; nothing was removed"
        ) from None
    if (whole := whole_of(folder)) is not None:
        raise InputError(f"{folder} is a fold of {whole}: name that; nothing was removed")
    state = state_of(folder)
    if state == "running":
        raise InputError(f"{folder} is being written by a running process; nothing was removed")
    if checkpoints and state == "interrupted":
        raise InputError(
            f"{folder} has not ended, and --resume goes on from its checkpoints: remove the run "
            "whole, or let it end; nothing was removed"
        )


def _remove(folder: Path, *, checkpoints: bool) -> None:
    from toolkit_common.cli.cache import remove_folder
    from toolkit_common.runs.folder import RunFolder
    from toolkit_common.runs.listing import with_folds
    from toolkit_common.runs.locks import lock_folder, unlock_folder

    lock_folder(folder)  # nobody resumes it meanwhile
    try:
        if not checkpoints:
            remove_folder(folder)
            return
        for path in with_folds(folder):
            RunFolder(path).drop_checkpoints()
    finally:
        unlock_folder(folder)


def _table(runs: "Sequence[ListedRun]", *, root: Path) -> Any:
    from toolkit_common.console import Ids, plain_table
    from toolkit_common.features.planner import size

    table = plain_table()
    table.add_column("run", overflow="fold")
    table.add_column("encoder, data", overflow="fold")
    for heading in ("state", "size, age"):
        table.add_column(heading, no_wrap=True)
    table.add_column("best row", overflow="fold")
    for run in runs:
        name = str(run.path.relative_to(root)) if run.path != root else str(run.path)
        table.add_row(
            f"{name}\n{run.kind}",
            Ids([placeless_id(item) for item in (run.backbone, run.data)]),
            _state(run),
            f"{size(run.num_bytes)}\n{age(run.changed)}",
            _figure(run),
        )
    return table


def _state(run: "ListedRun") -> str:
    if run.folds is None:
        return run.state
    done, number = run.folds
    return f"{run.state}\n{done}/{number} folds"


def _figure(run: "ListedRun") -> Any:
    from toolkit_common.console import Ids
    from toolkit_common.seen.check import mark

    if run.figure is None:
        return ""
    figure = mark(f"{run.figure:.3f}", run.seen, between=" ")  # type: ignore[arg-type]
    return Ids([f"{figure} {run.metric}", *filter(None, [run.row])])


def _print(what: Any) -> None:
    from toolkit_common.console import result_console

    # Names of the user's files may hold brackets.
    result_console(as_json=False).print(what, soft_wrap=isinstance(what, str), markup=False)
