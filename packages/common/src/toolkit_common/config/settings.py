"""Settings classes: frozen and strict, each field an option with its name, default and help.

The command line (`toolkit_common.cli.command`) is generated from them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator
from pydantic.fields import FieldInfo


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

    @field_validator("*")
    @classmethod
    def _expand_home(cls, value: Any) -> Any:
        return value.expanduser() if isinstance(value, Path) else value


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


def field_extra(field: FieldInfo) -> dict[str, Any]:
    """Return what `option` declared beside a field's type, default and help."""
    declared = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    plain = {"panel": "Options", "flag": None, "affects_result": True, "holds_groups": False}
    return plain | dict(declared)
