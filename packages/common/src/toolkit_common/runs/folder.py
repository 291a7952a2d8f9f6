"""The run folder: what was requested, on what machine, what came out, and a mark that it is whole.

```
runs/NAME/
  config.yaml      resolved settings, each with its source
  run.json         versions, command, machine, fingerprints
  log.txt          what was printed for humans
  metrics.jsonl    one JSON object a line while running
  results.json     the figures (versioned)
  manifest.json    sha256 of every file
  DONE             written last
  .lock            while a process writes the folder
```
"""

import json
import logging
import operator
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

from toolkit_common.config import Invocation, Resolved, S, read_yaml, resolve
from toolkit_common.console import console
from toolkit_common.errors import InputError
from toolkit_common.foreign.values import parse_json
from toolkit_common.launched import is_main_process
from toolkit_common.runs.checkpoints import CHECKPOINTS
from toolkit_common.runs.environment import environment
from toolkit_common.runs.facts import FACTS, read_facts
from toolkit_common.runs.files import (
    METRICS_LOG,
    refuse_unwritable,
    sha256_of,
    write_json,
    write_text,
)
from toolkit_common.runs.locks import LOCK, lock_folder, refuse_locked, unlock_folder
from toolkit_common.runs.manifest import DONE, MANIFEST, RESULTS, read_manifest, write_manifest
from toolkit_common.runs.replaced import refuse_replacing

RESULTS_VERSION = 1
TIMES = (  # see `toolkit_common.images.keys`
    ". Times of image files count as data: if nothing else changed, copy the files again with "
    "their times (cp -p, rsync -t)"
)
logger = logging.getLogger(__name__)


class RunFolder:
    """Writes and reads one run folder; only the main process may write."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def is_done(self) -> bool:
        """Whether the run ended and its files are whole."""
        return (self.path / DONE).exists()

    def start(self, invocation: Invocation[Any], *, kind: str, facts: Mapping[str, Any]) -> None:
        """Create the folder, or take up the one to resume, and record what is about to happen.

        Args:
            invocation: The call; its resolved configuration is written first.
            kind: `probe`, `pretrain-slimp`, ...
            facts: More entries for run.json: fingerprints of what the result depends on.

        Raises:
            InputError: If another process writes the folder, or a fact of the run to resume is
                another now; nothing is written then.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:  # a dangling link, say
            raise InputError(f"cannot make the run folder {self.path}: {error.strerror}") from None
        # Before anything is deleted or written: two runs would mix their files.
        lock_folder(self.path)
        _remove_begun(self.path)
        if invocation.overwrite:
            _clear(self.path)
        # Killed before DONE, a run that goes on writes its files anew.
        (self.path / MANIFEST).unlink(missing_ok=True)
        # Those of the first start stay: where results depend on them a resumed run's are equal.
        if not (self.path / "config.yaml").exists():
            write_text(self.path / "config.yaml", invocation.resolved.to_yaml())
        stored = self.facts() if self.has(FACTS) else {}
        _check_unchanged(self, stored, facts)
        starts = stored.get("starts", [])
        write_json(
            self.path / FACTS,
            {
                "kind": kind,
                **environment(),
                **_places(self.path, stored),
                **facts,
                "starts": [*starts, _now()],
            },
        )
        console.begin_log(self.path)

    def begun_in(self) -> Path:
        """Return the folder that the run was started in, from which its settings name files.

        Where that is gone, the folder that lies to the run as it did then (both were moved); else
        the present one.
        """
        facts = self.facts() if self.has(FACTS) else {}
        places = [Path(facts["folder"])] if "folder" in facts else []
        if "folder_from_run" in facts:
            places.append(self.path.absolute() / facts["folder_from_run"])
        return next((place.resolve() for place in places if place.is_dir()), Path.cwd())

    @contextmanager
    def where_it_began(self) -> Iterator[None]:
        """Work in the folder that the run was started in, see `begun_in`."""
        with chdir(self.begun_in()):
            yield

    def has(self, name: str) -> bool:
        """Whether the folder holds a file of that name."""
        return (self.path / name).exists()

    def facts(self) -> dict[str, Any]:
        """Return what run.json says.

        Raises:
            InputError: If it is not there, or damaged.
        """
        if not self.has(FACTS):
            raise InputError(f"{self.path} has no {FACTS}: it is no finished run folder")
        return read_facts(self.path)

    def log(self, **values: Any) -> None:
        """Append one line to metrics.jsonl; NaN and infinity, which are no JSON, become null."""
        # There and back: json can replace NaN only while it parses.
        values = json.loads(json.dumps(values), parse_constant=lambda _: None)
        with (self.path / METRICS_LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")

    def rewind_log(self, step: int) -> None:
        """Drop the lines of metrics.jsonl after `step`: a resumed run writes them again."""
        path = self.path / METRICS_LOG
        if path.exists():
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            # Lines of steps after the checkpoint would stand there twice.
            kept = [line for line in lines if _step_of(line) <= step]
            write_text(path, "".join(f"{line}\n" for line in kept))

    def write_results(self, results: Mapping[str, Any]) -> None:
        """Write results.json."""
        write_json(self.path / RESULTS, {"version": RESULTS_VERSION, **results})

    def finish(self, *, keep_checkpoints: bool = False) -> None:
        """Write the manifest of checksums, then DONE; others may write the folder again.

        Args:
            keep_checkpoints: Whether states that were saved on the way stay.
        """
        console.end_log(self.path)  # whole, before it is hashed
        states = self.path / CHECKPOINTS
        files = sorted(
            path
            for path in self.path.rglob("*")
            if path.is_file() and (keep_checkpoints or states not in path.parents)
        )
        listed = {str(file.relative_to(self.path)): sha256_of(file) for file in files}
        for name in (MANIFEST, LOCK):
            listed.pop(name, None)
        write_manifest(self.path, listed)
        # Only DONE says that a run is whole: what follows may be cut short.
        write_text(self.path / DONE, _now() + "\n")
        if not keep_checkpoints:  # killed before DONE, the run would have begun anew without them
            shutil.rmtree(states, ignore_errors=True)
        unlock_folder(self.path)

    def drop_checkpoints(self) -> None:
        """Remove the states that a finished run has kept, from its manifest too."""
        if listed := read_manifest(self.path):
            kept = {name: sum_ for name, sum_ in listed.items() if not _is_state(name)}
            write_manifest(self.path, kept)
        shutil.rmtree(self.path / CHECKPOINTS, ignore_errors=True)


def choose_run_folder(
    invocation: Invocation[S],
    *,
    name: str,
    complete: Callable[[Resolved[S]], Resolved[S]] = lambda resolved: resolved,
) -> RunFolder:
    """Return the folder that a call will write, without touching the disk.

    Args:
        invocation: The call.
        name: Stem of the folder's name where `--output` is not given.
        complete: Adds to the settings of a run to resume what the call's have been completed by.

    Raises:
        InputError: If the folder exists and neither `--resume` nor `--overwrite` was given, if
            there is nothing to resume, if a resumed run's settings changed, if `--overwrite` would
            delete what no run has written, if the folder cannot be made or written,
            or if another process writes it.
    """
    if invocation.output is None:
        refuse_unwritable(Path("runs"), option="the folder")
        return RunFolder(_next_free(Path("runs"), name))
    run = RunFolder(invocation.output)
    if invocation.resume and invocation.overwrite:
        raise InputError("--resume and --overwrite exclude each other")
    if invocation.resume:
        _check_resumable(run, invocation.resolved, complete)
    elif run.path.is_file():
        raise InputError(f"{run.path} is a file: give --output a folder")
    elif run.path.exists() and _names_in(run.path):
        if not invocation.overwrite:
            raise InputError(
                f"run folder {run.path} exists: add --resume to continue it, --overwrite to "
                "replace it, or choose another --output"
            )
        refuse_replacing(run.path)  # one mistyped --output must not cost what is somebody's own
    if is_main_process():  # which may hold the lock when another process looks
        refuse_unwritable(run.path, option="--output")
        refuse_locked(run.path)
    return run


def changed_settings(
    old: Resolved[Any], new: Resolved[Any], *, same: Callable[[Any, Any], bool] = operator.eq
) -> list[str]:
    """Return what affects the result and is another now: key, old and new value.

    Args:
        old: Settings of before.
        new: Settings of now.
        same: Whether two values mean the same.
    """
    before, after = old.result_settings(), new.result_settings()
    return [
        f"{key} (was {before.get(key)!r}, now {after.get(key)!r})"
        for key in sorted({*before, *after})
        if not same(before.get(key), after.get(key))
    ]


def _check_resumable(
    run: RunFolder, resolved: Resolved[S], complete: Callable[[Resolved[S]], Resolved[S]]
) -> None:
    if not run.has("config.yaml"):
        raise InputError(
            f"nothing to resume at {run.path}: it has no config.yaml; start it without --resume"
        )
    try:
        # Read by today's settings, which know old names and fill in fields that are new since.
        stored = resolve(type(resolved.settings), [read_yaml(run.path / "config.yaml")])
        if run.has(FACTS):
            run.facts()
    except InputError as error:
        raise InputError(
            f"cannot resume {run.path}: {error}; put that file back as it was, or start anew with "
            "--overwrite in place of --resume"
        ) from None
    if changed := changed_settings(complete(stored), resolved):
        raise InputError(
            f"cannot resume {run.path} with other settings: {'; '.join(changed)}; "
            "leave them as they were, or start a new run"
        )


def _check_unchanged(run: RunFolder, stored: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Refuse other data or another encoder: rows would cross splits under one set of weights."""
    changed = [key for key in facts if key in stored and stored[key] != facts[key]]
    if changed:
        listed = "; ".join(
            f"{key.replace('_', ' ')} (was {str(stored[key])[:12]}, now {str(facts[key])[:12]})"
            for key in changed
        )
        raise InputError(
            f"cannot resume {run.path}: since it began, these have changed: {listed}; "
            f"put them back, or start a new run{TIMES if 'data' in changed else ''}"
        )


def _places(run: Path, stored: Mapping[str, Any]) -> dict[str, str]:
    """Return where a run began: in full, and as seen from it, which holds when both are moved."""
    if "folder" in stored:
        return {key: stored[key] for key in ("folder", "folder_from_run") if key in stored}
    began, there = Path.cwd(), run.absolute()
    places = {"folder": str(began)}
    if there.is_relative_to(began):
        depth = len(there.relative_to(began).parts)
        places["folder_from_run"] = "/".join([".."] * depth)
    return places


def _is_state(name: str) -> bool:
    return CHECKPOINTS in Path(name).parts  # of the run, or of one fold within it


def _names_in(folder: Path) -> set[str]:
    """What a folder holds, but for what killed processes left behind."""
    names = {item.name for item in folder.iterdir()} - {LOCK}
    return {name for name in names if not (name.startswith(".") and name.endswith(".tmp"))}


def _remove_begun(folder: Path) -> None:
    """Remove what killed processes have begun to write: nobody else writes the folder now."""
    for item in [*folder.rglob(".*.tmp")]:
        if item.is_dir() and not item.is_symlink():
            shutil.rmtree(item)
        else:
            item.unlink(missing_ok=True)


def _clear(folder: Path) -> None:
    """Empty a run folder; killed on the way, it is still a run folder and not done."""
    (folder / DONE).unlink(missing_ok=True)
    last = ("run.json", "config.yaml")
    for item in folder.iterdir():
        if item.name == LOCK:  # ours
            continue
        if item.is_dir() and not item.is_symlink():  # what a link leads to is not ours
            shutil.rmtree(item)
        elif item.name not in last:
            item.unlink()
    for name in last:
        (folder / name).unlink(missing_ok=True)


def _next_free(root: Path, name: str) -> Path:
    number = 1
    while (root / f"{name}-{number}").exists():
        number += 1
    return root / f"{name}-{number}"


def _step_of(line: str) -> int:
    try:
        return int(parse_json(line, "a line").get("step", 0))
    except (InputError, ValueError, TypeError, AttributeError):  # a kill cut it, a disk spoilt it
        return sys.maxsize


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")
