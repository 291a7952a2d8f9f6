"""Looks names up in literal dicts and helps with misspelt ones."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TypeVar

from toolkit_common.errors import InputError
from toolkit_common.printable import first_of

MOST_NAMED = 40

T = TypeVar("T")


def lookup(table: Mapping[str, T], name: str, *, kind: str) -> T:
    """Return `table[name]`.

    Raises:
        InputError: If the name is unknown; the message gives the nearest names and all of them.
    """
    if name in table:
        return table[name]
    raise InputError(f"unknown {kind} {name!r}{did_you_mean(name, table)}")


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """Return a message's tail: choices nearest to `name`, then all, of very many the first."""
    names = sorted(choices)
    near = get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ";"
    return f"{hint} choose from: {first_of(names, MOST_NAMED)}"
