"""Commands of the SLIMP package."""

from pathlib import Path
from typing import Annotated, Any

import typer

from toolkit_common.cli.command import Invocation, run_command
from toolkit_slimp.ablations import ABLATIONS
from toolkit_slimp.settings import SlimpSettings

pretrain = typer.Typer(add_completion=False)
schema = typer.Typer(add_completion=False)


@run_command(pretrain, SlimpSettings, presets=ABLATIONS, preset_field="ablation", name="slimp")
def pretrain_slimp(invocation: Invocation[SlimpSettings]) -> Any:
    """Pre-train an image encoder with SLIMP: images with lesion and patient metadata, nested.

    With no options it trains a small ViT on the embedded skin lesions, offline.
    """
    from toolkit_slimp.run import run_pretrain

    return run_pretrain(invocation)


@schema.command("schema")
def write_schema(
    identifier: Annotated[str, typer.Argument(help="Data set id, such as lesions or csv:FILE.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")] = Path(
        "schema.json"
    ),
    premalignant_as: Annotated[
        str | None,
        typer.Option(
            metavar="benign|malignant|drop",
            help="How label `malignant` counts premalignant diagnoses; splits are stratified by "
            "it in some data sets.",
        ),
    ] = None,
    split_seed: Annotated[
        int, typer.Option(help="Seed of the splits; transforms are fitted on training patients.")
    ] = 0,
    splits: Annotated[
        Path | None,
        typer.Option(help="CSV file image_id,split to use, such as a run's splits.csv."),
    ] = None,
    folds: Annotated[
        int | None, typer.Option(help="Cross-validation: number of parts, as in pretrain slimp.")
    ] = None,
    fold: Annotated[int, typer.Option(help="Which of the --folds parts is the test split.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print it, and write nothing.")] = False,
) -> None:
    """Infer a data set's metadata schema and write it, to be edited and given to pretrain slimp.

    Every column has a kind (numeric, angle, categorical, boolean, multi), a level (lesion,
    patient), a range, codes for missing and unknown, and a transform fitted on training patients;
    delete a column's quantiles or categories to have them fitted anew.
    """
    from toolkit_slimp.metadata.infer import export_schema, print_schema

    found = export_schema(
        identifier,
        None if as_json else output,
        premalignant_as=premalignant_as,
        split_seed=split_seed,
        splits_file=splits,
        folds=folds,
        fold=fold,
        overwrite=overwrite,
    )
    if as_json:
        typer.echo(found.to_json(), nl=False)
    else:
        print_schema(found)
        typer.echo(
            f"edit {output}, then: toolkit pretrain slimp --data {identifier} --schema {output}"
        )
