"""From a short name to the id that it stands for, which needs no file of names to be read again."""

from collections.abc import Mapping
from pathlib import Path

from toolkit_common.backbones.named.alias import (
    NAME,
    Alias,
    alias_file,
    left,
    read_aliases,
)
from toolkit_common.backbones.named.built_in import BUILT_IN
from toolkit_common.errors import InputError
from toolkit_common.ids import split_options
from toolkit_common.registry import did_you_mean


def known_aliases(file: Path | None = None) -> dict[str, Alias]:
    """Return what every short name stands for: built in, the user's own, those of `file`.

    Raises:
        InputError: If a file holds what no short name can be.
    """
    table = dict(BUILT_IN)
    own = alias_file()
    for path in (own if own.is_file() else None, file):
        if path is not None:
            table |= read_aliases(path, table)
    return table


def resolve_alias(text: str, file: Path | None = None) -> str:
    """Return an id without short names: `name=` in its options keeps what the user wrote.

    Args:
        text: An id, a path, or a short name with or without options.
        file: More short names (`--encoders`).

    Raises:
        InputError: If a short name leads to itself, or is a path here as well.
    """
    place, _ = split_options(text)
    if not NAME.fullmatch(place):
        return text
    table = known_aliases(file)
    if place not in table:
        return text
    if Path(place).exists():
        raise InputError(
            f"{place!r} is the short name of an encoder ({table[place].origin}) and a path here: "
            f"write ./{place} for the path, or work in another folder"
        )
    return expand_alias(text, table)


def expand_alias(text: str, table: Mapping[str, Alias]) -> str:
    """Return the id that a short name of a table stands for, with what the user wrote behind it.

    Raises:
        InputError: If it leads to itself.
    """
    place, given = split_options(text)
    final, options = _follow(place, table)
    options = {**left(options, given), **given}
    written = ",".join(f"{key}={value}" for key, value in given.items() if key != "name")
    # Round brackets: the console reads square ones as markup.
    options.setdefault("name", f"{place}({written})" if written else place)
    return f"{final}?{'&'.join(f'{key}={value}' for key, value in options.items())}"


def _follow(name: str, table: Mapping[str, Alias]) -> tuple[str, dict[str, str]]:
    """Return the encoder and options that a short name leads to, over others or not."""
    way, options = [name], dict(table[name].options)
    while (place := table[way[-1]].place) in table:
        if place in way:
            circle = " -> ".join([*way, place])
            raise InputError(f"short names of encoders lead in a circle: {circle}")
        way.append(place)
        options = {**left(table[place].options, options), **options}
    return place, options


def near_aliases(name: str, file: Path | None = None) -> str:
    """Return the tail of a message about an unknown name: the short names that are near."""
    hint = did_you_mean(name, known_aliases(file)).partition(" choose from")[0]
    return hint.rstrip(";")


def short_name(text: str) -> str:
    """Return what an encoder is called where it is shown: its short name, else its id."""
    return split_options(text)[1].get("name", text)


def needed_file(text: str) -> str:
    """Return how to come by the weights of an id that a built-in name stands for, if it is known.

    It is asked for by the name that the id keeps, as a run's id is read without files of names.
    """
    alias = BUILT_IN.get(short_name(text).partition("(")[0])
    return alias.needs if alias else ""
