"""From predictions to the rows of results.json, the files beside it and the table for humans."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.table import Table

from toolkit_common.audit.baselines import complete_rows
from toolkit_common.data.dataset import ImageData
from toolkit_common.runs.files import atomic_path, write_text
from toolkit_common.scores.metrics import Predictions
from toolkit_common.scores.statistics import UNDEFINED, estimate
from toolkit_probing.heads.inputs import describe_place
from toolkit_probing.task.subsets import ALL, Subset

SHOWN = {
    "top1": "top-1",
    "balanced_accuracy": "balanced acc.",
    "macro_f1": "macro F1",
    "auroc": "AUROC",
}
NO_INTERVAL = "no interval"


@dataclass(frozen=True)
class Outcome:
    """What one variant did on the test split.

    Attributes:
        method: Its method.
        layer: Layer of the backbone, or `NO_LAYER`.
        source: What it read there.
        variant: All that tells it from the run's other outcomes but the labels.
        subset: The labels it learned from.
        settings: What was picked (learning rate and epochs, or k and temperature) and its options.
        picked: What was picked, and by which metric.
        select_score: Mean score on the selection split.
        seeds: Seed of each repeat.
        draws: Draw of the labels of each repeat.
        probabilities: `(n, c)` a repeat.
        num_parameters: Trained parameters.
        flops: Floating-point operations of one image's forward pass through the head.
        selected: How it was selected, where no split did that.
        tune: How the encoder was trained with the head, `none` where it was not.
        grid: The score of every setting that was tried; of heads, metrics.jsonl has every epoch's.
    """

    method: str
    layer: int
    source: str
    variant: str
    subset: Subset
    settings: Mapping[str, Any]
    picked: str
    select_score: float
    seeds: Sequence[int]
    draws: Sequence[int]
    probabilities: Sequence[np.ndarray]
    num_parameters: int
    flops: int
    selected: str = ""
    grid: Sequence[Mapping[str, Any]] = ()
    tune: str = "none"

    @property
    def name(self) -> str:
        """Names its row and its files."""
        return f"{self.variant}-{self.subset.slug}" if self.subset.slug else self.variant


def result_row(
    outcome: Outcome, targets: np.ndarray, groups: np.ndarray, *, selected_on: str
) -> dict[str, Any]:
    """Return an entry of results.json: figures, intervals, and how they were selected."""
    runs = [Predictions(values.astype(float), targets) for values in outcome.probabilities]
    return {
        "name": outcome.name,
        "method": outcome.method,
        "layer": outcome.layer,
        "source": outcome.source,
        "tune": outcome.tune,
        "labels": outcome.subset.name,
        "num_train": outcome.subset.sizes,
        "settings": dict(outcome.settings),
        "selected": outcome.selected or f"selected on {selected_on}",
        "picked": outcome.picked,
        "select_score": _finite(outcome.select_score),
        "grid": [{**item, "select_score": _finite(item["select_score"])} for item in outcome.grid],
        "seeds": list(outcome.seeds),
        "draws": list(outcome.draws),
        "num_parameters": outcome.num_parameters,
        "flops": outcome.flops,
        "metrics": {name: asdict(value) for name, value in estimate(runs, groups).items()},
        "predictions": f"predictions/{outcome.name}.parquet",
    }


def write_predictions(
    folder: Path, outcome: Outcome, *, ids: np.ndarray, groups: np.ndarray, targets: np.ndarray
) -> None:
    """Write `image_id, group, target, seed, draw, probabilities`: all metrics follow from them."""
    count = len(outcome.seeds)
    table = pa.table(
        {
            "image_id": pa.array(np.tile(ids, count)),
            "group": pa.array(np.tile(groups, count)),
            "target": pa.array(np.tile(targets, count)),
            "seed": pa.array(np.repeat(np.asarray(outcome.seeds), len(ids))),
            "draw": pa.array(np.repeat(np.asarray(outcome.draws), len(ids))),
            "probabilities": pa.array(
                [row for values in outcome.probabilities for row in values.astype(np.float32)]
            ),
        }
    )
    with atomic_path(folder / f"{outcome.name}.parquet") as temporary:
        pq.write_table(table, temporary)


def write_test_rows(path: Path, data: ImageData, rows: np.ndarray) -> None:
    """Write all columns of the test images, so that a report can look at subgroups of them.

    Where the sheet names metadata columns, `metadata` tells whether a row has all of them.
    """
    frame, complete = data.table.iloc[rows], complete_rows(data)
    if complete is not None:
        frame = frame.assign(metadata=np.where(complete[rows], "complete", "incomplete"))
    table = pa.Table.from_pandas(frame, preserve_index=False)
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary)


def write_curves(folder: Path, rows: Sequence[Mapping[str, Any]], metric: str) -> None:
    """Write curves over layers and over labels, where there are any, as PNG and CSV."""
    from toolkit_probing.reports.figures import curves_of, draw_curves, to_png

    for axis in ("layer", "num_train"):
        curves = curves_of(rows, axis, metric)
        if not curves:
            continue
        with atomic_path(folder / f"{metric}-by-{axis}.png") as temporary:
            temporary.write_bytes(to_png(draw_curves(curves, axis, metric)))
        lines = [f"curve,{axis},mean,low,high"]
        for name, points in curves.items():
            for at, found in points:
                low, high = found["ci"] or ("", "")
                mean = "" if found["mean"] is None else found["mean"]
                lines.append(f"{name},{at:g},{mean},{low},{high}")
        write_text(folder / f"{metric}-by-{axis}.csv", "\n".join(lines) + "\n")


def results_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return the results as a table for humans: figure and 95 % interval."""
    table = Table(show_lines=True)
    limited = len({row["labels"] for row in rows}) > 1 or rows[0]["labels"] != ALL
    for heading in ("method", "reads", *(("labels",) if limited else ()), "picked"):
        table.add_column(heading, overflow="fold")
    for heading in (*SHOWN.values(), "parameters"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        figures = [format_estimate(row["metrics"][name]) for name in SHOWN]
        reads = describe_place(row["layer"], row["source"])
        picked = ", ".join(f"{key} {_short(value)}" for key, value in row["settings"].items())
        labels = (row["labels"],) if limited else ()
        table.add_row(row["method"], reads, *labels, picked, *figures, f"{row['num_parameters']:,}")
    return table


def format_estimate(found: Mapping[str, Any]) -> str:
    """Format a metric, its sd over repeats and its interval; undefined is said, not shown as 0."""
    if found["mean"] is None:
        return UNDEFINED
    text = f"{found['mean']:.3f}"
    if found["sd"] is not None:
        text += f" \u00b1 {found['sd']:.3f}"
    if found["ci"]:
        return f"{text}\n{found['ci'][0]:.2f} to {found['ci'][1]:.2f}"
    return f"{text}\n{NO_INTERVAL}" if found.get("why_no_ci") else text


def why_no_intervals(found: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return why some figures have no interval, a line a reason; runs of before do not know."""
    reasons = dict.fromkeys(item.get("why_no_ci") for item in found)
    return [f"{NO_INTERVAL}: {reason}" for reason in reasons if reason not in (None, UNDEFINED)]


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _short(value: Any) -> str:
    if isinstance(value, list):
        return "/".join(map(_short, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
