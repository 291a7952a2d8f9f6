"""Predictions beside results.json: written as a run ends, and finished runs read back with them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from toolkit_common.audit.baselines import complete_rows
from toolkit_common.data.dataset import ImageData
from toolkit_common.errors import InputError
from toolkit_common.registry import did_you_mean, lookup
from toolkit_common.runs.files import atomic_path, read_json
from toolkit_common.runs.folder import RunFolder
from toolkit_common.scores.folds import estimate_folds
from toolkit_common.scores.metrics import Predictions
from toolkit_common.scores.statistics import Estimate, estimate
from toolkit_probing.results.contents import FILE, Results, parse, read_results, results_file
from toolkit_probing.results.names import short_names
from toolkit_probing.results.rows import Outcome, Row
from toolkit_probing.task.task import Task

TEST_ROWS = "test_rows.parquet"
FOLDS = "probe-folds"  # kind of a run that holds those of its folds


@dataclass(frozen=True)
class SavedRow:
    """One variant of a run.

    Attributes:
        run: The run's folder.
        row: Its entry in results.json.
        image_ids: Test images `(n,)`.
        groups: Group of each.
        predictions: On them, one a repeat.
        folds: Fold of each, where the run is one of all folds.
    """

    run: Path
    row: Row
    image_ids: np.ndarray
    groups: np.ndarray
    predictions: Sequence[Predictions]
    folds: np.ndarray | None = None

    def estimate(self, mask: np.ndarray, *, names: Sequence[str]) -> dict[str, Estimate]:
        """Return metrics of some of the images, with intervals over groups."""
        parts = [
            Predictions(run.probabilities[mask], run.targets[mask]) for run in self.predictions
        ]
        if self.folds is None:
            return estimate(parts, self.groups[mask], names=names)
        return estimate_folds(parts, self.groups[mask], self.folds[mask], names=names)


@dataclass(frozen=True)
class SavedRun:
    """A finished probe run.

    Attributes:
        path: Its folder.
        results: What results.json holds.
    """

    path: Path
    results: Results

    @cached_property
    def recorded(self) -> Mapping[str, Any]:
        """What run.json holds, hashes of data and encoder among it; empty without one."""
        path = self.path / "run.json"
        facts: Mapping[str, Any] = read_json(path) if path.is_file() else {}
        return facts

    @cached_property
    def rows(self) -> Mapping[str, SavedRow]:
        """The run's variants by name, with their predictions."""
        return {row.name: _read_predictions(self.path, row) for row in self.results.rows}

    @cached_property
    def baselines(self) -> Mapping[str, SavedRow]:
        """What was judged beside the probes without reading an image, by name."""
        return {row.name: _read_predictions(self.path, row) for row in self.results.baselines}

    @cached_property
    def test_rows(self) -> pd.DataFrame:
        """The data set's columns of the test images, by image id."""
        frame: pd.DataFrame = _read_table(self.path / TEST_ROWS).to_pandas()
        return frame.set_index("image_id")

    def column(self, name: str, image_ids: np.ndarray) -> pd.Series:
        """Return a column of the data set for some test images.

        Raises:
            InputError: If the data set has no such column.
        """
        if name not in self.test_rows:
            hint = did_you_mean(name, map(str, self.test_rows.columns))
            raise InputError(f"{self.path}: the test images have no column {name!r}{hint}")
        # By id, in the order requested: repeats and subsets have orders of their own.
        values: pd.Series = self.test_rows.loc[image_ids, name]
        return values


def write_predictions(run: Path, outcome: Outcome, task: Task) -> None:
    """Write `image_id, group, target, seed, draw, probabilities`: all metrics follow from them."""
    targets = task.targets_of("test")
    columns = {
        "image_id": task.data.table["image_id"].to_numpy()[task.splits.test],
        "group": task.groups_of("test"),
        "target": targets,
    }
    of_repeats = {"seed": np.asarray(outcome.seeds), "draw": np.asarray(outcome.draws)}
    file = run / "predictions" / f"{outcome.name}.parquet"
    _write_predictions(file, columns, of_repeats=of_repeats, probabilities=outcome.probabilities)


def write_folds(saved: SavedRow) -> None:
    """Write predictions of all folds, with the `fold` of each image."""
    columns = {
        "image_id": saved.image_ids,
        "group": saved.groups,
        "target": saved.predictions[0].targets,
        "fold": saved.folds,
    }
    row = saved.row
    of_repeats = {"seed": np.asarray(row.seeds), "draw": np.asarray(row.draws)}
    probabilities = [item.probabilities for item in saved.predictions]
    _write_predictions(
        saved.run / row.predictions, columns, of_repeats=of_repeats, probabilities=probabilities
    )


def _write_predictions(
    file: Path,
    columns: Mapping[str, Any],
    *,
    of_repeats: Mapping[str, np.ndarray],
    probabilities: Sequence[np.ndarray],
) -> None:
    """Write columns of images, the same for every repeat, beside what a repeat has of its own."""
    size = len(columns["image_id"])
    named = {
        **{name: np.tile(values, len(probabilities)) for name, values in columns.items()},
        **{name: np.repeat(values, size) for name, values in of_repeats.items()},
    }
    arrays = {name: pa.array(values) for name, values in named.items()}
    # fp32, in which softmaxes of heads are computed.
    rows = [row for values in probabilities for row in values.astype(np.float32)]
    with atomic_path(file) as temporary:
        pq.write_table(pa.table({**arrays, "probabilities": pa.array(rows)}), temporary)


def write_test_rows(run: Path, data: ImageData, rows: np.ndarray) -> None:
    """Write all columns of the test images, so that a report can look at subgroups of them.

    Where the sheet names metadata columns, `metadata` is whether a row has all of them.
    """
    frame, complete = data.table.iloc[rows], complete_rows(data)
    if complete is not None:
        frame = frame.assign(metadata=np.where(complete[rows], "complete", "incomplete"))
    table = pa.Table.from_pandas(frame, preserve_index=False)
    with atomic_path(run / TEST_ROWS) as temporary:
        pq.write_table(table, temporary)


def find_runs(paths: Iterable[Path]) -> list[SavedRun]:
    """Return the finished probe runs at some folders, or (at any depth) within them.

    A run of all folds is one run: those of its folds count where they are named themselves.

    Raises:
        InputError: If a folder holds none, or what a run holds cannot be read.
    """
    runs: dict[Path, SavedRun] = {}
    for path in paths:
        if not path.is_dir():
            raise InputError(f"no run folder at {path}")
        # Sorted: file systems list in any order.
        inside = [
            item.parent
            for item in sorted(path.rglob(FILE))
            if _is_probe(item.parent) and (item.parent == path or not is_fold(item.parent))
        ]
        if not inside:
            raise InputError(
                f"{path} holds no finished probe run (one with {FILE}, predictions and DONE)"
                f"{_unfinished_folds(path)}"
            )
        # By folder: a run that is named twice counts once.
        runs |= {folder: SavedRun(folder, read_results(folder)) for folder in inside}
    return list(runs.values())


def read_run(path: Path) -> SavedRun:
    """Return the one finished probe run at a folder.

    Raises:
        InputError: If there is none, or what it holds cannot be read.
    """
    if not path.is_dir() or not _is_probe(path):
        raise InputError(f"{path} is no finished probe run{_unfinished_folds(path)}")
    return SavedRun(path, read_results(path))


def choose_row(run: SavedRun, name: str) -> SavedRow:
    """Return a variant or a baseline of a run by its name, or the short one that tables show.

    Raises:
        InputError: If it has none of that name.
    """
    rows = {**run.rows, **run.baselines}
    short = short_names([saved.row for saved in rows.values()])
    shown = dict(zip(short, rows.values(), strict=True))
    return shown[name] if name in shown else lookup(rows, name, kind=f"row of {run.path}")


def is_fold(folder: Path) -> bool:
    """Tell whether a run is that of one fold within a run of all."""
    facts = folder.parent / "run.json"
    return facts.is_file() and read_json(facts).get("kind") == FOLDS


def _unfinished_folds(path: Path) -> str:
    """Return what to do about a run of all folds that has not ended."""
    if not path.is_dir() or RunFolder(path).is_done or not is_fold(path / "any"):
        return ""
    return f": not all folds have ended; go on with toolkit probe --resume --output {path}"


def _is_probe(folder: Path) -> bool:
    """Tell whether a folder is a finished run with rows: those of pre-training have none."""
    if not RunFolder(folder).is_done:
        return False
    path = results_file(folder)
    return "rows" in parse(path.read_text(encoding="utf-8", errors="replace"), path)


def _read_predictions(run: Path, row: Row) -> SavedRow:
    table = _read_table(run / row.predictions)
    probabilities = np.stack(table["probabilities"].to_numpy()).astype(float)
    repeats = len(row.seeds)
    count = len(table) // repeats
    # Repeats stand one behind the other, each with the same images in the same order.
    targets = table["target"].to_numpy()[:count]
    return SavedRow(
        run=run,
        row=row,
        image_ids=table["image_id"].to_numpy()[:count],
        groups=table["group"].to_numpy()[:count],
        predictions=[
            Predictions(part, targets) for part in probabilities.reshape(repeats, count, -1)
        ],
        folds=table["fold"].to_numpy()[:count] if "fold" in table.column_names else None,
    )


def _read_table(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"cannot read {path}: {error}; run the probe again") from error
