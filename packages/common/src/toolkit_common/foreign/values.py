"""Files that anybody may have written are data: bounded, finite, and of the shape that is expected.

Whatever stands in one, reading it gives what the file says or one line that names the file and the
place; never more memory than the file is large, and nothing that only later turns out to be wrong.
"""

import json
import math
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Any

from pydantic import TypeAdapter, ValidationError

from toolkit_common.errors import InputError
from toolkit_common.outside import reason_of
from toolkit_common.printable import shortened

MAX_JSON_BYTES = 256 << 20  # of a file; results of a large study have some MB
MAX_DEPTH = 64
ENDLESS = "a pipe, socket or device"
KINDS = {
    type(None): "nothing", bool: "true or false", int: "a number", float: "a number", str: "text",
    list: "a list", dict: "`key: value` lines",
}  # fmt: skip


def read_bytes(path: Path, most: int) -> bytes:
    """Return what a file holds; never more than is allowed, whatever the file is.

    Raises:
        InputError: If it holds more, or is a pipe, socket or device.
        OSError: If it cannot be read.
    """
    refuse_pipe(path)
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise InputError(f"{path} is larger than {most:,} bytes: no such file is")
    return content


def is_endless(path: Path) -> bool:
    """Whether a path is a pipe, socket or device: to read one may wait, or go on, for ever.

    Raises:
        OSError: If nothing is there.
    """
    mode = path.stat().st_mode
    return not S_ISREG(mode) and not S_ISDIR(mode)


def refuse_pipe(path: Path) -> None:
    """Refuse a pipe, socket or device, but one named in `/dev`: a shell's `<(...)` is one.

    Raises:
        InputError: If so.
        OSError: If nothing is there.
    """
    if path.parts[:2] != ("/", "dev") and is_endless(path):
        raise InputError(f"{path} is {ENDLESS}: give a file")


def parse_json(text: str | bytes, where: Path | str) -> Any:
    """Return a JSON text's values, all numbers finite, not nested without end.

    Args:
        text: The text, UTF-8.
        where: What messages call it.

    Raises:
        InputError: If it is no such text.
    """
    if not text.strip():
        raise InputError(f"{where} is damaged, no JSON: it is empty")
    try:
        values = json.loads(
            text, parse_constant=_refuse_constant, parse_float=_finite, parse_int=_integer
        )
        _refuse_depth(values, MAX_DEPTH)
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, a number of 5000 digits
        raise InputError(f"{where} is damaged, no JSON: {reason_of(error)}") from None
    return values


def checked(kind: Any, values: Any, where: Path | str) -> Any:
    """Return values as a type of ours, strictly: as JSON has them.

    Args:
        kind: The type, of pydantic's or a dataclass.
        values: What `parse_json` gave.
        where: What messages call it.

    Raises:
        InputError: If a key is missing, unknown or of another kind; the message names the first.
    """
    try:
        # Over JSON: strict about Python objects would refuse a list where a tuple is meant.
        return TypeAdapter(kind).validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        raise InputError(f"{where}: {first_problem(error)}") from None


def first_problem(error: ValidationError) -> str:
    """Return the first thing that is wrong, in one line: its place, why, and the value."""
    first = error.errors(include_url=False)[0]
    place = ".".join(map(str, first["loc"]))
    message = first["msg"].removeprefix("Value error, ")
    message = f"{message[:1].lower()}{message[1:]}"
    text = f"{place}: {message}" if place else message
    given = first["input"]
    is_whole = isinstance(given, dict) or first["type"] in ("missing", "extra_forbidden")
    return shortened(text) if is_whole else f"{shortened(text)}, got {shown(given)}"


def shown(value: Any) -> str:
    """Return a value as a message shows it: in one line, cut where it is long."""
    if isinstance(value, int) and value.bit_length() > 1024:  # which Python refuses to write out
        return "a number of hundreds of digits"
    # Of a text of megabytes only what is shown is written out.
    return shortened(repr(value[:1000] if isinstance(value, (str, bytes)) else value))


def kind_of(value: Any) -> str:
    """Return what a value of a file is, as a message names it."""
    return KINDS.get(type(value), "something else")


def _refuse_constant(word: str) -> float:
    raise ValueError(f"{word} is no number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:50]} is beyond any number")
    return number


def _integer(text: str) -> int:
    _finite(text)  # what has no float raises wherever it is computed with
    return int(text)


def _refuse_depth(values: Any, left: int) -> None:
    if left == 0:
        raise ValueError(f"nested deeper than {MAX_DEPTH}")
    if isinstance(values, dict):
        values = values.values()
    elif not isinstance(values, list):
        return
    for item in values:
        if isinstance(item, (dict, list)):
            _refuse_depth(item, left - 1)
