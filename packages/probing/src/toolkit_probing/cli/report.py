"""`toolkit report`: figures of finished runs, as a table, a page or a leaderboard."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from toolkit_common.cli.app import say_next
from toolkit_common.cli.command import with_settings
from toolkit_common.printable import one_line, printable
from toolkit_probing.cli.arguments import METRICS, AsJson, print_json, split_names
from toolkit_probing.leaderboard.settings import LeaderboardSettings

if TYPE_CHECKING:
    from toolkit_probing.reports.recomputed import Report

app = typer.Typer(add_completion=False)

REPORTED = "top1,balanced_accuracy,macro_f1,auroc,expected_calibration_error"
ReportFormat = Literal["table", "md", "csv", "json", "latex"]


def _rank(
    runs: list[Path],
    settings: LeaderboardSettings,
    *,
    metric: str,
    form: str,
    output: Path | None,
) -> int:
    from toolkit_probing.leaderboard.command import show_leaderboard

    metrics = [] if metric == REPORTED else split_names(metric)
    return show_leaderboard(runs, settings, metrics=metrics, form=form, output=output)


@app.command()
@with_settings(LeaderboardSettings)
def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...", help="Probe runs, or folders of them; or one pre-training run."
        ),
    ],
    metric: Annotated[
        str,
        typer.Option(help=f"{METRICS}; confusion (counts of true and predicted classes)."),
    ] = REPORTED,
    by: Annotated[
        str,
        typer.Option(
            "--by",
            metavar="COLUMN",
            help="Columns of the data set to look at subgroups of the test images; numbers with "
            "many values are cut into quarters.",
        ),
    ] = "",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write one HTML file: the answer, figures, tables."),
    ] = None,
    table: Annotated[
        ReportFormat,
        typer.Option("--format", help="What stdout gets; md and latex are tables to paste."),
    ] = "table",
    pictures: Annotated[
        bool,
        typer.Option(help="Show images in the page: of each class, and the worst mistakes."),
    ] = True,
    as_json: AsJson = False,
    *,
    settings: LeaderboardSettings,
) -> None:
    """Recompute metrics from saved predictions, for all test images and by subgroup.

    Examples:
        toolkit report runs/probe-1 --by gender
        toolkit report runs --metric auroc,balanced_accuracy --output report.html
        toolkit report runs/leaderboard --leaderboard --into README.md
    """
    from toolkit_common.errors import InputError
    from toolkit_common.extras import require_installed
    from toolkit_common.pages.reporters import find_reporter
    from toolkit_common.runs.files import refuse_no_file
    from toolkit_probing.reports.recomputed import build_report

    if as_json and table not in ("table", "json"):
        raise InputError(f"--json and --format {table} exclude each other: give one of them")
    as_json = as_json or table == "json"
    if settings.leaderboard and by:
        raise InputError("--by is of the report: leave it out of --leaderboard")
    if output is not None:
        purpose, package = "report --output", "toolkit-probing"
        require_installed("vl_convert", extra="plots", purpose=purpose, package=package)
        refuse_no_file(output, ".html")
    if settings.leaderboard:
        form = "json" if as_json else table
        raise typer.Exit(_rank(runs, settings, metric=metric, form=form, output=output))
    if (reporter := find_reporter(runs)) is not None:
        if by or metric != REPORTED:
            raise InputError(f"--by and --metric are of probe runs, and {runs[0]} is none")
        reporter(runs[0], output=output, table=table, as_json=as_json)
        return
    tables = build_report(runs, metrics=split_names(metric), by=split_names(by))
    _give(tables, output=output, table=table, as_json=as_json, pictures=pictures)


def _give(
    tables: "Report", *, output: Path | None, table: ReportFormat, as_json: bool, pictures: bool
) -> None:
    """Write a report's page, and print it as was wanted."""
    from toolkit_probing.reports.answer import answer_of
    from toolkit_probing.reports.formats import FORMATS
    from toolkit_probing.reports.tables import show_report

    answer = cache(lambda: answer_of(tables))  # takes a while, and not every format needs it
    if output is not None:  # first: what cannot be a page is refused before anything is printed
        from toolkit_probing.attention.judged import open_judged
        from toolkit_probing.reports.page import write_html

        write_html(output, tables, answer(), open_images=open_judged, pictures=pictures)
    if table in FORMATS:
        typer.echo(printable(FORMATS[table](tables)), nl=False)
    else:
        leads = tables.arms.study is not None and not as_json and tables.metrics
        show_report(tables, as_json=as_json, answer=answer().text if leads else "")
    if output is not None:
        typer.echo(one_line(f"report: {output}"), err=True)
    elif table == "table" and not as_json:
        say_next("report", *(str(run.path) for run in tables.runs), "-o", "report.html")
    if as_json:
        print_json(tables.to_json())
