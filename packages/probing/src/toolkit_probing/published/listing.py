"""`toolkit reproduce --list`: the published rows, and whose encoder each needs."""

import json

import typer

from toolkit_common.console import Column, print_columns, result_console
from toolkit_probing.published.rows import METHODS, Published, PublishedRow
from toolkit_probing.results.names import method_heading


def show_rows(published: Published, *, as_json: bool) -> None:
    """Print the rows by EP, the best first."""
    rows = dict(sorted(published.rows.items(), key=lambda item: -item[1].ep.top1))
    if as_json:
        facts = published.model_dump(exclude={"rows"})
        listed = [{"name": name, **row.model_dump()} for name, row in rows.items()]
        typer.echo(json.dumps({**facts, "rows": listed}, indent=2))
        return
    out = result_console(as_json=False)
    out.print(
        f"{published.title}: {published.data.title}, top-1 in percent, protocol "
        f"{published.protocol}\npublished: {published.citation}\n",
        soft_wrap=True,
    )
    names = [f"{name}{'*' * bool(row.stochastic)}" for name, row in rows.items()]
    figures = [
        Column(method_heading(method), [f"{row.top1(method):.2f}" for row in rows.values()])
        for method in METHODS
    ]
    wanted = Column("encoder", [_wanted(row) for row in rows.values()], justify="left")
    print_columns(out, [Column("row", names)], [*figures, wanted])
    out.print("\n* published with layers of the frozen encoder left random while heads trained",
              soft_wrap=True)  # fmt: skip


def _wanted(row: PublishedRow) -> str:
    """Return what a row needs of the user."""
    if row.backbone is None:
        return "needs --backbone ID"
    source = row.backbone.partition(":")[0]
    return f"{source}, needs --weights FILE" if row.needs_weights else source
