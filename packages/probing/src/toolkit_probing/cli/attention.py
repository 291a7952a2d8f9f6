"""`toolkit attention`: where a probe looks, drawn or counted."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from toolkit_common.cli.app import say_next
from toolkit_common.printable import one_line
from toolkit_probing.cli.arguments import AsJson, print_json

app = typer.Typer(add_completion=False)

MOST_DRAWN = 200  # images of a picture


@app.command()
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
            print_json(asdict(drawn))
        else:
            typer.echo(one_line(f"attention of {drawn.head}: {drawn.picture}"))
            say_next("attention", "--from", str(run), "--stats")
        return
    counted = measure_attention(run, images=images, masks=masks, head=head, num_images=num_images)
    if output is not None:
        write_statistics(output, counted)
    show_statistics(counted, as_json=as_json)
    if as_json:
        print_json(counted.to_json())
    else:
        say_next("report", str(run), "-o", "report.html")
