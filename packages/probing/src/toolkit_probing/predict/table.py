"""The predictions as a table: a row an image, in CSV or parquet by the file's ending."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from toolkit_common.runs.files import atomic_path
from toolkit_probing.predict.classify import Answers
from toolkit_probing.task.task import Task

DIGITS = "%.9g"  # give a number of fp32 back to the bit


def build_table(task: Task, answers: Answers, seen: list[str]) -> pd.DataFrame:
    """Return `image_id, image, group?, target?, predicted, seen, probability_*, attention_*`.

    Args:
        task: The images, as its test split.
        answers: Of the probe, in their order.
        seen: Who has learned from each.
    """
    rows, classes = task.splits.test, np.array(task.labels.classes, object)
    own = task.data.table.iloc[rows]
    columns: dict[str, Any] = {
        "image_id": own["image_id"].to_numpy(),
        "image": [task.data.images[int(row)]["image"]["path"] for row in rows],
    }
    if task.data.groups is not None:
        columns["group"] = task.data.groups[rows]
    targets = task.targets_of("test")
    if (targets >= 0).any():
        columns["target"] = np.where(targets >= 0, classes[targets], None)
    columns["predicted"] = classes[answers.probabilities.argmax(axis=1)]
    columns["seen"] = seen
    for number, name in enumerate(classes):
        columns[f"probability_{name}"] = answers.probabilities[:, number]
    if answers.peaks is not None:
        for query in range(answers.peaks.shape[1]):
            for number, what in enumerate(("x", "y", "times_even")):
                columns[f"attention_{query}_{what}"] = answers.peaks[:, query, number]
    return pd.DataFrame(columns)


def to_csv(table: pd.DataFrame, file: Any = None) -> str | None:
    """Write a table as CSV; returns the text where no file is given."""
    text: str | None = table.to_csv(file, index=False, float_format=DIGITS)
    return text


def to_records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table as JSON has it, an object a row; empty cells are null."""
    records: list[dict[str, Any]] = json.loads(table.to_json(orient="records", double_precision=9))
    return records


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table in the format of the file's ending, one of `WRITERS`."""
    with atomic_path(path) as temporary:
        WRITERS[path.suffix](table, temporary)


def _to_parquet(table: pd.DataFrame, path: Path) -> None:
    table.to_parquet(path, index=False)


WRITERS: Mapping[str, Callable[[pd.DataFrame, Path], Any]] = {
    ".csv": to_csv,
    ".parquet": _to_parquet,
}
