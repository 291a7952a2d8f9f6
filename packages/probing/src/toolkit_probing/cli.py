"""Commands of the probing package: what runs a probe, and what reads finished runs.

Nothing heavy is imported before a command is called.
"""

import json
from collections.abc import Collection
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from toolkit_common.cli.app import say_next
from toolkit_common.cli.command import run_command, with_settings
from toolkit_common.config import Invocation, Resolved
from toolkit_common.printable import one_line, printable
from toolkit_probing.leaderboard.settings import LeaderboardSettings
from toolkit_probing.predict.settings import PredictSettings
from toolkit_probing.protocols import PRESETS
from toolkit_probing.settings import ExtractSettings, ProbeSettings

if TYPE_CHECKING:
    from toolkit_probing.reports.recomputed import Report

app = typer.Typer(add_completion=False)
features_app = typer.Typer(add_completion=False)
compare_app = typer.Typer(add_completion=False)
report_app = typer.Typer(add_completion=False)
attention_app = typer.Typer(add_completion=False)
predict_app = typer.Typer(add_completion=False)

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
REPORTED = "top1,balanced_accuracy,macro_f1,auroc,expected_calibration_error"
MOST_DRAWN = 200  # images of a picture
METRICS = (
    "Metrics, comma-separated: top1, top5, balanced_accuracy, macro_f1, auroc, average_precision, "
    "partial_auroc (above 80 % TPR), sensitivity_at_NN_specificity (NN in %), "
    "expected_calibration_error, log_loss"
)
Metrics = Annotated[str, typer.Option("--metric", help=f"{METRICS}.")]
ReportMetrics = Annotated[
    str,
    typer.Option("--metric", help=f"{METRICS}; confusion (counts of true and predicted classes)."),
]


ReportFormat = Literal["table", "md", "csv", "json", "latex"]


def list_methods(invocation: Invocation[ProbeSettings]) -> Any:
    """List every method with its source and options, its size and cost at --backbone."""
    from toolkit_probing.methods.listing import list_methods

    return list_methods(invocation)


def method_names() -> Collection[str]:
    """Return the methods, whose options are groups of settings."""
    from toolkit_probing.methods import METHODS

    return METHODS


def check_probe(resolved: Resolved[ProbeSettings]) -> Resolved[ProbeSettings]:
    """Refuse settings that go together with no data, and add every option of the methods."""
    from toolkit_probing.methods.checks import refuse_bad_options, refuse_unused
    from toolkit_probing.methods.choose import with_all_methods, with_all_options

    settings = with_all_methods(resolved.settings)
    refuse_bad_options(settings, resolved.sources)
    refuse_unused(settings, resolved.sources)
    return with_all_options(resolved)


@run_command(
    app,
    ProbeSettings,
    presets=("protocol", PRESETS),
    name="probe",
    listing=list_methods,
    group_names=method_names,
    check=check_probe,
)
def probe(invocation: Invocation[ProbeSettings]) -> Any:
    """Judge a frozen encoder: EP and its rivals, linear probing and k-NN under one protocol.

    With no options it probes a stand-in encoder on the embedded skin lesions, offline.

    Examples:
        toolkit probe --method ep,linear,knn --backbone runs/derm
        toolkit probe --backbone timm:vit_base_patch16_224.mae --data imagefolder:PATH
        toolkit probe --folds 5 --set ep.num_queries=8,16 --data csv:lesions.csv
    """
    from toolkit_probing.folds import run_any

    return run_any(invocation)


@run_command(features_app, ExtractSettings, name="features", has_folder=False)
def features(invocation: Invocation[ExtractSettings]) -> Any:
    """Run a frozen encoder over a data set once and keep its tokens for every probe after.

    Prints what it will cost first. Killed, it goes on with the shards that are missing; done, it
    prints where the store is. `toolkit probe` with the same backbone and data reads it.

    Examples:
        toolkit features --backbone runs/derm --data lesions
        toolkit features -b timm:vit_base_patch16_224 --data imagefolder:PATH
    """
    from toolkit_probing.features import run_features

    return run_features(invocation)


@compare_app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN [RUN]", help="Finished probe runs.")],
    rows: Annotated[
        str,
        typer.Option(
            "--rows",
            metavar="FIRST,SECOND",
            help="Names of two rows: one of the first run, one of the last. Without it: each row "
            "of one run with each, or the rows of one name of two runs.",
        ),
    ] = "",
    metric: Metrics = "top1,balanced_accuracy,auroc",
    as_json: AsJson = False,
) -> None:
    """Compare probes on the same test images: paired bootstrap over groups (patients).

    Refuses runs whose test images, classes, targets or groups differ, and names what does.

    Examples:
        toolkit compare runs/probe-1
        toolkit compare runs/a runs/b --metric auroc
    """
    from toolkit_probing.results.compare import compare_runs
    from toolkit_probing.results.matrix import show_comparison

    comparison = compare_runs(runs, rows=_names(rows), metrics=_names(metric))
    show_comparison(comparison, as_json=as_json)
    if as_json:
        _print_json(comparison.to_json())
    else:
        say_next("report", *(str(run.path) for run in comparison.runs), "-o", "report.html")


def _rank(
    runs: list[Path],
    settings: LeaderboardSettings,
    *,
    metric: str,
    form: str,
    output: Path | None,
) -> int:
    from toolkit_probing.leaderboard.command import show_leaderboard

    metrics = [] if metric == REPORTED else _names(metric)
    return show_leaderboard(runs, settings, metrics=metrics, form=form, output=output)


@report_app.command()
@with_settings(LeaderboardSettings)
def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...", help="Probe runs, or folders of them; or one pre-training run."
        ),
    ],
    metric: ReportMetrics = REPORTED,
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
    tables = build_report(runs, metrics=_names(metric), by=_names(by))
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
        _print_json(tables.to_json())


@attention_app.command()
def attention(
    run: Annotated[Path, typer.Option("--from", metavar="RUN", help="Finished probe run.")],
    images: Annotated[
        Path | None,
        typer.Option(
            "--images",
            help="An image, or a folder of them.",
            show_default="the run's own test images",
        ),
    ] = None,
    head: Annotated[
        str | None,
        typer.Option(
            "--head",
            help="Name of a head in RUN/heads.",
            show_default="EP's, else the first with maps",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="File to write: .png, with --stats .csv or .json.",
            show_default="RUN/attention.png; nothing with --stats",
        ),
    ] = None,
    num_images: Annotated[
        int | None,
        typer.Option(
            "--num-images",
            min=1,
            help="At most so many, evenly chosen.",
            show_default="12; all with --stats",
        ),
    ] = None,
    stats: Annotated[
        bool,
        typer.Option(
            "--stats",
            help="Count instead of drawing: entropy, overlap and coverage of every method's maps.",
        ),
    ] = False,
    masks: Annotated[
        Path | None,
        typer.Option(
            "--masks",
            help="With --stats: a folder of masks called as the images are; adds pointing game and "
            "IoU.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Draw where a probe looks: a row an image, a colour a query (more than 8 are grouped).

    Examples:
        toolkit attention --from runs/probe-1
        toolkit attention --from runs/probe-1 --images PATH --output looks.png
        toolkit attention --from runs/probe-1 --stats --masks PATH
    """
    from toolkit_common.errors import InputError
    from toolkit_common.runs.files import refuse_no_file
    from toolkit_probing.attention.draw import draw_attention
    from toolkit_probing.attention.measure import measure_attention
    from toolkit_probing.attention.statistics_table import show_statistics, write_statistics

    if not stats and num_images is not None and num_images > MOST_DRAWN:
        raise InputError(f"--num-images: at most {MOST_DRAWN} are drawn, got {num_images}")
    if masks is not None and not stats:
        raise InputError("--masks is what --stats holds maps against: add --stats")
    if output is not None:
        refuse_no_file(output, *((".csv", ".json") if stats else (".png",)))
    if not stats:
        drawn = draw_attention(run, images=images, head=head, output=output, num_images=num_images)
        if as_json:
            _print_json(asdict(drawn))
        else:
            typer.echo(f"attention of {drawn.head}: {drawn.picture}")
            say_next("attention", "--from", str(run), "--stats")
        return
    counted = measure_attention(run, images=images, masks=masks, head=head, num_images=num_images)
    if output is not None:
        write_statistics(output, counted)
    show_statistics(counted, as_json=as_json)
    if as_json:
        _print_json(counted.to_json())
    else:
        say_next("report", str(run), "-o", "report.html")


@predict_app.command()
@with_settings(PredictSettings)
def predict(
    run: Annotated[Path, typer.Option("--from", metavar="RUN", help="Finished probe run.")],
    images: Annotated[
        list[str] | None,
        typer.Option(
            "--images", metavar="PATH", help="An image, a folder of them, or a pattern in quotes."
        ),
    ] = None,
    more: Annotated[
        list[str] | None,
        typer.Argument(metavar="IMAGE", help="Further images, as a shell lists them."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="File to write, .csv or .parquet.",
            show_default="CSV on stdout",
        ),
    ] = None,
    as_json: AsJson = False,
    *,
    settings: PredictSettings,
) -> None:
    """Let a trained probe predict new images: class probabilities, and figures where labels are.

    Reading rule, input, classes and pixel values are the run's. Refuses images that the probe or
    its encoder has learned from.

    Examples:
        toolkit predict --from runs/probe-1 --images PATH -o new.csv
        toolkit predict --from runs/probe-1 --data csv:new.csv -o new.parquet
        toolkit predict --from runs/probe-1 --data lesions --split test
    """
    from toolkit_probing.predict.command import predict_images, show_predicted
    from toolkit_probing.predict.table import to_csv, to_records

    places = [*(images or ()), *(more or ())]
    predicted = predict_images(run, settings, images=places, output=output)
    show_predicted(predicted, output=output, as_json=as_json)
    if as_json:
        rows = to_records(predicted.table) if output is None else []
        _print_json({**predicted.to_json(), "output": output and str(output), "predictions": rows})
    elif output is None:
        # Paths may hold what steers a terminal: shown here, as they are in a file (-o).
        typer.echo(printable(to_csv(predicted.table) or ""), nl=False)


def _print_json(result: Any) -> None:
    typer.echo(json.dumps(result, indent=2, allow_nan=False))


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
