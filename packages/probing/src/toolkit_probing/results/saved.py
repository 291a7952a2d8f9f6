"""Finished probe runs, read back: rows of results.json with their predictions on the test split."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from toolkit_common.errors import InputError
from toolkit_common.registry import did_you_mean, lookup
from toolkit_common.runs.folder import RunFolder
from toolkit_common.scores.metrics import Predictions

TEST_ROWS = "test_rows.parquet"


@dataclass(frozen=True)
class SavedRow:
    """One variant of a run.

    Attributes:
        run: The run's folder.
        row: Its entry in results.json.
        image_ids: Test images `(n,)`.
        groups: Group of each.
        predictions: On them, one a repeat.
    """

    run: Path
    row: Mapping[str, Any]
    image_ids: np.ndarray
    groups: np.ndarray
    predictions: Sequence[Predictions]

    @property
    def name(self) -> str:
        """The variant's name in its run."""
        return str(self.row["name"])

    @property
    def inputs(self) -> str:
        """What it read: images alone in runs from before there was a choice."""
        return str(self.row.get("inputs", "image"))

    @property
    def tune(self) -> str:
        """How the encoder was trained with the head; `none` in runs from before there was that."""
        return str(self.row.get("tune", "none"))


@dataclass(frozen=True)
class SavedRun:
    """A finished probe run.

    Attributes:
        path: Its folder.
        results: What results.json holds.
    """

    path: Path
    results: Mapping[str, Any]

    @cached_property
    def rows(self) -> Mapping[str, SavedRow]:
        """The run's variants by name, with their predictions."""
        return {row["name"]: self._read(row) for row in self.results["rows"]}

    @cached_property
    def baselines(self) -> Mapping[str, SavedRow]:
        """What was judged beside the probes without reading an image, by name."""
        return {row["name"]: self._read(row) for row in self.results.get("baselines", [])}

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
        found: pd.Series = self.test_rows.loc[image_ids, name]
        return found

    def _read(self, row: Mapping[str, Any]) -> SavedRow:
        table = _read_table(self.path / row["predictions"])
        probabilities = np.stack(table["probabilities"].to_numpy()).astype(float)
        repeats = len(row["seeds"])
        count = len(table) // repeats
        targets = table["target"].to_numpy()[:count]
        return SavedRow(
            run=self.path,
            row=row,
            image_ids=table["image_id"].to_numpy()[:count],
            groups=table["group"].to_numpy()[:count],
            predictions=[
                Predictions(part, targets) for part in probabilities.reshape(repeats, count, -1)
            ],
        )


def find_runs(paths: Iterable[Path]) -> list[SavedRun]:
    """Return the finished probe runs at some folders, or (at any depth) within them.

    Raises:
        InputError: If a folder holds none.
    """
    found: dict[Path, SavedRun] = {}
    for path in paths:
        if not path.is_dir():
            raise InputError(f"no run folder at {path}")
        inside = [item.parent for item in sorted(path.rglob("results.json"))]
        runs = [run for run in map(RunFolder, inside) if run.is_done and _is_probe(run)]
        if not runs:
            raise InputError(
                f"{path} holds no finished probe run (one with results.json, predictions and DONE)"
            )
        found |= {run.path: SavedRun(run.path, run.read_json("results.json")) for run in runs}
    return list(found.values())


def read_run(path: Path) -> SavedRun:
    """Return the one finished probe run at a folder.

    Raises:
        InputError: If there is none.
    """
    run = RunFolder(path)
    if not path.is_dir() or not run.is_done or not _is_probe(run):
        raise InputError(f"{path} is no finished probe run")
    return SavedRun(path, run.read_json("results.json"))


def choose_row(run: SavedRun, name: str) -> SavedRow:
    """Return a variant or a baseline of a run by name.

    Raises:
        InputError: If it has none of that name.
    """
    return lookup({**run.rows, **run.baselines}, name, kind=f"row of {run.path}")


def _is_probe(run: RunFolder) -> bool:
    results = run.read_json("results.json")
    return all("predictions" in row for row in results.get("rows", [{}]))


def _read_table(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"cannot read {path}: {error}; run the probe again") from error
