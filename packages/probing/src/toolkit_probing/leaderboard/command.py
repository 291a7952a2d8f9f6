"""`toolkit report --leaderboard`: from run folders, or a study's, to tables and files."""

import json
from collections.abc import Sequence
from pathlib import Path

import typer

from toolkit_common.console import result_console
from toolkit_common.printable import one_line
from toolkit_probing.arms.find import find_arms
from toolkit_probing.leaderboard.block import out_of_date, read_block, write_block
from toolkit_probing.leaderboard.boards import OWN_METRIC, Board, build_boards
from toolkit_probing.leaderboard.page import write_page
from toolkit_probing.leaderboard.settings import LeaderboardSettings
from toolkit_probing.leaderboard.show import FORMATS, show_boards, to_json, to_markdown
from toolkit_probing.published.beside import PUBLISHED_METRIC
from toolkit_probing.published.rows import read_published


def show_leaderboard(
    paths: Sequence[Path],
    settings: LeaderboardSettings,
    *,
    metrics: Sequence[str],
    form: str,
    output: Path | None = None,
) -> int:
    """Print the leaderboards of some runs, or keep those in a file; returns the exit code.

    Args:
        paths: Run folders, folders of them, or a study's.
        settings: Which file, and whether it is only looked at.
        metrics: Which metrics; none for the usual one.
        form: How they are printed.
        output: Where their page goes, if there is to be one.

    Raises:
        InputError: If there are no runs, a metric is unknown, or the file lacks its markers.
    """
    if settings.into is not None:
        read_block(settings.into)  # before runs are read
    arms = find_arms(paths, metrics=tuple(metrics) or (PUBLISHED_METRIC, OWN_METRIC))
    boards = build_boards(arms.runs, metrics=metrics, published=[read_published()])
    missing = arms.missing
    if output is not None:
        write_page(output, boards, missing)
        typer.echo(one_line(f"leaderboard: {output}"), err=True)
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
    state = "" if changed else " (it was up to date)"
    typer.echo(one_line(f"leaderboard: {path}{state}"), err=True)
    return 0


def _with_missing(boards: Sequence[Board], missing: Sequence[str]) -> str:
    lines = "".join(f"**{line}**\n\n" for line in missing)
    return f"{lines}{to_markdown(boards)}"
