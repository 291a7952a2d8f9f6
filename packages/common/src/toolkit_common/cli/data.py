"""`toolkit data`: look at a data set before computing on it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toolkit_common.audit.settings import AuditSettings
from toolkit_common.cli.app import plugin_group, say_next
from toolkit_common.cli.command import with_settings
from toolkit_common.errors import InputError
from toolkit_common.printable import one_line

if TYPE_CHECKING:
    from toolkit_common.data.dataset import ImageData, Labels

LEAK_FOUND = 3  # exit code

app = typer.Typer(
    cls=plugin_group("data"),  # other packages may add commands: `data.schema`
    add_completion=False,
    no_args_is_help=True,
    help="Describe, audit and make data sets before computing on them.",
)

PREMALIGNANT_HELP = (
    "How label `malignant` counts premalignant diagnoses, the data set's default: benign, or drop "
    "where its file calls them indeterminate."
)
PARTIAL_HELP = "Leave out rows whose image is absent; counts them."

IDENTIFIER_HELP = "Data set id, such as lesions or csv:FILE, or a data card (data.yaml)."

Identifier = Annotated[str, typer.Argument(help=IDENTIFIER_HELP)]
PremalignantAs = Annotated[
    str | None, typer.Option(metavar="benign|malignant|drop", help=PREMALIGNANT_HELP)
]
AllowPartial = Annotated[bool, typer.Option("--allow-partial", help=PARTIAL_HELP)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]


@app.callback()
def _data() -> None: ...


@app.command()
def describe(
    identifier: Identifier,
    *,
    label: Annotated[str | None, typer.Option(help="Label whose classes are pictured.")] = None,
    premalignant_as: PremalignantAs = None,
    allow_partial: AllowPartial = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="PNG file for example pictures of each class."),
    ] = None,
    page: Annotated[
        Path | None, typer.Option(help="New HTML file: counts, columns and example pictures.")
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(help="New data.yaml: a data card, to be edited and given as --data."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show rows, patients, splits, labels, missing values, notes and example pictures.

    Examples:
        toolkit data describe lesions
        toolkit data describe csv:lesions.csv --save data.yaml
        toolkit data describe imagefolder:PATH --page data.html
    """
    # Here, as importing takes seconds that --help need not wait for (docs/traps.md 21).
    from toolkit_common.audit.describe import describe_data
    from toolkit_common.audit.shown.description import print_description
    from toolkit_common.runs.files import refuse_no_file, write_text
    from toolkit_common.sources.card import refuse_in_the_way, write_card
    from toolkit_common.sources.load import load_data

    for option, path, suffix in (("--output", output, ".png"), ("--page", page, ".html")):
        if path is not None:
            refuse_no_file(path, suffix, option=option)
            if path.exists():
                raise InputError(f"{option} {path} exists: delete it, or give another file")
    if save is not None:
        refuse_in_the_way(save)
    data = load_data(identifier, premalignant_as=premalignant_as, allow_partial=allow_partial)
    is_pictured = (output or page) is not None and data.sheet.labels[0] in data.table
    labels = data.labels(label) if label is not None or is_pictured else None
    described = describe_data(data)
    if output is not None:
        _write_pictures(data, labels, output)
    if page is not None:
        from toolkit_common.audit.shown.describe_page import describe_page

        write_text(page, describe_page(data, labels, described))
    if save is not None:  # last: the others may find no space
        write_card(data, save)
    if as_json:
        typer.echo(json.dumps(described, indent=2))
    else:
        print_description(described, data.sheet)
    for what, path in (("pictures", output), ("page", page), ("data card", save)):
        if path is not None:
            typer.echo(one_line(f"{what}: {path}"), err=True)
    if not as_json:
        say_next("data", "audit", identifier, premalignant_as=premalignant_as,
                 allow_partial=allow_partial)  # fmt: skip


def _write_pictures(data: "ImageData", labels: "Labels | None", output: Path) -> None:
    from toolkit_common.audit.shown.examples import draw_contact_sheet
    from toolkit_common.runs.files import atomic_path

    sheet = draw_contact_sheet(data, labels)
    with atomic_path(output) as temporary:
        sheet.save(temporary, "PNG")


@app.command()
@with_settings(AuditSettings)
def audit(
    identifier: Identifier,
    *,
    settings: AuditSettings,
    premalignant_as: PremalignantAs = None,
    allow_partial: AllowPartial = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="New folder for audit.html, audit.md, audit.json."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Look for what would inflate results; exits with code 3 when it finds a leak.

    Looks for groups on two sides, doubled images, columns that tell the label by their values or
    by being empty, columns that post-date the diagnosis, broken files and rare classes.

    Examples:
        toolkit data audit lesions --output audit
        toolkit data audit pad-ufes-20:PATH --against ham10000:PATH
    """
    if output is not None and output.exists():
        raise InputError(f"{output} exists: name a new folder for the audit")
    from toolkit_common.audit.audit import audit_data
    from toolkit_common.audit.records import record_audit
    from toolkit_common.audit.shown.facts import audit_json
    from toolkit_common.audit.shown.files import write_audit
    from toolkit_common.audit.shown.terminal import print_audit
    from toolkit_common.runs.files import refuse_unwritable
    from toolkit_common.sources.load import load_data

    if output is not None:
        refuse_unwritable(output, option="--output")
    data = load_data(identifier, premalignant_as=premalignant_as, allow_partial=allow_partial)
    report = audit_data(data, settings)
    record_audit(report)
    written = [] if output is None else write_audit(output, report)
    if as_json:
        typer.echo(json.dumps(audit_json(report), indent=2))
    else:
        print_audit(report)
    for path in written:
        typer.echo(one_line(f"written: {path}"), err=True)
    # After the report is printed and written: the code tells scripts, the text tells people.
    if report.has_leak:
        raise typer.Exit(LEAK_FOUND)
    if not as_json:
        # Not --allow-partial, which is about weights there.
        say_next("probe", "--method", "ep,linear,knn", "--data", identifier, label=settings.label,
                 premalignant_as=premalignant_as)  # fmt: skip


@app.command()
def make(
    name: Annotated[str, typer.Argument(help="A lesion data set, such as slice-3d.")],
    out: Annotated[Path, typer.Argument(help="New folder.")],
    *,
    rows: Annotated[int, typer.Option(help="Images to write.")] = 1000,
    seed: Annotated[int, typer.Option(help="The same seed writes the same data.")] = 0,
    layout: Annotated[
        str | None, typer.Option(help="Which of the data set's layouts; a wrong one lists them.")
    ] = None,
    pool: Annotated[
        int | None, typer.Option(help="Distinct pictures, shared by more rows than that.")
    ] = None,
) -> None:
    """Write a synthetic data set in exactly the files of a real one, to test and to teach.

    The pictures carry what the table says (size, colour, asymmetry); SYNTHETIC.md labels them.

    Examples:
        toolkit data make slice-3d synthetic --rows 1000
        toolkit data make ham10000 synthetic --layout dataverse
    """
    from toolkit_common.synthetic.make import make_data

    order = make_data(name, out, rows=rows, seed=seed, layout=layout, pool=pool)
    typer.echo(one_line(f"{out}: {order.rows} synthetic rows of {name}, layout {order.layout}"))
