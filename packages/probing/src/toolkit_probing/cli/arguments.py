"""What several commands take, and how they print JSON."""

import json
from typing import Annotated, Any

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
METRICS = (
    "Metrics, comma-separated: top1, top5, balanced_accuracy, macro_f1, auroc, average_precision, "
    "partial_auroc (above 80 % TPR), sensitivity_at_NN_specificity (NN in %), "
    "expected_calibration_error, log_loss"
)


def split_names(text: str) -> list[str]:
    """Return the names in a list with commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def print_json(result: Any) -> None:
    """Print a result on stdout; raises ValueError of a number that JSON cannot hold."""
    typer.echo(json.dumps(result, indent=2, allow_nan=False))
