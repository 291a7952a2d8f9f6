"""Takes ids such as `csv:FILE?image=path&label=dx` apart: a place, and options after `?`.

Values are taken as they stand: a `+` or `%` belongs to a path, it escapes nothing. A `?` belongs to
the place where no option's name stands behind it, as in `csv:which?.csv?label=dx`.
"""

import re
from collections.abc import Iterable

from toolkit_common.errors import InputError
from toolkit_common.registry import did_you_mean

OPTIONS = re.compile(r"\?(?=[^?=&./\\]*(=|&|$))")  # the mark before the first option's name


def split_options(text: str) -> tuple[str, dict[str, str]]:
    """Return the place and the options of an id.

    Raises:
        InputError: If an option has no value or occurs twice.
    """
    mark = OPTIONS.search(text)
    place, query = (text[: mark.start()], text[mark.end() :]) if mark else (text, "")
    options: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        key, _, value = part.partition("=")
        if not value:
            raise InputError(
                f"option {key!r} in {text!r} has no value: write {key}=VALUE (options stand behind "
                "a '?': rename a file or folder that has one in its name)"
            )
        if key in options:
            raise InputError(f"option {key!r} occurs twice in {text!r}")
        options[key] = value
    return place, options


def add_option(text: str, key: str, value: str) -> str:
    """Return an id with one more option, as the user could have written it.

    Raises:
        InputError: If the id has another value for it already.
    """
    options = split_options(text)[1]
    own = options.get(key, "")
    if own not in ("", value):
        raise InputError(f"{key} is {own!r} in {text!r} and {value!r} beside it: give it once")
    if own:
        return text
    return f"{text}&{key}={value}" if options else f"{text.rstrip('?&')}?{key}={value}"


def refuse_options(text: str, given: Iterable[str], known: tuple[str, ...]) -> None:
    """Check that every option is a known one.

    Raises:
        InputError: If one is not; the message names the nearest.
    """
    for key in given:
        if key not in known:
            hint = did_you_mean(key, known) if known else ": it takes none"
            raise InputError(f"unknown option {key!r} in {text!r}{hint}")
