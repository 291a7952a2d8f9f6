"""`toolkit report --leaderboard`: from run folders, or a study's, to tables and files."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import typer

from toolkit_common.console import result_console
from toolkit_common.errors import InputError
from toolkit_common.study.commands import find_command
from toolkit_common.study.file import KEPT, read_study
from toolkit_common.study.grid import expand
from toolkit_common.study.state import State, look_at
from toolkit_probing.leaderboard.block import out_of_date, read_block, write_block
from toolkit_probing.leaderboard.boards import Board, build_boards
from toolkit_probing.leaderboard.settings import LeaderboardSettings
from toolkit_probing.leaderboard.show import FORMATS, show_boards, to_json, to_markdown
from toolkit_probing.published.rows import read_published
from toolkit_probing.results.saved import find_runs

MOST_NAMED = 5  # cells


def show_leaderboard(
    paths: Sequence[Path],
    settings: LeaderboardSettings,
    *,
    metrics: Sequence[str],
    form: str,
) -> int:
    """Print the leaderboards of some runs, or keep those in a file; returns the exit code.

    Args:
        paths: Run folders, folders of them, or a study's.
        settings: Which file, and whether it is only looked at.
        metrics: Which metrics; none for the usual one.
        form: How they are printed.

    Raises:
        InputError: If there are no runs, a metric is unknown, or the file lacks its markers.
    """
    if settings.into is not None:
        read_block(settings.into)  # before runs are read
    boards = build_boards(find_runs(paths), metrics=metrics, published=[read_published()])
    missing = [line for path in paths for line in _missing(path)]
    if settings.into is not None:
        table = _with_missing(boards, missing)
        return _keep(settings.into, table, check=settings.check)
    if form == "json":
        typer.echo(json.dumps({"boards": to_json(boards), "missing": missing}, indent=2,
                              allow_nan=False))  # fmt: skip
    elif form == "md":
        typer.echo(_with_missing(boards, missing), nl=False)
    elif form in FORMATS:
        typer.echo(FORMATS[form](boards), nl=False)
    else:
        show_boards(boards, result_console(as_json=False))
    if form not in ("json", "md"):
        for line in missing:
            typer.echo(line, err=form != "table")
    return 0


def _keep(path: Path, table: str, *, check: bool) -> int:
    if check:
        stale = out_of_date(path, table)
        typer.echo(stale or f"{path}: the leaderboard is up to date", err=bool(stale))
        return 1 if stale else 0
    changed = write_block(path, table)
    typer.echo(f"leaderboard: {path}{'' if changed else ' (it was up to date)'}", err=True)
    return 0


def _with_missing(boards: Sequence[Board], missing: Sequence[str]) -> str:
    lines = "".join(f"**{line}**\n\n" for line in missing)
    return f"{lines}{to_markdown(boards)}"


def _missing(path: Path) -> Iterator[str]:
    """Yield a line on the cells of a study that are not in its leaderboard."""
    if not (path / KEPT).is_file():
        return
    study = read_study(path)
    try:
        cells = expand(study, path, find_command)
    except InputError as error:  # of an encoder that has gone, say: the runs are there all the same
        yield f"MISSING: which cells of {path} are done is not known: {error}"
        return
    states = look_at(cells)
    names = [
        f"{cell.id} ({states[cell.id].state.value})"
        for cell in cells
        if states[cell.id].state is not State.DONE
    ]
    if names:
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        yield (
            f"MISSING: {len(names)} of {len(cells)} cells of {path.name}: "
            f"{', '.join(names[:MOST_NAMED])}{more}"
        )
