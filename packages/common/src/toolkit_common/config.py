"""Settings: frozen and strict classes, filled from defaults < preset < file < options.

Every value remembers where it came from, and an unknown key is an error that names the nearest
key. The settings class is the one place that holds an option's name, default and help; the
command line (`toolkit_common.cli.command`) is generated from it.
"""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any, ClassVar, Generic, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo
from typing_extensions import override

from toolkit_common.errors import InputError
from toolkit_common.registry import did_you_mean, lookup

DEFAULT, RESUMED = "default", "resumed run"  # sources of what no file and no option gave

logger = logging.getLogger(__name__)


class Settings(BaseModel):
    """Base of all settings classes: frozen, typed, finite, unknown keys refused.

    `gone` holds settings of earlier versions and the one value that is left of each: old files and
    commands that give this value are read with a note, any other value is refused. `renamed` holds
    old names and the key of today (`group.name` in a field that holds groups): they stay valid in
    files, run folders and on the command line, with a note; help does not show them.
    """

    gone: ClassVar[Mapping[str, Any]] = {}
    renamed: ClassVar[Mapping[str, str]] = {}

    # Defaults are checked as well: a wrong one would be found by its first user.
    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )


S = TypeVar("S", bound=Settings)


def split_commas(value: Any) -> Any:
    """Turn `a,b,c`, a list or a single number into a tuple; anything else is left to pydantic."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return tuple(value) if isinstance(value, list) else (value,) if _is_scalar(value) else value


def _is_scalar(value: Any) -> bool:
    # True is an int to Python, not to us.
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def split_values(value: Any) -> Any:
    """Turn `a,b,c`, a list or anything single into a tuple; words that are numbers become some."""
    if isinstance(value, str):
        return tuple(_number_or_word(part.strip()) for part in value.split(",") if part.strip())
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


def _number_or_word(text: str) -> int | float | str:
    for kind in (int, float):  # 4 stays a whole number
        try:
            return kind(text)
        except ValueError:
            continue
    return text


PositiveFloats = Annotated[
    tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1), BeforeValidator(split_commas)
]
Names = Annotated[tuple[str, ...], Field(min_length=1), BeforeValidator(split_commas)]
Values = Annotated[tuple[Any, ...], Field(min_length=1), BeforeValidator(split_values)]
Groups = Mapping[str, Mapping[str, Values]]  # of a field with `holds_groups`


def option(
    default: Any,
    help: str,  # noqa: A002 (the word typer uses)
    *,
    panel: str = "Options",
    flag: str | None = None,
    affects_result: bool = True,
    holds_groups: bool = False,
    **constraints: Any,
) -> Any:
    """Declare a settings field that is also a command-line option.

    Args:
        default: Its default value.
        help: One line for `--help`.
        panel: Heading of `--help` under which it stands.
        flag: Short flag such as `-o`.
        affects_result: Whether a resumed run must keep the value.
        holds_groups: Whether a group of settings that is no field of its own goes here (type
            `Groups`): `--set NAME.KEY=VALUE` for any NAME. No option, and at most one a class.
        **constraints: Forwarded to `pydantic.Field` (`gt=0`, `le=1`, ...).
    """
    extra: dict[str, Any] = {
        "panel": panel,
        "flag": flag,
        "affects_result": affects_result,
        "holds_groups": holds_groups,
    }
    return Field(default, description=help, json_schema_extra=extra, **constraints)


@dataclass(frozen=True)
class Layer:
    """Values from one source: a preset, a file, `--set` or one option."""

    source: str
    values: Mapping[Any, Any]  # a file may hold any key: `resolve` refuses unknown ones


@dataclass(frozen=True)
class Resolved(Generic[S]):
    """Settings together with the source of every value (dotted key -> source).

    `notes` name the old names that were used, and those of today.
    """

    settings: S
    sources: Mapping[str, str]
    notes: Sequence[str] = ()

    def to_yaml(self) -> str:
        """Render the settings as YAML, each value followed by its source in a comment."""
        return "\n".join(_render(self.settings.model_dump(mode="json"), self.sources)) + "\n"

    def result_settings(self) -> dict[str, Any]:
        """Return the values that affect the result, by dotted key."""
        dump = self.settings.model_dump(mode="json")
        free = {
            name
            for name, field in type(self.settings).model_fields.items()
            if not field_extra(field)["affects_result"]
        }
        return {key: value for key, value in flatten(dump) if key.split(".")[0] not in free}


@dataclass(frozen=True)
class Invocation(Generic[S]):
    """One call of a run command: what to compute (`resolved`) and how to carry it out."""

    resolved: Resolved[S]
    output: Path | None
    resume: bool = False
    overwrite: bool = False
    as_json: bool = False

    @property
    def settings(self) -> S:
        """The settings alone."""
        return self.resolved.settings


def field_extra(field: FieldInfo) -> dict[str, Any]:
    """Return what `option` declared beside a field's type, default and help."""
    declared = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    plain = {"panel": "Options", "flag": None, "affects_result": True, "holds_groups": False}
    return plain | dict(declared)


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
    return Resolved(settings, {key: _source_of(key, sources) for key in keys}, notes)


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


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice, of which YAML takes the last without a word."""

    @override
    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for number, key in enumerate(keys):
            if key in keys[:number]:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key!r} stands there twice", node.value[number][0].start_mark
                )
        return super().construct_mapping(node, deep=deep)


def read_yaml(path: Path) -> Layer:
    """Read a settings file.

    Raises:
        InputError: If it is missing, is no YAML, or is no mapping.
    """
    try:
        values = yaml.load(path.read_text(encoding="utf-8-sig"), Loader=_Loader)
    except FileNotFoundError:
        raise InputError(f"no configuration file at {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the configuration file {path}: {error}") from None
    # Tags can make it raise other kinds: open (docs/traps.md 31).
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date such as 2024-13-45
        raise InputError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if values is not None and not isinstance(values, dict):
        raise InputError(f"{path} must hold `key: value` lines, got a {type(values).__name__}")
    return Layer(str(path), values or {})


def parse_assignment(text: str) -> Layer:
    """Turn `a.b=c` into a layer; the value is read as YAML (`true`, `[1, 2]`, `1e-3`).

    Raises:
        InputError: If there is no `=`.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise InputError(f"--set wants key=value, got {text!r}")
    try:
        # 1e-3 is text to YAML; typed fields make a number of it (docs/traps.md 20).
        nested: Any = yaml.safe_load(value) if value else ""
    except (yaml.YAMLError, ValueError):
        nested = value
    for part in reversed(key.strip().split(".")):
        nested = {part: nested}
    return Layer("--set", nested)


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
            raise InputError(f"{source}: unknown setting {prefix}{key!s}{hint}")
        if field_extra(owner.model_fields[key])["holds_groups"]:
            _merge_groups_(values.setdefault(key, {}), value, source, sources, prefix=key)
            continue
        nested = owner.model_fields[key].annotation
        if isinstance(nested, type) and issubclass(nested, BaseModel):
            if not isinstance(value, Mapping):
                raise InputError(f"{source}: {prefix}{key} is a group of settings, got {value!r}")
            inner = values.setdefault(key, {})
            front = f"{prefix}{key}."
            _merge_(inner, value, nested, source=source, sources=sources, prefix=front)
        else:
            values[key] = value
            sources[f"{prefix}{key}"] = source


def _check_gone(key: str, value: Any, source: str, *, left: Any) -> None:
    given = yaml.safe_load(value) if isinstance(value, str) else value  # an option gives text
    if given != left:
        raise InputError(f"{source}: the setting {key} is gone, only {left} is left: got {value!r}")
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
                f"{source}: {group} is a group of settings, got {items!r}: give --set "
                f"{group}.NAME=VALUE, or in a file {group}: {{NAME: VALUE}}"
            )
        values.setdefault(group, {}).update(items)
        sources |= {f"{prefix}.{group}.{name}": source for name in items}


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested mappings by dotted key."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            # An empty group is a value: without it the key would be lost.
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _source_of(key: str, sources: Mapping[str, str]) -> str:
    parts = key.split(".")
    prefixes = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((sources[prefix] for prefix in prefixes if prefix in sources), DEFAULT)


def _render(values: Mapping[str, Any], sources: Mapping[str, str], prefix: str = "") -> list[str]:
    lines: list[str] = []
    indent = "  " * prefix.count(".")
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            lines += [f"{indent}{key}:", *_render(value, sources, f"{prefix}{key}.")]
        else:
            # In one line, however long: the source stands behind it.
            text = yaml.safe_dump(value, default_flow_style=True, width=10**6)
            text = text.removesuffix("\n").removesuffix("\n...")  # ends a bare word
            lines.append(f"{indent}{key}: {text}  # {sources[prefix + key]}")
    return lines


def _first_problem(error: ValidationError, sources: Mapping[str, str]) -> str:
    first = error.errors()[0]
    # What follows a position in a list is no key but a member of a union.
    key = ".".join(map(str, takewhile(lambda part: isinstance(part, str), first["loc"])))
    message = first["msg"].removeprefix("Value error, ")
    source = f" (from {_source_of(key, sources)})" if key and _source_of(key, sources) else ""
    given = "" if isinstance(first["input"], dict) else f", got {first['input']!r}"
    return f"{key or 'settings'}: {message[0].lower()}{message[1:]}{given}{source}"
