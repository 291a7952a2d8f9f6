"""Merges layers of values: defaults < preset < file < options, old names read as those of today.

Every value remembers where it came from, and an unknown key is an error that names the nearest key.
"""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from itertools import takewhile
from typing import Any

from pydantic import BaseModel, ValidationError

from toolkit_common.config.layers import Layer
from toolkit_common.config.resolved import Resolved, flatten, source_of
from toolkit_common.config.settings import S, Settings, field_extra
from toolkit_common.errors import InputError
from toolkit_common.foreign.plain_yaml import read_value
from toolkit_common.foreign.values import shown
from toolkit_common.printable import shortened
from toolkit_common.registry import did_you_mean, lookup

logger = logging.getLogger(__name__)


def resolve(
    settings_class: type[S],
    layers: Sequence[Layer] = (),
    *,
    presets: Mapping[str, Mapping[str, Any]] | None = None,
    preset_field: str = "protocol",
    group_names: Callable[[], Collection[str]] = tuple,
) -> Resolved[S]:
    """Merge the layers, later ones winning, and validate.

    Args:
        settings_class: What to fill.
        layers: From weakest to strongest; defaults are below all of them.
        presets: Named sets of values, chosen by `preset_field`, between defaults and layers.
        preset_field: The setting that names the preset.
        group_names: Gives the groups that the field with `holds_groups` may have; called for an
            unknown key alone, as it may be slow.

    Raises:
        InputError: If a key is unknown or a value does not fit; the message names both.
    """
    stack = list(layers)
    if presets is not None:
        key = preset_field
        # The strongest layer that names a preset does so; the preset itself is weaker than all of
        # them.
        name = next(
            (layer.values[key] for layer in reversed(stack) if key in layer.values),
            settings_class.model_fields[key].default,
        )
        preset = lookup(presets, str(name), kind=key)
        stack.insert(0, Layer(f"{key} {name}", preset))
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    notes: list[str] = []
    for layer in stack:
        current, renamed = use_new_names(settings_class, layer, group_names)
        notes += renamed
        _merge_(values, current.values, settings_class, source=layer.source, sources=sources)
    try:
        settings = settings_class(**values)
    except ValidationError as error:
        # The first alone, in one line: pydantic's own text is many.
        raise InputError(_first_problem(error, sources)) from None
    keys = [key for key, _ in flatten(settings.model_dump(mode="json"))]
    return Resolved(settings, {key: source_of(key, sources) for key in keys}, notes)


def use_new_names(
    settings_class: type[Settings],
    layer: Layer,
    group_names: Callable[[], Collection[str]] = tuple,
) -> tuple[Layer, list[str]]:
    """Return a layer with today's names and its groups in their field, and a note an old name."""
    fields = settings_class.model_fields
    holder = next((key for key in fields if field_extra(fields[key])["holds_groups"]), None)
    values: dict[Any, Any] = {}
    groups: dict[str, Any] = {}
    notes = []
    for key, value in layer.values.items():
        new = settings_class.renamed.get(key, key)
        group, _, name = new.rpartition(".") if new != key else ("", "", key)
        if new != key:
            notes.append(_renaming(key, new, layer.source))
        if group:
            groups = _join(groups, {group: {name: value}})
        elif (
            holder is not None
            and key not in fields
            and (isinstance(value, Mapping) or key in group_names())
        ):
            groups = _join(groups, {key: value})
        else:
            values[new] = value
    if groups:
        assert holder is not None, "a setting was renamed into a group, and no field holds any"
        values[holder] = _join(values.get(holder, {}), groups)
    return Layer(layer.source, values), notes


def _join(groups: Any, more: Mapping[Any, Any]) -> Any:
    """Merge groups key by key; what is none stays as it is, for `_merge_groups_` to refuse."""
    if not isinstance(groups, Mapping):
        return groups
    joined = dict(groups)
    for name, items in more.items():
        own = joined.get(name, {})
        if isinstance(own, Mapping):
            joined[name] = {**own, **items} if isinstance(items, Mapping) else items
    return joined


def _renaming(old: str, new: str, source: str) -> str:
    """Say what an old name is now, as the user spells it."""
    if source != f"--{old.replace('_', '-')}":
        return f"setting {old} ({source}) is now {new}"
    return f"{source} is now " + (
        f"--set {new}=..." if "." in new else f"--{new.replace('_', '-')}"
    )


def _merge_(
    values: dict[str, Any],
    new: Mapping[Any, Any],
    owner: type[BaseModel],
    *,
    source: str,
    sources: dict[str, str],
    prefix: str = "",
) -> None:
    for key, value in new.items():
        # First, as what is gone is no field any more and would count as misspelt.
        if key in (gone := getattr(owner, "gone", {})):
            _check_gone(f"{prefix}{key}", value, source, left=gone[key])
            continue
        if key not in owner.model_fields:
            hint = did_you_mean(str(key), owner.model_fields)
            raise InputError(f"{source}: unknown setting {shortened(f'{prefix}{key}')}{hint}")
        if field_extra(owner.model_fields[key])["holds_groups"]:
            _merge_groups_(values.setdefault(key, {}), value, source, sources, prefix=key)
            continue
        nested = owner.model_fields[key].annotation
        if isinstance(nested, type) and issubclass(nested, BaseModel):
            if not isinstance(value, Mapping):
                raise InputError(
                    f"{source}: {prefix}{key} is a group of settings, got {shown(value)}"
                )
            inner = values.setdefault(key, {})
            front = f"{prefix}{key}."
            _merge_(inner, value, nested, source=source, sources=sources, prefix=front)
        else:
            values[key] = value
            sources[f"{prefix}{key}"] = source


def _check_gone(key: str, value: Any, source: str, *, left: Any) -> None:
    given = read_value(value, source) if isinstance(value, str) else value  # an option gives text
    if given != left:
        raise InputError(
            f"{source}: the setting {key} is gone, only {left} is left: got {shown(value)}"
        )
    _note_gone(key, left)


@cache  # once, however often a run reads its settings
def _note_gone(key: str, left: Any) -> None:
    logger.warning("the setting %s is gone, %s is all that is left: drop it", key, left)


def _merge_groups_(
    values: dict[str, Any], new: Any, source: str, sources: dict[str, str], prefix: str
) -> None:
    for group, items in new.items() if isinstance(new, Mapping) else [(prefix, new)]:
        if not isinstance(items, Mapping):
            raise InputError(
                f"{source}: {group} is a group of settings, got {shown(items)}: give --set "
                f"{group}.NAME=VALUE, or in a file {group}: {{NAME: VALUE}}"
            )
        values.setdefault(group, {}).update(items)
        sources |= {f"{prefix}.{group}.{name}": source for name in items}


def _first_problem(error: ValidationError, sources: Mapping[str, str]) -> str:
    first = error.errors()[0]
    # What follows a position in a list is no key but a member of a union.
    key = ".".join(map(str, takewhile(lambda part: isinstance(part, str), first["loc"])))
    message = first["msg"].removeprefix("Value error, ")
    source = f" (from {source_of(key, sources)})" if key and source_of(key, sources) else ""
    value = first["input"]
    is_said = isinstance(value, dict) or (isinstance(value, str) and repr(value) in message)
    given = "" if is_said else f", got {shown(value)}"
    return f"{key or 'settings'}: {message[0].lower()}{message[1:]}{given}{source}"
