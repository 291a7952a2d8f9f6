"""`toolkit predict`: a trained probe on new images."""

from pathlib import Path
from typing import Annotated

import typer

from toolkit_common.cli.command import with_settings
from toolkit_common.printable import printable
from toolkit_probing.cli.arguments import AsJson, print_json
from toolkit_probing.predict.settings import PredictSettings

app = typer.Typer(add_completion=False)


@app.command()
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
        print_json({**predicted.to_json(), "output": output and str(output), "predictions": rows})
    elif output is None:
        # Paths may hold what steers a terminal: shown here, as they are in a file (-o).
        typer.echo(printable(to_csv(predicted.table) or ""), nl=False)
