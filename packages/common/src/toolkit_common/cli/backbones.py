"""`toolkit backbones`: which encoders there are."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toolkit_common.cli.command import with_settings
from toolkit_common.config import Settings, option
from toolkit_common.errors import InputError
from toolkit_common.printable import printable

if TYPE_CHECKING:
    from toolkit_common.backbones.listing import Listed, Shape

MOST_SHOWN = 25  # are built for their sizes; of more the names alone are listed
MOST_BUILT = 400  # where a filter has to know sizes: a minute or two

app = typer.Typer(add_completion=False)


class ListingSettings(Settings):
    """Which encoders are wanted."""

    max_params: float | None = option(None, "At most so many million parameters.", gt=0)
    dim: int | None = option(None, "Tokens of this width.", ge=1)
    patch: int | None = option(None, "So many pixels from one token to the next.", ge=1)
    local: bool = option(False, "Only those whose weights are on this machine.")
    aliases: bool = option(False, "Only short names, built in and of files.")
    encoders: Path | None = option(
        None, "YAML file of encoders by short name, beside those built in and your own."
    )

    @property
    def asks_for_sizes(self) -> bool:
        """Whether encoders have to be built to know whether they are wanted."""
        return any(value is not None for value in (self.max_params, self.dim, self.patch))

    def wants(self, shape: "Shape | None") -> bool:
        """Whether an encoder is wanted; of unknown sizes it is where none is asked for."""
        if shape is None:
            return not self.asks_for_sizes
        return (
            (self.max_params is None or shape.parameters <= self.max_params * 1e6)
            and self.dim in (None, shape.facts.embed_dim)
            and self.patch in (None, shape.patch)
        )


@app.command()
@with_settings(ListingSettings)
def backbones(
    pattern: Annotated[
        str | None,
        typer.Argument(
            help="Part of a name, or a pattern: dinov2, vit_*16* (any case); '*' is all names.",
            show_default="the short names",
        ),
    ] = None,
    *,
    settings: ListingSettings,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
    inspect: Annotated[
        Path | None,
        typer.Option(help="Show what a weights file holds, and which timm model it fits."),
    ] = None,
) -> None:
    """List encoders by short name and by id: size, input, reading rule, weights on this machine.

    Nothing is fetched, and only what is shown is built, without weights.

    Examples:
        toolkit backbones dinov2
        toolkit backbones 'vit_*' --max-params 30 --patch 16 --local
        toolkit backbones --inspect checkpoint.pth
    """
    if inspect is not None:
        from toolkit_common.backbones.weights.inspection import describe_file

        for line in describe_file(inspect):
            typer.echo(printable(line))
        return
    from toolkit_common.backbones.listing import describe_rows, to_json

    rows = _rows(pattern, settings)
    if as_json:
        typer.echo(json.dumps([to_json(*row) for row in rows], indent=2))
        return
    for line in describe_rows(rows):
        typer.echo(printable(line))
    typer.echo(_count(len(rows), pattern, settings), err=True)


def _rows(
    pattern: str | None, settings: ListingSettings
) -> list[tuple["Listed", "Shape | None", Path | None]]:
    """Return what is wanted, each with its sizes, if few enough, and the file of its weights."""
    from toolkit_common.backbones.listing import find_weights, list_encoders, read_shape
    from toolkit_common.console import progress

    narrows = settings.local or settings.asks_for_sizes
    every = "*" if pattern is None and narrows and not settings.aliases else pattern
    items = list_encoders(every, settings.encoders)
    items = [item for item in items if item.is_short or not settings.aliases]
    places = [(item, find_weights(item.id)) for item in items]
    places = [pair for pair in places if pair[1] is not None or not settings.local]
    if settings.asks_for_sizes and len(places) > MOST_BUILT:
        raise InputError(
            f"{len(places)} encoders would be built to compare their sizes, at most {MOST_BUILT}: "
            "give a narrower PATTERN, as in toolkit backbones 'vit_*16*' --dim 384"
        )
    if is_brief(len(places), settings):
        return [(item, None, place) for item, place in places]
    rows = []
    with progress("building shapes", len(places)) as advance:
        for item, place in places:
            rows.append((item, read_shape(item.id), place))
            advance()
    return [row for row in rows if settings.wants(row[1])]


def is_brief(number: int, settings: ListingSettings) -> bool:
    """Whether so many encoders are listed by name alone."""
    return number > MOST_SHOWN and not (settings.asks_for_sizes or settings.aliases)


def _count(number: int, pattern: str | None, settings: ListingSettings) -> str:
    what = f"encoder{'s' * (number != 1)}"
    what += "" if pattern is None else f" of {pattern!r}"
    sizes = names = ""
    if is_brief(number, settings):
        way = "--aliases" if pattern is None else "a narrower PATTERN"
        sizes = f"; their sizes: toolkit backbones {way}"
    if pattern is None and not (settings.asks_for_sizes or settings.local):
        names = "; those of timm and open_clip: toolkit backbones PATTERN, or '*' for all"
    return f"{number} {what}{sizes}{names}"
