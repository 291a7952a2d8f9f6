"""`toolkit report RUN` of a pre-training run: its table on stdout, its page where one is wanted."""

import json
from pathlib import Path

import typer
from rich.console import Console

from toolkit_common.console import Column, print_columns, result_console
from toolkit_common.printable import one_line, shell_line
from toolkit_slimp.reports.finished import PretrainRun, read_finished
from toolkit_slimp.reports.formats import (
    FORMATS,
    claim_of,
    heads,
    table_rows,
    to_json,
    warnings_of,
)

CHANCE = "by chance"  # heading of what stands beside the recall that it is of


def report(run: Path, *, output: Path | None, table: str, as_json: bool) -> None:
    """Print a run's recalls against chance, and write its page.

    Args:
        run: The run's folder.
        output: Page to write, if one is wanted.
        table: What stdout gets, see `toolkit report --format`.
        as_json: Print JSON.

    Raises:
        InputError: If the run is not done, or damaged.
    """
    finished = read_finished(run)
    if output is not None:
        from toolkit_slimp.reports.page import write_html  # its figures take long to import

        write_html(output, finished)
    if table in FORMATS:
        typer.echo(FORMATS[table](finished), nl=False)
    elif as_json:
        typer.echo(json.dumps(to_json(finished), indent=2, allow_nan=False))
    else:
        out = result_console(as_json=False)
        show_finished(finished, out)
        out.print(f"next: {shell_line(finished.judged_by)}", soft_wrap=True)
    if output is not None:
        typer.echo(one_line(f"report: {output}"), err=True)


def show_finished(run: PretrainRun, out: Console) -> None:
    """Print what a run has learned: the sentence, what forbids to believe it, and its recalls."""
    for text in (claim_of(run), *warnings_of(run)):
        out.print(text, soft_wrap=True)
    if rows := table_rows(run):  # none of SimCLR alone
        names = [CHANCE if text.endswith(CHANCE) else text for text in heads()]
        name, *figures = map(Column, names, zip(*rows, strict=True))
        out.print()
        print_columns(out, [name], figures)
        out.print(f"\n95 % intervals by bootstrap over {run.people}", soft_wrap=True)
