"""A data card: what is known about a data set, in a file that stands for its id.

`toolkit data describe ID --save data.yaml` writes one, `--data data.yaml` reads it: where the data
are, labels, columns with their levels, splits, leaks, licence. What a card says holds over what the
reader of the data set found; what it leaves out stays as it was found.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from toolkit_common.config import read_yaml
from toolkit_common.data.cells import UNKNOWN
from toolkit_common.data.dataset import SPLITS, ImageData
from toolkit_common.data.sheet import Column, Kind, Level, Sheet
from toolkit_common.data.splits import read_splits
from toolkit_common.data.tables import to_number
from toolkit_common.errors import InputError
from toolkit_common.foreign.plain_yaml import PlainDumper
from toolkit_common.foreign.values import first_problem
from toolkit_common.ids import add_option, split_options
from toolkit_common.registry import did_you_mean
from toolkit_common.runs.files import atomic_path, refuse_unwritable

SUFFIXES = (".yaml", ".yml")
NO_PATH = ("digits", "lesions", "torchvision")  # sources whose names are no paths
HEADER = """\
# A data card: toolkit probe --data {name}
# What stands here holds over what the reader finds; a line that is deleted is found anew.
# splits: splits.csv would be a table image_id,split beside this file.
"""


class CardColumn(BaseModel):
    """A metadata column, as `toolkit_common.data.sheet.Column` has it."""

    model_config = ConfigDict(extra="forbid")

    level: Level
    kind: Kind
    unit: str = ""
    low: float | None = None
    high: float | None = None


class Card(BaseModel):
    """What a card says.

    Attributes:
        data: The id of the data set; a relative path in it starts at the card.
        title: Name for humans.
        source: Citation.
        licence: Licence with its restrictions.
        labels: Columns that can be the label, the default first; none is an input.
        columns: Metadata columns that may be inputs.
        leaks: Column -> why it must never be an input.
        acquisition: Column -> why it is left out unless requested.
        splits: A table `image_id,split`, relative to the card.
    """

    model_config = ConfigDict(extra="forbid")

    data: str
    title: str | None = None
    source: str | None = None
    licence: str | None = None
    labels: list[str] | None = Field(None, min_length=1)
    columns: dict[str, CardColumn] | None = None
    leaks: dict[str, str] | None = None
    acquisition: dict[str, str] | None = None
    splits: str | None = None


def is_card(place: str) -> bool:
    """Whether a data set's id is the path of a card."""
    return place.lower().endswith(SUFFIXES) and ":" not in place


def read_card(path: Path) -> Card:
    """Read a card.

    Raises:
        InputError: If it is missing, no YAML, or says what no card can.
    """
    if not path.is_file():
        raise InputError(f"no data card at {path}: toolkit data describe ID --save {path}")
    values = read_yaml(path).values
    for key in values:
        if key not in Card.model_fields:
            hint = did_you_mean(str(key), Card.model_fields)
            raise InputError(f"{path} has an unknown key {key!r}{hint}")
    try:
        card = Card.model_validate(values)
    except ValidationError as error:
        raise InputError(f"{path}: {first_problem(error)}") from None
    both = sorted({*(card.columns or ()), *(card.labels or ())} & {*(card.leaks or ())})
    if both:
        raise InputError(f"{path}: {both[0]!r} is among the leaks and is to be read: keep one")
    if is_card(split_options(card.data)[0]):
        raise InputError(f"{path}: data is another card, {card.data!r}: name the data set")
    return card


def identifier_of(card: Card, path: Path, options: Mapping[str, str]) -> str:
    """Return the id of a card's data set, its path as it is from here, with more options."""
    place, _ = split_options(card.data)
    source, _, name = place.partition(":")
    inner = card.data
    here = path.parent / Path(name).expanduser()
    # A name of the Hub is no path, unless there is such a folder.
    if name and source not in NO_PATH and (source != "hf" or here.exists()):
        inner = f"{source}:{here}{card.data.removeprefix(place)}"
    for key, value in options.items():
        inner = add_option(inner, key, value)
    return inner


def apply_card(data: ImageData, card: Card, path: Path) -> ImageData:
    """Return the data set as the card has it.

    Raises:
        InputError: If the card names a column that is not there, or a number that is none.
    """
    leaks = card.leaks if card.leaks is not None else data.sheet.leaks
    moved = [name for name in leaks if name in data.table]
    sheet = _sheet(data.sheet, card, leaks)
    _check(replace(data, sheet=sheet), card, path)
    withheld = data.withheld.join(data.table[moved]) if len(data.withheld) else data.table[moved]
    data = replace(data, rows=data.rows.remove_columns(moved), sheet=sheet, withheld=withheld)
    if card.splits is None:
        return data
    splits = read_splits(path.parent / card.splits, data)
    column = pd.Series([None] * len(data), dtype=object)
    for name in SPLITS:
        column.iloc[splits[name]] = name
    rows = data.rows.remove_columns([name for name in data.rows.column_names if name == "split"])
    return replace(data, rows=rows.add_column("split", column.tolist()))


def refuse_in_the_way(path: Path) -> None:
    """Raise InputError if there is such a file, or a card's ends in another way."""
    if path.is_dir() or path.suffix.lower() not in SUFFIXES:
        raise InputError(f"a data card goes to a file that ends in .yaml, got {path}")
    if path.exists():
        raise InputError(f"data card {path} exists: delete it, or give another file")
    refuse_unwritable(path.parent, option="the data card in")


def write_card(data: ImageData, path: Path) -> None:
    """Write what is known about a data set; its place as seen from the card."""
    refuse_in_the_way(path)
    sheet = data.sheet
    suspected = {name: why for name, why in sheet.suspects.items() if name in data.table}
    card = Card(
        data=_from_card(data.id, path),
        title=sheet.title,
        source=sheet.source or None,
        licence=sheet.licence,
        labels=[name for name in sheet.labels if name in data.table] or None,
        columns={
            column.name: CardColumn(
                level=column.level, kind=column.kind, unit=column.unit, low=column.low,
                high=column.high,
            )
            for column in sheet.columns if column.name in data.table
        },
        leaks={**sheet.leaks, **{k: v for k, v in suspected.items() if k not in sheet.labels}},
        acquisition=dict(sheet.acquisition) or None,
    )  # fmt: skip
    values = card.model_dump(exclude_none=True, exclude_defaults=True)
    text = yaml.dump(values, Dumper=PlainDumper, sort_keys=False, allow_unicode=True, width=10**6)
    with atomic_path(path) as temporary:
        temporary.write_text(HEADER.format(name=path.name) + text, encoding="utf-8")


def _sheet(sheet: Sheet, card: Card, leaks: Mapping[str, str]) -> Sheet:
    columns = sheet.columns
    if card.columns is not None:
        columns = tuple(
            Column(name, item.level, item.kind, item.unit, item.low, item.high)
            for name, item in card.columns.items()
        )
    return replace(
        sheet,
        title=card.title or sheet.title,
        source=card.source or sheet.source,
        licence=card.licence or sheet.licence,
        labels=tuple(card.labels or sheet.labels),
        columns=tuple(column for column in columns if column.name not in leaks),
        leaks=leaks,
        # Whoever wrote the card knew them: what is no leak there is none.
        suspects={} if card.leaks is not None else sheet.suspects,
        acquisition=sheet.acquisition if card.acquisition is None else card.acquisition,
    )


def _check(data: ImageData, card: Card, path: Path) -> None:
    table = data.table
    for name in (*(card.columns or ()), *(card.labels or ())):
        if name not in table:
            hint = did_you_mean(name, table.columns)
            raise InputError(f"{path}: the data have no column {name!r}{hint}")
    for column in data.sheet.columns:
        values = table.get(column.name)
        if values is not None and column.kind in ("numeric", "angle"):
            known = values.mask(values.astype(object) == UNKNOWN, None)
            to_number(known, path=path, ids=table["image_id"], unit=column.unit)


def _from_card(identifier: str, path: Path) -> str:
    """Return an id whose path starts at the card, if it lies below it; else in full."""
    place, _ = split_options(identifier)
    source, _, name = place.partition(":")
    there = Path(name).expanduser()
    if not name or source in NO_PATH or not there.exists():
        return identifier
    there, folder = there.resolve(), path.parent.resolve()
    below = there.relative_to(folder) if there.is_relative_to(folder) else there
    return f"{source}:{below}{identifier.removeprefix(place)}"
