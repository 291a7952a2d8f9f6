"""Metrics of finished runs, recomputed from their predictions, also by subgroup: no model runs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from toolkit_common.errors import InputError
from toolkit_common.scores.metrics import Predictions, confusion_matrix, find_metric
from toolkit_common.scores.statistics import Estimate
from toolkit_probing.arms.find import Arms, find_arms
from toolkit_probing.results.compare import CONFUSION
from toolkit_probing.results.names import is_baseline
from toolkit_probing.results.rows import Row
from toolkit_probing.results.saved import SavedRow, SavedRun, names_of

MAX_VALUES = 10  # distinct numbers up to which each is a subgroup of its own; else quarters
MISSING = "missing"

Counts = Sequence[Sequence[int]]  # true classes x predicted


@dataclass(frozen=True, kw_only=True)
class Recomputed:
    """A row's metrics on all test images, or on a subgroup of them.

    Attributes:
        run: Folder of its run.
        row: The row.
        column: Column that makes the subgroup; None for all images.
        value: What the column holds there.
        num_images: Images.
        num_groups: Their groups.
        metrics: Every metric that was requested.
        confusion: A matrix a repeat, None for one that is undefined; None if not requested.
    """

    run: Path
    row: Row
    column: str | None
    value: str | None
    num_images: int
    num_groups: int
    metrics: dict[str, Estimate]
    confusion: Sequence[Counts | None] | None

    @property
    def images(self) -> str:
        """Which images, for humans."""
        return "all" if self.column is None else f"{self.column}: {self.value}"

    def to_json(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {
            "run": str(self.run),
            **self.row.described,
            "training": self.row.training and asdict(self.row.training),
            "column": self.column,
            "value": self.value,
            **({} if self.confusion is None else {CONFUSION: self.confusion}),
            "num_images": self.num_images,
            "num_groups": self.num_groups,
            "metrics": {name: asdict(metric) for name, metric in self.metrics.items()},
        }


@dataclass(frozen=True)
class Report:
    """What is reported of some runs.

    Attributes:
        metrics: Which metrics, the confusion not among them.
        by: Columns that made subgroups.
        runs: The runs.
        rows: Every row of every run, on all images and on each subgroup.
        arms: What is known of them as a study's.
    """

    metrics: Sequence[str]
    by: Sequence[str]
    runs: Sequence[SavedRun]
    rows: Sequence[Recomputed]
    arms: Arms = field(default_factory=lambda: Arms(()))

    @cached_property
    def names(self) -> Mapping[Path, str]:
        """What its runs are called, by folder."""
        return dict(zip([run.path for run in self.runs], names_of(self.runs), strict=True))

    @cached_property
    def shared_baselines(self) -> Mapping[str, Path]:
        """Full names of baselines that are equal in all of several runs, and the first such run."""
        figures: dict[str, dict[Path, list[tuple[object, ...]]]] = {}
        for item in self.rows:
            if is_baseline(item.row):
                of_runs = figures.setdefault(item.row.name, {})
                judged = (item.images, item.num_images, item.num_groups, item.row.seen)
                of_runs.setdefault(item.run, []).append((*judged, item.metrics, item.confusion))
        shared: dict[str, Path] = {}
        for name, of_runs in figures.items():
            first, *others = of_runs
            if others and all(of_runs[run] == of_runs[first] for run in others):
                shared[name] = first
        return shared

    @property
    def shown_rows(self) -> list[Recomputed]:
        """The rows as people read them: baselines that runs share stand once, below all others."""
        first = self.shared_baselines
        own = [item for item in self.rows if item.row.name not in first]
        return [*own, *(item for item in self.rows if first.get(item.row.name) == item.run)]

    def to_json(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {
            "metrics": list(self.metrics),
            "by": list(self.by),
            **({"missing": list(self.arms.missing)} if self.arms.missing else {}),
            "runs": [_run_json(run) for run in self.runs],
            "rows": [row.to_json() for row in self.rows],
        }


def build_report(
    paths: Sequence[Path], *, metrics: Sequence[str], by: Sequence[str] = ()
) -> Report:
    """Return metrics of every row of some runs, of all test images and of subgroups.

    Args:
        paths: Run folders, or folders that hold some; a study's has its arms, folds joined.
        metrics: Which metrics; `confusion` adds counts (true classes x predicted, one matrix a
            repeat).
        by: Columns of the data set; numbers with many values are cut into quarters.

    Raises:
        InputError: If a run is not finished, or a metric or column is unknown.
    """
    figures = [metric for metric in metrics if metric != CONFUSION]
    for metric in figures:
        try:
            find_metric(metric)
        except InputError as error:
            raise InputError(f"{error}, {CONFUSION}") from None
    arms = find_arms(paths, metrics=())
    runs = arms.runs
    rows = [
        _recompute(saved, images, metrics=figures, with_confusion=CONFUSION in metrics)
        for run in runs
        for saved in (*run.rows.values(), *run.baselines.values())
        for images in _parts(run, saved, by)
    ]
    return Report(figures, by, runs, rows, arms)


def inputs_of(run: SavedRun) -> list[str]:
    """Return what a run's rows read."""
    return sorted({row.inputs for row in run.results.rows})


def selected_in(run: SavedRun) -> list[str]:
    """Return how a run's rows were selected."""
    return sorted({row.selected for row in run.results.rows})


def subgroups(values: pd.Series) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the name and the mask of each subgroup; rows without a value are one of them."""
    known = values.notna().to_numpy()
    as_numbers = pd.to_numeric(values, errors="coerce")  # a table's columns are text
    if as_numbers.notna().to_numpy().sum() == known.sum():
        values = as_numbers
    if pd.api.types.is_numeric_dtype(values) and values.nunique() > MAX_VALUES:
        # Quarters of few values may share an edge.
        edges = np.unique(np.quantile(values[known], [0.0, 0.25, 0.5, 0.75, 1.0]))
        numbers = values.to_numpy(float)
        # The last part holds its upper edge, or the largest value would be in none.
        for low, high in pairwise(edges):
            is_last = high == edges[-1]
            inside = (numbers >= low) & ((numbers <= high) if is_last else (numbers < high))
            yield f"{low:g} to {'' if is_last else 'below '}{high:g}", inside
    else:
        for value in sorted(values[known].unique()):
            name = f"{value:g}" if isinstance(value, float) else str(value)
            yield name, (values == value).to_numpy(bool)
    if not known.all():
        yield MISSING, ~known


def _parts(
    run: SavedRun, saved: SavedRow, by: Sequence[str]
) -> Iterator[tuple[str | None, str | None, np.ndarray]]:
    """Yield all test images, then the subgroups: column, value and mask."""
    yield None, None, np.ones(len(saved.image_ids), bool)
    for column in by:
        for value, mask in subgroups(run.column(column, saved.image_ids)):
            yield column, value, mask


def _recompute(
    saved: SavedRow,
    images: tuple[str | None, str | None, np.ndarray],
    *,
    metrics: Sequence[str],
    with_confusion: bool,
) -> Recomputed:
    column, value, mask = images
    parts = [Predictions(run.probabilities[mask], run.targets[mask]) for run in saved.predictions]
    return Recomputed(
        run=saved.run,
        row=saved.row,
        column=column,
        value=value,
        num_images=int(mask.sum()),
        num_groups=int(np.unique(saved.groups[mask]).size),
        metrics=saved.estimate(mask, names=metrics),
        confusion=[_confusion(part) for part in parts] if with_confusion else None,
    )


def _confusion(predictions: Predictions) -> Counts | None:
    if not predictions.is_finite:
        return None
    counts: Counts = confusion_matrix(predictions).tolist()
    return counts


def _run_json(run: SavedRun) -> dict[str, Any]:
    results = run.results
    return {
        "run": str(run.path),
        **({"name": run.name} if run.name else {}),
        "backbone": results.backbone.id,
        "backbone_name": results.backbone.shown,
        "random_weights": results.backbone.random_weights,
        "data": results.data.id,
        "label": results.data.label,
        "classes": results.data.classes,
        "protocol": asdict(results.protocol),
        "inputs": inputs_of(run),
        "selected": selected_in(run),
        "notes": results.notes,
        "folds": list(results.folds),
    }
