"""Commands of the SLIMP package."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolkit_common.cli.app import say_next
from toolkit_common.cli.command import run_command, with_settings
from toolkit_common.cli.data import Identifier, PremalignantAs
from toolkit_common.config import Invocation
from toolkit_common.data.settings import SplitSettings
from toolkit_common.errors import InputError
from toolkit_common.printable import one_line
from toolkit_slimp.ablations import ABLATIONS
from toolkit_slimp.extrapolation.settings import ExtrapolateSettings
from toolkit_slimp.settings import SlimpSettings

if TYPE_CHECKING:
    from toolkit_slimp.metadata.schema import Schema

pretrain = typer.Typer(add_completion=False)
schema = typer.Typer(add_completion=False)
extrapolate = typer.Typer(add_completion=False)


@run_command(pretrain, SlimpSettings, presets=("ablation", ABLATIONS), name="slimp")
def pretrain_slimp(invocation: Invocation[SlimpSettings]) -> Any:
    """Pre-train an image encoder with SLIMP: images with lesion and patient metadata, nested.

    With no options it trains a small ViT on the embedded skin lesions, offline. --from RUN
    continues a run on other data, by default in its embedding layers alone (--train).

    Examples:
        toolkit pretrain slimp --data csv:lesions.csv --output runs/derm
        toolkit pretrain slimp --from runs/derm --data csv:clinic.csv -o runs/b
        toolkit pretrain slimp --resume --output runs/derm
    """
    from toolkit_slimp.run import run_pretrain

    return run_pretrain(invocation)


@schema.command("schema")
@with_settings(SplitSettings)
def write_schema(
    identifier: Identifier,
    *,
    settings: SplitSettings,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")] = Path(
        "schema.json"
    ),
    premalignant_as: PremalignantAs = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print it, and write nothing.")] = False,
) -> None:
    """Infer a data set's metadata schema and write it, to be edited and given to pretrain slimp.

    Every column has a kind (numeric, angle, categorical, boolean, multi), a level (lesion,
    patient), a range, codes for missing and unknown, and a transform fitted on training patients;
    delete a column's quantiles or categories to have them fitted anew.

    Examples:
        toolkit data schema pad-ufes-20:PATH
        toolkit data schema csv:lesions.csv --output lesions-schema.json
    """
    from toolkit_common.data.splits import make_splits
    from toolkit_common.runs.files import refuse_unwritable, write_text
    from toolkit_common.sources.load import load_data
    from toolkit_slimp.metadata.infer import infer_schema
    from toolkit_slimp.metadata.leaks import drop_leaks

    if not as_json:
        if output.is_dir():
            raise InputError(f"{output} is a folder: give a file's name as --output")
        if output.exists() and not overwrite:
            raise InputError(
                f"{output} exists: add --overwrite to replace it, or give another --output"
            )
        refuse_unwritable(output.parent, option="--output in")
    data = load_data(identifier, premalignant_as=premalignant_as)
    made = make_splits(data, settings)
    columns = drop_leaks(data, infer_schema(data, made.train))
    if as_json:
        typer.echo(columns.to_json(), nl=False)
        return
    write_text(output, columns.to_json())
    print_schema(columns)
    typer.echo(one_line(f"edit {output}"))
    say_next("pretrain", "slimp", data=identifier, schema=str(output))


@extrapolate.command("slimp")
@with_settings(ExtrapolateSettings)
def extrapolate_slimp(
    *,
    run: Annotated[
        Path, typer.Option("--from", metavar="RUN", help="Run of toolkit pretrain slimp.")
    ],
    settings: ExtrapolateSettings,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="File to write: .parquet, or .csv to look at."),
    ],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what the file says of itself as JSON.")
    ] = False,
) -> None:
    """Give images the metadata of the most similar lesions of a reference, for toolkit probe.

    Lesions are found by the frozen image encoder, of other patients alone; no label is read. What
    held-out patients show to be no better than chance stays missing, and so do all columns of an
    image without a lesion near enough (--threshold).

    Examples:
        toolkit extrapolate slimp --from RUN --data ph2:PATH -o ph2.parquet
        toolkit extrapolate slimp --from RUN --reference hiba:B -d ph2:A -o f.parquet
        toolkit extrapolate slimp --from RUN -d ph2:PATH -o table.csv --threshold 0.5
    """
    from toolkit_common.runs.files import refuse_unwritable
    from toolkit_slimp.extrapolation.run import extrapolate as write_file

    if output.suffix not in (".parquet", ".csv"):
        raise InputError(
            f"--output {output}: give a file that ends in .parquet, or .csv to look at"
        )
    if output.is_dir() or (output.exists() and not overwrite):
        raise InputError(
            f"--output {output} exists: add --overwrite to replace a file, or give another one"
        )
    refuse_unwritable(output.parent, option="--output in")
    item = write_file(settings, run=run, output=output)
    if as_json:
        typer.echo(json.dumps(item.facts, indent=2, allow_nan=False))
        return
    names = ", ".join(column.name for column in item.columns)
    typer.echo(
        f"{output}: {names} of {len(item.rows)} images, of which {item.rows['abstained'].sum()} "
        "have no lesion near enough and no value"
    )
    if output.suffix == ".parquet":
        _say_how_to_judge(settings, run, output)


def _say_how_to_judge(settings: ExtrapolateSettings, run: Path, output: Path) -> None:
    """Print the probe that reads the file, on the same splits."""
    say_next(
        "probe",
        "--inputs",
        "image+meta",
        backbone=str(run),
        metadata=str(output),
        data=settings.data,
        premalignant_as=settings.premalignant_as,
        bad_files=None if settings.bad_files == "error" else settings.bad_files,
        split_seed=str(settings.split_seed) if settings.split_seed else None,
        splits=None if settings.splits is None else str(settings.splits),
        folds=None if settings.folds is None else str(settings.folds),
        fold=None if settings.fold is None else str(settings.fold),
        allow_seen=settings.allow_seen,
    )


def print_schema(schema: "Schema") -> None:
    """Print a table of the columns."""
    from rich.table import Table

    from toolkit_common.console import PrintableConsole

    table = Table("column", "level", "kind", "range", "values")
    for column in schema.columns:
        bounds = [f"{bound:g}" if bound is not None else "" for bound in (column.low, column.high)]
        span = f"{bounds[0]}..{bounds[1]} {column.unit}".strip()
        values = ", ".join(column.categories)
        if column.quantiles:
            values = f"{column.quantiles[0]:g} to {column.quantiles[-1]:g} in training"
        shown = "" if span == ".." else span
        table.add_row(column.name, column.level, column.kind, shown, values)
    PrintableConsole(highlight=False).print(table)
