"""A row's predictions in parquet, beside results.json: all metrics follow from them.

Shapes: m repeats of n images each, one behind the other; c classes.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from toolkit_common.errors import InputError
from toolkit_common.foreign.rows import read_rows
from toolkit_common.runs.files import atomic_path
from toolkit_probing.results.rows import Outcome
from toolkit_probing.task.task import Task

TOLERANCE = 1e-3  # of probabilities: shares of votes and softmaxes are rounded


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
    write_repeats(file, columns, of_repeats=of_repeats, probabilities=outcome.probabilities)


def write_repeats(
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


def check_predictions(
    table: pa.Table, path: Path, *, repeats: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return image ids, groups, targets and probabilities of a file of predictions.

    Raises:
        InputError: If a column is missing or of another kind, repeats differ in length or in their
            images, or a target is no class; each would give figures of something else.
    """

    def refuse(why: str) -> NoReturn:
        raise InputError(f"{path} is damaged: {why}; run the probe again")

    for name in ("image_id", "group", "target", "probabilities"):
        if name not in table.column_names or table[name].null_count:
            refuse(f"column {name} is missing or has empty cells")
    if not repeats or not len(table) or len(table) % repeats:
        refuse(f"{len(table)} rows are not {repeats} repeats of the same images")
    if not pa.types.is_integer(table["target"].type):
        refuse(f"targets are numbers of classes, got {table['target'].type}")
    targets = table["target"].to_numpy()
    try:
        probabilities = np.stack(table["probabilities"].to_numpy()).astype(float)
    except (TypeError, ValueError):
        refuse("its probabilities are not as many numbers in every row")
    if probabilities.ndim != 2 or not 0 <= targets.min() <= targets.max() < probabilities.shape[1]:
        refuse(f"a target is none of the {probabilities.shape[-1]} classes")
    # Of heads that diverged all are NaN; infinite ones, or those beyond 0 to 1, no head gives.
    if np.any((probabilities < -TOLERANCE) | (probabilities > 1 + TOLERANCE)):
        refuse("a probability is not within 0 and 1")
    for name in ("image_id", "target"):
        values = table[name].to_numpy().reshape(repeats, -1)
        if np.any(values != values[0]):
            refuse(f"its repeats differ in {name}")
    return table["image_id"].to_numpy(), table["group"].to_numpy(), targets, probabilities


def read_table(path: Path) -> pa.Table:
    """Return a file of rows that a probe run has written.

    Raises:
        InputError: If it is missing or damaged.
    """
    try:
        return read_rows(path)
    except InputError as error:
        raise InputError(f"{error}; run the probe again") from None
