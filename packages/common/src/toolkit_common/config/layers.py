"""Where values come from: a settings file, `--set`, and what else gives a layer of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit_common.errors import InputError
from toolkit_common.foreign.plain_yaml import read_document, read_value


@dataclass(frozen=True)
class Layer:
    """Values from one source: a preset, a file, `--set` or one option."""

    source: str
    values: Mapping[Any, Any]  # a file may hold any key: `resolve` refuses unknown ones


def read_yaml(path: Path) -> Layer:
    """Read a settings file.

    Raises:
        InputError: If it is missing, or holds more than plain values of YAML by their keys.
    """
    return Layer(str(path), read_document(path, or_empty=True).values)


def parse_assignment(text: str) -> Layer:
    """Turn `a.b=c` into a layer; the value is read as YAML (`true`, `[1, 2]`, `1e-3`).

    Raises:
        InputError: If there is no `=`.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise InputError(f"--set wants key=value, got {text!r}")
    try:
        nested: Any = read_value(value, "--set") if value else ""
    except InputError:  # no YAML, or more than plain values: as it stands, a text
        nested = value
    for part in reversed(key.strip().split(".")):
        nested = {part: nested}
    return Layer("--set", nested)
