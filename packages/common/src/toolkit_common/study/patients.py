"""Figures over the test patients of a study's folds, as `toolkit probe --folds K` has them.

Encoders and heads stay as they are: the interval is over patients alone, where that over folds
covers what other training patients change, too. Read by the documented format of predictions alone.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from toolkit_common.errors import InputError
from toolkit_common.foreign.rows import read_rows
from toolkit_common.runs.manifest import refuse_changed
from toolkit_common.scores.folds import estimate_fold_difference, estimate_folds
from toolkit_common.scores.metrics import Predictions, follows
from toolkit_common.study.records import Record

MOST_READ = 64  # files of predictions that are held at once

Folds = Sequence[Sequence[Record]]  # of each fold, what is averaged within it
Value = tuple[float | None, tuple[float, float] | None]
Tested = tuple[np.ndarray, np.ndarray, tuple[Predictions, ...]]  # image ids, groups, one a repeat


class UnpairedError(InputError):
    """Predictions that cannot be compared, or pooled, patient by patient."""


def over_patients(mine: Folds, metric: str, *, against: Folds | None = None) -> Value | None:
    """Return a metric and its 95 % interval over patients, or how far it lies above another's.

    Args:
        mine: Records of each fold.
        metric: Which metric.
        against: Of the same folds, what they are compared with.

    Returns:
        None where a record has no predictions, the metric does not follow from them, or folds have
        different numbers of repeats.

    Raises:
        InputError: If predictions cannot be read.
        UnpairedError: If two sides were judged on other images, classes or patients, or two folds
            on the same.
    """
    if not follows(metric):  # of retrieval, say
        return None
    sides = [mine] if against is None else [mine, against]
    records = [record for side in sides for fold in side for record in fold]
    if any(record.predictions is None for record in records):
        return None
    first = [_tested(fold[0]) for fold in mine]
    for side in sides:
        _refuse_other_images(mine, side)
    runs = [_joined(side) for side in sides]
    if any(run is None for run in runs):
        return None
    known = [run for run in runs if run is not None]
    groups = np.concatenate([groups for _, groups, _ in first])
    folds = np.repeat(np.arange(len(first)), [len(ids) for ids, _, _ in first])
    if against is None:
        value = estimate_folds(known[0], groups, folds, names=[metric])[metric]
        return value.mean if value.pooled is None else value.pooled, value.ci
    gap = estimate_fold_difference(known[::-1], groups, folds, names=[metric])[metric]
    return gap.difference, gap.ci


def _refuse_other_images(mine: Folds, side: Folds) -> None:
    for fold, (one, other) in enumerate(zip(mine, side, strict=True)):
        for record in other:
            _refuse_unlike(one[0], record)
        for before in mine[:fold]:
            if np.isin(_tested(one[0])[1], _tested(before[0])[1]).any():
                raise UnpairedError(
                    f"{before[0].cell.id} and {one[0].cell.id} share test patients: intervals "
                    "over patients need folds that do not, else take intervals: folds"
                )


def _refuse_unlike(one: Record, other: Record) -> None:
    (ids, groups, runs), (other_ids, other_groups, other_runs) = _tested(one), _tested(other)
    # Ids first: rows can be compared only where they are of the same images.
    if not np.array_equal(ids, other_ids):
        what = "test images"
    elif one.classes != other.classes or not np.array_equal(runs[0].targets, other_runs[0].targets):
        what = "classes of their test images"
    elif not np.array_equal(groups, other_groups):
        what = "patients of their test images"
    else:
        return
    raise UnpairedError(
        f"{one.cell.id} and {other.cell.id} were not judged on the same {what}: give them the same "
        "data, label, folds and fold, or take intervals: folds"
    )


def _joined(side: Folds) -> list[Predictions] | None:
    """Return each repeat's predictions of all folds; None where their numbers differ."""
    by_fold = [[run for record in fold for run in _tested(record)[2]] for fold in side]
    if len({len(runs) for runs in by_fold}) > 1:
        return None
    return [
        Predictions(
            np.concatenate([run.probabilities for run in runs]),
            np.concatenate([run.targets for run in runs]),
        )
        for runs in zip(*by_fold, strict=True)
    ]


def predictions_of(record: Record) -> Sequence[Predictions]:
    """Return the predictions of each repeat of a record that has them.

    Raises:
        InputError: If they cannot be read.
    """
    return _tested(record)[2]


def _tested(record: Record) -> Tested:
    assert record.predictions is not None
    path = record.predictions
    # A cell may be run anew, and another folder have a file of this name: as it is now, and there.
    state = (path.resolve(), path.stat().st_mtime_ns) if path.is_file() else None
    ids, groups, runs = _read(path, len(record.classes), run=record.cell.place, state=state)
    if record.kept is None:
        return ids, groups, runs
    keep = np.isin(ids, list(record.kept))
    parts = [Predictions(run.probabilities[keep], run.targets[keep]) for run in runs]
    return ids[keep], groups[keep], tuple(parts)


@lru_cache(maxsize=MOST_READ)
def _read(
    path: Path,
    num_classes: int,
    *,
    run: Path,
    state: object,  # noqa: ARG001 (the cache's)
) -> Tested:
    """Return test images in the order of their ids, their groups, and each repeat's predictions."""
    columns = ["image_id", "group", "target", "seed", "draw", "probabilities"]
    try:
        table = read_rows(path, columns=columns)
    except InputError as error:
        raise InputError(f"{error}; run the cell again") from None
    refuse_changed(run, str(path.relative_to(run)))
    frame = table.to_pandas()
    parts = [part.sort_values("image_id") for _, part in frame.groupby(["seed", "draw"])]
    runs = [
        Predictions(
            np.stack(part["probabilities"].to_list()).reshape(-1, num_classes),
            part["target"].to_numpy(),
        )
        for part in parts
    ]
    ids = parts[0]["image_id"].to_numpy()
    if not all(np.array_equal(part["image_id"], ids) for part in parts):
        raise InputError(f"cannot read {path}: its repeats are of other images; run the cell again")
    return ids, parts[0]["group"].to_numpy(), tuple(runs)
