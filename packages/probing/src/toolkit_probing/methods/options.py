"""The options of a method: the keyword-only arguments of a signature, read, checked and listed."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import TypeAdapter, ValidationError

from toolkit_common.errors import InputError
from toolkit_common.registry import did_you_mean
from toolkit_probing.probes.base import GRID


@dataclass(frozen=True)
class Option:
    """One option.

    Attributes:
        name: The argument's name.
        kind: Its annotation. A tuple holds values that a method tries and picks among; of any other
            kind several values make several variants, each judged by itself.
        default: Its default.
    """

    name: str
    kind: Any
    default: Any

    @property
    def choices(self) -> str:
        """The values that it may have, where they are a few words."""
        return "|".join(_choices(self.kind))

    @property
    def default_values(self) -> tuple[Any, ...]:
        """The values that, given, are the default."""
        return tuple(self.default) if self.holds_several else (self.default,)

    @property
    def holds_several(self) -> bool:
        """Whether a variant has all values together, to pick among."""
        return get_origin(_bare(self.kind)) is tuple

    def read(self, given: Sequence[Any]) -> tuple[Any, ...]:
        """Return the argument of every variant.

        Raises:
            ValueError: If a value is not of the option's kind; the message gives it.
        """
        flags = [value for value in given if isinstance(value, bool)]  # ints to Python, not to us
        if flags:
            raise ValueError(f"input should be a number or a word, got {flags[0]}")
        if self.holds_several:
            return (self._checked(tuple(given)),)
        # Each once: equal variants would be heads of one name.
        return tuple(dict.fromkeys(self._checked(value) for value in given))

    def _checked(self, value: Any) -> Any:
        try:
            return TypeAdapter(self.kind).validate_python(value)
        except ValidationError as error:
            first = error.errors()[0]
            message = first["msg"][0].lower() + first["msg"][1:]
            raise ValueError(f"{message}, got {first['input']!r}") from None


def options_of(signature: Callable[..., Any]) -> dict[str, Option]:
    """Return the options of a pooling, or of any callable with keyword-only arguments."""
    return {
        item.name: Option(item.name, item.annotation, item.default)
        for item in inspect.signature(signature).parameters.values()
        if item.kind is inspect.Parameter.KEYWORD_ONLY and item.name != GRID
    }


def complete_options(signature: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return all options of a signature: those that are given, and the others' defaults."""
    return {name: given.get(name, item.default) for name, item in options_of(signature).items()}


def read_options(
    method: str,
    options: Mapping[str, Option],
    given: Mapping[str, Sequence[Any]],
    *,
    sources: Mapping[str, str] | None = None,
) -> dict[str, tuple[Any, ...]]:
    """Return the arguments of all of a method's options, defaults included, one a variant.

    Args:
        method: Its name.
        options: All that it has.
        given: Option -> values.
        sources: Where these come from, for the message.

    Raises:
        InputError: If the method has no such option, or a value is not of its option's kind.
    """
    arguments = {name: (option.default,) for name, option in options.items()}
    for name, values in given.items():
        source = (sources or {}).get(name)
        refuse_unknown_option(method, options, name, source=source)
        try:
            arguments[name] = options[name].read(values)
        except ValueError as error:
            place = f" (from {source})" if source else ""
            raise InputError(f"{method}.{name}: {error}{place}") from None
    return arguments


def refuse_unknown_option(
    method: str, options: Mapping[str, Option], name: str, *, source: str | None = None
) -> None:
    """Refuse an option that a method does not have; the message gives the nearest that it has."""
    if name not in options:
        place = f"{source}: " if source else ""
        hint = did_you_mean(name, options) if options else f": {method} has no options"
        raise InputError(f"{place}unknown option of {method} {name!r}{hint}")


def _bare(kind: Any) -> Any:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _choices(kind: Any) -> list[str]:
    kind = _bare(kind)
    if get_origin(kind) is Literal:
        return [str(value) for value in get_args(kind)]
    parts = get_args(kind) if get_origin(kind) in (Union, UnionType, tuple) else ()
    return [choice for part in parts for choice in _choices(part)]
