"""Which run folders there are: of what kind, how far, how large, and the best figure of each."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from toolkit_common.errors import InputError
from toolkit_common.foreign.plain_yaml import read_document
from toolkit_common.runs.checkpoints import CHECKPOINTS
from toolkit_common.runs.facts import FACTS, FOLD_PREFIX, SETTINGS, is_run, read_facts
from toolkit_common.runs.files import read_json
from toolkit_common.runs.folder import RunFolder
from toolkit_common.runs.locks import refuse_locked
from toolkit_common.runs.manifest import DONE, RESULTS, read_run_results

State = Literal["done", "running", "interrupted"]
SHOWN = "balanced_accuracy"  # of a row: what no rare class is lost in
HELD_OUT = ("knn_auroc", "knn_balanced_accuracy", "recall_at_5")  # of a pre-training

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ListedRun:
    """A run folder.

    Attributes:
        path: Where.
        kind: `probe`, `pretrain-slimp`, ...
        backbone: Id of its encoder; empty where its settings name none.
        data: Id of its data set.
        state: Whether it has ended, is being written, or was cut short.
        folds: Of a run of all folds, how many have ended and how many there are.
        num_bytes: On disk.
        checkpoint_bytes: Of them, states to go on from.
        changed: When it ended, or was last written; seconds since 1970.
        row: Its best row; empty of what has none.
        metric: Of that row, or what a pre-training was watched by.
        figure: The number; None where there is none.
        seen: Whether that row's encoder has seen whom it is judged on.
    """

    path: Path
    kind: str
    backbone: str
    data: str
    state: State
    folds: tuple[int, int] | None
    num_bytes: int
    checkpoint_bytes: int
    changed: float
    row: str = ""
    metric: str = ""
    figure: float | None = None
    seen: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {**asdict(self), "path": str(self.path), "changed": round(self.changed)}


def whole_of(folder: Path) -> Path | None:
    """Return the run of all folds that a run is one fold of, if it is."""
    is_fold = folder.name.startswith(FOLD_PREFIX) and is_run(folder.parent)
    return folder.parent if is_fold else None


def find_run_folders(root: Path) -> Iterator[Path]:
    """Yield the run folders at or below a folder, by name; folds count with their whole.

    Damaged ones are among them, see `damage_of`.

    Raises:
        InputError: If there is no such folder.
    """
    if not root.is_dir():
        raise InputError(f"no folder of runs at {root}")
    for facts in sorted(root.rglob(FACTS)):
        folder = facts.parent
        if is_run(folder) and (folder == root or whole_of(folder) is None):
            yield folder


def refuse_damaged(folder: Path) -> None:
    """Refuse a run whose settings are gone, or no settings, or whose run.json is damaged.

    Raises:
        InputError: If so.
        OSError: If a file cannot be read.
    """
    if not (folder / SETTINGS).is_file():
        raise InputError(f"{folder} has no {SETTINGS}")
    read_facts(folder)
    read_document(folder / SETTINGS, or_empty=True)


def damage_of(folder: Path) -> str:
    """Return what is wrong with the files that tell what a run is, if anything is."""
    try:
        refuse_damaged(folder)
        if RunFolder(folder).is_done or (folder / RESULTS).is_file():
            read_run_results(folder)
    except InputError as error:
        return str(error)
    except OSError as error:
        return f"{folder} cannot be read: {error}"
    return ""


def damage_of_folds(folder: Path) -> Iterator[str]:
    """Yield what is wrong with the runs of single folds within a run of all."""
    for fold in sorted(folder.glob(f"{FOLD_PREFIX}*")):
        if (fold / FACTS).is_file() and (message := damage_of(fold)):
            yield message


def look_at_run(folder: Path) -> ListedRun:
    """Return what a run folder holds; a file that is damaged counts as absent."""
    settings = _settings(folder / SETTINGS)
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    row, metric, figure, seen = _best(_read(folder / RESULTS))
    return ListedRun(
        path=folder,
        kind=str(_read(folder / FACTS).get("kind", "")),
        backbone=str(settings.get("backbone") or "stand-in"),
        data=str(settings.get("data") or ""),
        state=state_of(folder),
        folds=_folds(folder, settings),
        num_bytes=sum(path.stat().st_size for path in files),
        checkpoint_bytes=sum(path.stat().st_size for path in files if _is_checkpoint(path, folder)),
        changed=_changed(folder, files),
        row=row,
        metric=metric,
        figure=figure,
        seen=seen,
    )


def state_of(folder: Path) -> State:
    """Return whether a run has ended, is being written by a process, or was cut short."""
    try:
        refuse_locked(folder)
    except InputError:
        return "running"
    return "done" if RunFolder(folder).is_done else "interrupted"


def with_folds(folder: Path) -> list[Path]:
    """Return a run's folder and, of a run of all folds, those of its folds."""
    return [folder, *(path for path in sorted(folder.glob(f"{FOLD_PREFIX}*")) if is_run(path))]


def _changed(folder: Path, files: Sequence[Path]) -> float:
    ended = [path for path in files if path == folder / DONE]
    return max(path.stat().st_mtime for path in ended or files)


def _is_checkpoint(path: Path, folder: Path) -> bool:
    return CHECKPOINTS in path.relative_to(folder).parts


def _folds(folder: Path, settings: Mapping[str, Any]) -> tuple[int, int] | None:
    number = settings.get("folds")
    if not isinstance(number, int) or settings.get("fold") is not None:
        return None
    # Of those that are there: the number is of a file, which may say anything.
    return sum(RunFolder(path).is_done for path in folder.glob(f"{FOLD_PREFIX}*")), number


def _best(results: Mapping[str, Any]) -> tuple[str, str, float | None, str]:
    """Return the best of a run's rows, or what a pre-training was watched by."""
    try:
        rows = [
            (row["metrics"][SHOWN]["mean"], row["name"], row.get("seen", ""))
            for row in results.get("rows", ())
            if row["metrics"][SHOWN]["mean"] is not None
        ]
        if rows:
            figure, name, seen = max(rows, key=lambda row: row[0])
            return str(name), SHOWN.replace("_", " "), float(figure), str(seen)
        held_out = results.get("held_out", {})
        for wanted in HELD_OUT:
            for name, value in held_out.items():
                if name.endswith(wanted) and value is not None:
                    return "", f"{name} (held out)", float(value), ""
    except (KeyError, TypeError, AttributeError, ValueError):
        logger.info("results of another kind: no figure is shown")
    return "", "", None, ""


def _settings(path: Path) -> Mapping[str, Any]:
    try:
        return read_document(path, or_empty=True).values
    except InputError:
        return {}


def _read(path: Path) -> Mapping[str, Any]:
    try:
        values = read_json(path) if path.is_file() else {}
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
