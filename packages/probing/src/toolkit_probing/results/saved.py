"""Finished runs, read back with their predictions."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from toolkit_common.audit.baselines import complete_rows
from toolkit_common.console import console
from toolkit_common.data.dataset import ImageData
from toolkit_common.errors import InputError
from toolkit_common.foreign.values import shown
from toolkit_common.printable import one_line
from toolkit_common.registry import did_you_mean, lookup
from toolkit_common.runs.facts import FACTS, is_run, read_facts
from toolkit_common.runs.files import METRICS_LOG, atomic_path
from toolkit_common.runs.folder import RunFolder
from toolkit_common.runs.listing import refuse_damaged
from toolkit_common.runs.manifest import DONE, RESULTS, read_run_results, refuse_changed
from toolkit_common.scores.folds import estimate_folds
from toolkit_common.scores.metrics import Predictions
from toolkit_common.scores.statistics import Estimate, estimate
from toolkit_probing.results.contents import Results, read_results, results_of
from toolkit_probing.results.names import run_names, short_names
from toolkit_probing.results.predictions import check_predictions, read_table
from toolkit_probing.results.rows import Row

TEST_ROWS, SPLITS_FILE = "test_rows.parquet", "splits.csv"
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
class Joined:
    """What a run of all folds holds that lies on disk as the runs of single ones.

    Attributes:
        rows: Its variants by name.
        baselines: What reads no image, by name.
        test_rows: The data set's columns of its test images, by image id.
        folds: Folders of the runs of single folds, in their order.
    """

    rows: Mapping[str, SavedRow]
    baselines: Mapping[str, SavedRow]
    test_rows: pd.DataFrame
    folds: Sequence[Path]


@dataclass(frozen=True)
class SavedRun:
    """A finished probe run.

    Attributes:
        path: Its folder; that of its first fold where it is joined.
        results: What results.json holds.
        name: What it is called in its study; empty of a run that is of none.
        joined: What it holds, where it was joined from runs of single folds; None where its own
            folder has that.
    """

    path: Path
    results: Results
    name: str = ""
    joined: Joined | None = None

    @cached_property
    def recorded(self) -> Mapping[str, Any]:
        """What run.json holds, hashes of data and encoder among it; empty without one."""
        return read_facts(self.path) if (self.path / FACTS).is_file() else {}

    @property
    def folds(self) -> list[Path]:
        """Folders of the runs of single folds; none where it is no run of all."""
        if self.joined is not None:
            return list(self.joined.folds)
        return [self.path / name for name in self.results.folds]

    @cached_property
    def rows(self) -> Mapping[str, SavedRow]:
        """The run's variants by name, with their predictions."""
        if self.joined is not None:
            return self.joined.rows
        return _read_rows(self.path, self.results.rows)

    @cached_property
    def baselines(self) -> Mapping[str, SavedRow]:
        """What was judged beside the probes without reading an image, by name."""
        if self.joined is not None:
            return self.joined.baselines
        return _read_rows(self.path, self.results.baselines)

    @cached_property
    def test_rows(self) -> pd.DataFrame:
        """The data set's columns of the test images, by image id."""
        if self.joined is not None:
            return self.joined.test_rows
        refuse_changed(self.path, TEST_ROWS)  # others are in other subgroups
        table = read_table(self.path / TEST_ROWS)
        if "image_id" not in table.column_names:
            raise InputError(f"{self.path / TEST_ROWS} is damaged: it has no column image_id")
        frame: pd.DataFrame = table.to_pandas()
        if not frame["image_id"].map(str).is_unique:  # whatever stands there
            raise InputError(f"{self.path / TEST_ROWS} is damaged: it holds an image_id twice")
        return frame.set_index("image_id")

    def column(self, name: str, image_ids: np.ndarray) -> pd.Series:
        """Return a column of the data set for some test images.

        Raises:
            InputError: If the data set has no such column, or one of the images is none of it.
        """
        if name not in self.test_rows:
            hint = did_you_mean(name, map(str, self.test_rows.columns))
            raise InputError(f"{self.path}: the test images have no column {name!r}{hint}")
        if not pd.Index(image_ids).isin(self.test_rows.index).all():
            raise InputError(
                f"{self.path / TEST_ROWS} is damaged: it lacks an image of predictions"
            )
        # By id, in the order requested: repeats and subsets have orders of their own.
        values: pd.Series = self.test_rows.loc[image_ids, name]
        return values


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
        InputError: If a folder holds none that can be read. Of several those that cannot are
            named, and left out.
    """
    runs: dict[Path, SavedRun] = {}
    for path in paths:
        if not path.is_dir():
            raise InputError(f"no run folder at {path}")
        bad: list[str] = []
        # By folder: a run that is named twice counts once.
        whole = dict(_runs_within(path, bad))
        if not whole:
            raise InputError(
                bad[0]
                if bad
                else f"{path} holds no finished probe run (one with {RESULTS}, predictions and "
                f"{DONE}){_unfinished_folds(path)}"
            )
        for message in dict.fromkeys(bad):  # of a run of folds each fold says it
            console.print(f"left out: {message}", style="bold red", markup=False)
        runs |= whole
    return list(runs.values())


def _runs_within(path: Path, bad: list[str]) -> Iterator[tuple[Path, SavedRun]]:
    """Yield the probe runs at or below a folder; of those that are damaged collects why.

    Raises:
        InputError: If the folder itself is such a run and damaged.
    """
    # Of one that has ended and lost its results DONE alone tells.
    named = {file.parent for name in (RESULTS, DONE) for file in path.rglob(name)}
    # Sorted: file systems list in any order.
    for folder in sorted(named):
        try:
            if folder != path and is_fold(folder):
                _check_fold(folder)
                continue
            run = _open(folder)
            if run is None:
                continue
            # One that cannot be read in the end is no worse than one that cannot be begun.
            _ = run.rows, run.baselines, run.recorded
            if folder != path:  # named itself, it is refused where these are read
                refuse_changed(folder, TEST_ROWS, METRICS_LOG, SPLITS_FILE)
        except InputError as error:
            if folder == path:
                raise
            bad.append(one_line(str(error)))
        else:
            yield folder, run


def _check_fold(folder: Path) -> None:
    """Say what is wrong with the run of a fold, whose figures are in those of all already."""
    try:
        read_results(folder)
    except InputError as error:
        text = f"a fold of {folder.parent}: {one_line(str(error))}"
        console.print(text, style="bold red", markup=False)


def read_run(path: Path) -> SavedRun:
    """Return the one finished probe run at a folder.

    Raises:
        InputError: If there is none, or what it holds cannot be read.
    """
    run = _open(path) if path.is_dir() else None
    if run is None:
        raise InputError(f"{path} is no finished probe run{_unfinished_folds(path)}")
    return run


def _open(folder: Path) -> SavedRun | None:
    """Return the finished run at a folder; None of one without rows: pre-training has none."""
    if not RunFolder(folder).is_done or "rows" not in (values := read_run_results(folder)):
        return None
    # What other commands refuse to predict by is not shown either.
    if is_run(folder):
        refuse_damaged(folder)
    return SavedRun(folder, results_of(values, folder / RESULTS))


def names_of(runs: Sequence[SavedRun]) -> list[str]:
    """Return what tells runs apart: their names in their study, else what `run_names` does."""
    others = [(run.path, run.results.backbone.shown) for run in runs if not run.name]
    given = iter(run_names(others))
    return [run.name or next(given) for run in runs]


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
    whole = folder.parent
    return is_run(whole) and read_facts(whole)["kind"] == FOLDS


def _unfinished_folds(path: Path) -> str:
    """Return what to do about a run of all folds that has not ended."""
    if not path.is_dir() or RunFolder(path).is_done or not is_fold(path / "any"):
        return ""
    return f": not all folds have ended; go on with toolkit probe --resume --output {path}"


def _read_rows(run: Path, rows: Sequence[Row]) -> Mapping[str, SavedRow]:
    found = {row.name: _read_predictions(run, row) for row in rows}
    # Within their bounds others give other figures.
    refuse_changed(run, *(row.predictions for row in rows))
    return found


def _read_predictions(run: Path, row: Row) -> SavedRow:
    path = run / row.predictions
    if not path.resolve().is_relative_to(run.resolve()):
        raise InputError(f"{run / RESULTS}: predictions {shown(row.predictions)} lie outside of it")
    table, repeats = read_table(path), len(row.seeds)
    image_ids, groups, targets, probabilities = check_predictions(table, path, repeats=repeats)
    count = len(table) // repeats
    # Repeats stand one behind the other, each with the same images in the same order.
    return SavedRow(
        run=run,
        row=row,
        image_ids=image_ids[:count],
        groups=groups[:count],
        predictions=[
            Predictions(part, targets[:count]) for part in probabilities.reshape(repeats, count, -1)
        ],
        folds=table["fold"].to_numpy()[:count] if "fold" in table.column_names else None,
    )
