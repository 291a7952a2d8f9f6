"""What run.json says of a run: kind, software, machine, command, hashes of what it depends on."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from toolkit_common.errors import InputError
from toolkit_common.foreign.values import checked
from toolkit_common.runs.files import read_json

FACTS, SETTINGS = "run.json", "config.yaml"
FOLD_PREFIX = "fold-"  # how folds within a run of all begin


class _Facts(BaseModel):
    """The entries that are read by name; kinds of runs have more, and all have a kind."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)

    kind: str = Field(min_length=1)
    versions: Mapping[str, str] = {}
    commit: str | None = None
    command: Sequence[str] = ()
    machine: Mapping[str, Any] = {}
    folder: str = ""
    folder_from_run: str = ""
    starts: Sequence[str] = ()
    data: str = ""
    splits: str = ""
    encoder: str = ""
    metadata_encoders: str = ""
    parent: str = ""


def read_facts(run: Path) -> dict[str, Any]:
    """Return what the run.json of a run folder says.

    Raises:
        InputError: If it is damaged; the message names the file and the entry.
        OSError: If it cannot be read.
    """
    path = run / FACTS
    facts: dict[str, Any] = read_json(path)
    checked(_Facts, facts, f"{path} is damaged")
    return facts


def is_run(folder: Path) -> bool:
    """Tell whether a folder is that of a run: a run.json that is damaged lies beside settings."""
    if not (folder / FACTS).is_file():
        return False
    try:
        return (folder / SETTINGS).is_file() or bool(read_facts(folder))
    except (InputError, OSError):
        return False
