"""`toolkit compare`: paired differences of probes."""

from pathlib import Path
from typing import Annotated

import typer

from toolkit_common.cli.app import say_next
from toolkit_probing.cli.arguments import METRICS, AsJson, print_json, split_names

app = typer.Typer(add_completion=False)


@app.command()
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
    metric: Annotated[str, typer.Option(help=f"{METRICS}.")] = "top1,balanced_accuracy,auroc",
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

    comparison = compare_runs(runs, rows=split_names(rows), metrics=split_names(metric))
    show_comparison(comparison, as_json=as_json)
    if as_json:
        print_json(comparison.to_json())
    else:
        say_next("report", *(str(run.path) for run in comparison.runs), "-o", "report.html")
