"""The sha256 of all that a finished run wrote: what has changed since is no figure of that run.

It tells damage and slips of an editor, not who wrote a file: whoever writes a run can write its
manifest too. A run that has not ended has none, and one of which it was removed is not compared.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolkit_common.errors import InputError
from toolkit_common.foreign.values import MAX_JSON_BYTES, checked, parse_json, read_bytes
from toolkit_common.outside import is_of_machine, reason_of
from toolkit_common.runs.files import read_json, sha256_of, write_json

MANIFEST, RESULTS, DONE = "manifest.json", "results.json", "DONE"


def write_manifest(run: Path, sums: Mapping[str, str]) -> None:
    """Write the sha256 of each file, by its place in the run's folder."""
    write_json(run / MANIFEST, sums)


def read_manifest(run: Path) -> dict[str, str]:
    """Return the sha256 of each file of a run; of one that has not ended there are none.

    Raises:
        InputError: If they are damaged.
    """
    path = run / MANIFEST
    if not path.is_file():
        return {}
    listed: dict[str, str] = checked(dict[str, str], read_json(path), f"{path} is damaged")
    return listed


def refuse_changed(run: Path, *names: str) -> None:
    """Refuse files of a finished run that are not as it wrote them; others are not looked at.

    Raises:
        InputError: If so.
    """
    listed = read_manifest(run)
    for name in names:
        path = run / name
        if name in listed and path.is_file() and sha256_of(path) != listed[name]:
            raise _changed(path)


def results_file(run: Path) -> Path:
    """Return the results.json of a run.

    Raises:
        InputError: If there is none.
    """
    path = run / RESULTS
    if path.is_file():  # a pipe would be waited for
        return path
    if (run / DONE).exists():
        raise InputError(
            f"{run} is damaged: it has {DONE} and no {RESULTS}; put that file back, or run it "
            "again with --overwrite"
        )
    raise InputError(f"{run} has no {RESULTS}: it is no finished run folder")


def read_run_results(run: Path) -> dict[str, Any]:
    """Return what the results.json of a run holds, which kinds of runs check by types of their own.

    Raises:
        InputError: If it is not there, cannot be read, is no JSON object, or is not as the run
            wrote it.
    """
    path = results_file(run)
    try:
        content = read_bytes(path, MAX_JSON_BYTES)
    except OSError as error:
        if is_of_machine(error):
            raise  # nothing follows for the file
        raise InputError(f"cannot read {path}: {reason_of(error)}") from None
    # Any number within its bounds would be shown as the run's.
    known = read_manifest(run).get(RESULTS)
    if known is not None and hashlib.sha256(content).hexdigest() != known:
        raise _changed(path)
    try:
        values = parse_json(content, path)
    except InputError as error:
        raise InputError(f"{error}: run it again") from None
    if not isinstance(values, dict):
        raise InputError(f"{path} is damaged: it holds no JSON object: run it again")
    return values


def _changed(path: Path) -> InputError:
    return InputError(
        f"{path} is not as the run wrote it ({MANIFEST} has another sha256): put it back, or run "
        "it again"
    )
