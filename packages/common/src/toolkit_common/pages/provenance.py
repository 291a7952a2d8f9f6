"""Where the figures of a page come from: command, commit, versions, machine, hashes."""

from collections.abc import Iterator, Mapping
from typing import Any

from toolkit_common.printable import placeless_command

HASHES = ("data", "splits", "encoder", "metadata_encoders", "parent")


def origin(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what run.json says of a run, a name and a text each."""
    yield "begun", ", ".join(facts.get("starts", []))
    yield "commit", facts.get("commit") or "not known"
    yield "versions", listed(facts.get("versions", {}))
    yield "machine", listed(facts.get("machine", {}))
    yield "hashes", listed({key: facts[key][:12] for key in HASHES if key in facts})


def command_of(facts: Mapping[str, Any]) -> str:
    """Return the command that began a run, PATH in it for folders of this machine."""
    words = facts.get("command")
    return placeless_command(map(str, words)) if isinstance(words, list) else ""


def listed(values: Mapping[str, Any]) -> str:
    """Return `name value` of what there is."""
    return ", ".join(
        f"{key.replace('_', ' ')} {value}"
        for key, value in values.items()
        if value not in ([], None)
    )
