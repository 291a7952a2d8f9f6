"""Settings together with where each value came from: written with it, and compared."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

import yaml

from toolkit_common.config.settings import S, field_extra
from toolkit_common.foreign.plain_yaml import PlainDumper

DEFAULT, RESUMED = "default", "resumed run"  # sources of what no file and no option gave


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


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested mappings by dotted key."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            # An empty group is a value: without it the key would be lost.
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def source_of(key: str, sources: Mapping[str, str]) -> str:
    """Return where a value came from, by its dotted key."""
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
            text = yaml.dump(value, Dumper=PlainDumper, default_flow_style=True, width=10**6)
            text = text.removesuffix("\n").removesuffix("\n...")  # ends a bare word
            lines.append(f"{indent}{key}: {text}  # {sources[prefix + key]}")
    return lines
