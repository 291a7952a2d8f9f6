"""Where values come from: a settings file, `--set`, and what else gives a layer of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from typing_extensions import override

from toolkit_common.errors import InputError


@dataclass(frozen=True)
class Layer:
    """Values from one source: a preset, a file, `--set` or one option."""

    source: str
    values: Mapping[Any, Any]  # a file may hold any key: `resolve` refuses unknown ones


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
