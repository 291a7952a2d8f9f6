"""YAML of plain values alone, bounded, with the line of every key.

No anchors, aliases and tags, which grow without end or raise what nobody expects (docs/traps.md
31); no keys twice; and of a plain word's meanings those of JSON alone: `no` is a word, `010` too,
and a date is text.
"""

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from typing_extensions import override

from toolkit_common.errors import InputError
from toolkit_common.foreign.values import kind_of, read_bytes
from toolkit_common.outside import reason_of
from toolkit_common.printable import one_line, shortened

MAX_BYTES = 1 << 20
MAX_DEPTH = 12
Place = tuple[str | int, ...]  # keys and positions from the top of a file on


class Document:
    """A file's values, and where in it they stand."""

    def __init__(self, path: Path, values: dict[str, Any], lines: Mapping[Place, int]) -> None:
        self.path = path
        self.values = values
        self._lines = lines

    def at(self, place: Place) -> str:
        """Return a place as an error names it: file, line and dotted key."""
        known = next(
            (place[:n] for n in range(len(place), 0, -1) if place[:n] in self._lines), None
        )
        line = f", line {self._lines[known]}" if known else ""
        key = one_line(".".join(map(str, place)))
        return f"{self.path}{line}: {key}" if key else f"{self.path}"


class _Loader(yaml.SafeLoader):
    """Refuses what is not plain, and knows JSON's words."""

    yaml_implicit_resolvers = {}  # noqa: RUF012
    depth = 0

    @override
    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise _problem("anchors and aliases (& and *) are not read: write it out", event)
        if getattr(event, "tag", None) is not None:
            raise _problem(f"tags are not read: {event.tag}", event)
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _problem(f"nested deeper than {MAX_DEPTH}", event)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class PlainDumper(yaml.SafeDumper):
    """Writes what this module reads as it was: `1e5` is text to YAML and a number here."""

    @override
    def ignore_aliases(self, data: Any) -> bool:
        return True


NUMBER = r"[-+]?(?:0|[1-9][0-9]*)"
for tag, pattern, first in (
    ("bool", "true|false", "tf"),
    ("null", "null|~|", ["n", "~", ""]),
    ("int", NUMBER, "-+0123456789"),
    ("float", rf"{NUMBER}(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?", "-+0123456789"),
):
    whole = re.compile(f"(?:{pattern})$")
    for kind in (_Loader, PlainDumper):
        kind.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", whole, list(first))


def read_document(path: Path, *, or_empty: bool = False) -> Document:
    """Read a file of plain YAML.

    Args:
        path: The file.
        or_empty: Whether it may hold nothing.

    Raises:
        InputError: If it is missing, too large, no mapping, no YAML, or holds more than plain
            values; the message names the line.
    """
    try:
        text = read_bytes(path, MAX_BYTES).decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"no file at {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {reason_of(error)}") from None
    node, values = _parse(text, str(path))
    if values is None and or_empty:
        return Document(path, {}, {})
    if not isinstance(values, dict):
        raise InputError(f"{path} must hold `key: value` lines, got {kind_of(values)}")
    return Document(path, values, dict(_lines(node, ())))


def read_value(text: str, place: str) -> Any:
    """Read one value, such as that of `--set`.

    Raises:
        InputError: If it is more than plain values.
    """
    return _parse(text, place)[1]


def _parse(text: str, place: str) -> tuple[Any, Any]:
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        values = None if node is None else _construct(loader, node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f", line {mark.line + 1}" if mark is not None else ""
        raise InputError(f"{place}{line}: {shortened(str(error.problem))}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{place} is not valid YAML: {reason_of(error)}") from None
    finally:
        if loader is not None:
            loader.dispose()
    return node, values


def _construct(loader: _Loader, node: Any) -> Any:
    """Return a node's values; keys are text, whatever they look like."""
    if isinstance(node, yaml.SequenceNode):
        return [_construct(loader, item) for item in node.value]
    if not isinstance(node, yaml.MappingNode):
        value = loader.construct_object(node)
        if isinstance(value, float) and not math.isfinite(value):
            raise _problem(f"{node.value} is beyond any number", node)
        return value
    values: dict[str, Any] = {}
    for key, item in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _problem("a key must be a word", key)
        if key.value in values:
            raise _problem(f"key {key.value!r} stands here twice", key)
        values[key.value] = _construct(loader, item)
    return values


def _lines(node: Any, place: Place) -> Iterator[tuple[Place, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, item in node.value:
            yield (*place, key.value), key.start_mark.line + 1
            yield from _lines(item, (*place, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield (*place, number), item.start_mark.line + 1
            yield from _lines(item, (*place, number))


def _problem(text: str, at: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=text, problem_mark=at.start_mark)
