"""Figures of all folds, from the finished runs of single ones: as a run of its own, pooled.

What is written beside them are predictions with the fold of each, so that reports and comparisons
read the whole as they read any run.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from toolkit_common.foreign.rows import read_rows
from toolkit_common.runs.files import atomic_path
from toolkit_common.scores.folds import named_folds
from toolkit_common.scores.metrics import METRICS, Predictions
from toolkit_common.seen.check import MARKS, SeenStatus
from toolkit_probing.results.contents import Cost, JudgedBackbone, JudgedData, Results
from toolkit_probing.results.predictions import write_repeats
from toolkit_probing.results.retrieved import join_folds
from toolkit_probing.results.rows import ROW_VERSION, Row
from toolkit_probing.results.saved import (
    TEST_ROWS,
    Joined,
    SavedRow,
    SavedRun,
    read_run,
)
from toolkit_probing.training.plan import Training


def pool_folds(run: Path, folds: Sequence[str]) -> Results:
    """Write the predictions of all folds into the run that holds theirs; return its results.

    Args:
        run: The run of all folds.
        folds: Folders of the finished runs of single ones, in it.

    Raises:
        InputError: If one is not finished or cannot be read.
    """
    parts = [read_run(run / name) for name in folds]
    pooled = join_runs(run, parts, folds=folds, metrics=tuple(METRICS))
    for saved in (*pooled.rows.values(), *pooled.baselines.values()):
        _write_folds(saved)
    _write_test_rows(run, parts)
    return pooled.results


def join_runs(
    path: Path,
    parts: Sequence[SavedRun],
    *,
    folds: Sequence[str],
    metrics: Sequence[str],
    name: str = "",
) -> SavedRun:
    """Return one run of the finished runs of single folds; nothing is written.

    Args:
        path: Its folder.
        parts: The runs, of one set of settings.
        folds: What each is called.
        metrics: Which figures its rows have.
        name: What it is called in its study.
    """

    def pool(key: str, *, of: str) -> SavedRow:
        return _pool(path, [getattr(part, of)[key] for part in parts], metrics)

    rows = {key: pool(key, of="rows") for key in parts[0].rows}
    common = [key for key in parts[0].baselines if all(key in part.baselines for part in parts)]
    baselines = {key: pool(key, of="baselines") for key in common}
    test_rows = pd.concat([part.test_rows for part in parts])
    held = Joined(rows, baselines, test_rows, [part.path for part in parts])
    return SavedRun(path, _pool_results(parts, held, folds), name, held)


def _pool_results(parts: Sequence[SavedRun], held: Joined, folds: Sequence[str]) -> Results:
    results = [part.results for part in parts]
    first = results[0]
    return replace(
        first,
        data=_pool_data(results, parts),
        backbone=_pool_backbone([item.backbone for item in results]),
        notes=list(dict.fromkeys(note for item in results for note in item.notes)),
        features={**first.features, "seconds": sum(item.features["seconds"] for item in results)},
        diverged={
            f"{name}/{head}": epoch
            for name, item in zip(folds, results, strict=True)
            for head, epoch in item.diverged.items()
        },
        cost=Cost(
            seconds=sum(item.cost.seconds for item in results),
            peak_memory_bytes=max(item.cost.peak_memory_bytes for item in results),
        ),
        rows=[saved.row for saved in held.rows.values()],
        baselines=[saved.row for saved in held.baselines.values()],
        folds=list(folds),
    )


def _pool(run: Path, parts: Sequence[SavedRow], metrics: Sequence[str]) -> SavedRow:
    """Return one row of all folds, with its figures."""
    first = parts[0].row
    # A study may give every fold a seed of its own: their numbers alone are the same.
    assert len({len(part.row.seeds) for part in parts}) == 1, "folds have as many repeats"
    sizes = [len(part.image_ids) for part in parts]
    pooled = SavedRow(
        run=run,
        row=first,
        image_ids=np.concatenate([part.image_ids for part in parts]),
        groups=np.concatenate([part.groups for part in parts]),
        predictions=[
            Predictions(
                np.concatenate([item.probabilities for item in items]),
                np.concatenate([item.targets for item in items]),
            )
            for items in zip(*(part.predictions for part in parts), strict=True)
        ],
        folds=np.repeat(np.arange(len(parts)), sizes),
    )
    rows = [part.row for part in parts]
    everything = np.ones(len(pooled.image_ids), bool)
    row = replace(
        first,
        num_train=[size for row in rows for size in row.num_train],
        settings=_joined([row.settings for row in rows]),
        select_score=_mean([row.select_score for row in rows]),
        grid=(),  # of each fold in its own run
        metrics=pooled.estimate(everything, names=metrics),
        seen=_worst([row.seen for row in rows]),
        retrieval=join_folds([row.retrieval for row in rows]),
        training=_join_training([row.training for row in rows]),
        log_loss_of_frequencies=_mean([row.log_loss_of_frequencies for row in rows]),
        remarks=_join_remarks(rows),
        version=ROW_VERSION,
    )
    return replace(pooled, row=row)


def _pool_backbone(backbones: Sequence[JudgedBackbone]) -> JudgedBackbone:
    """Return the encoder of all folds; where each has its own, the name says so."""
    first = backbones[0]
    if len({item.id for item in backbones}) == 1:
        return first
    return replace(first, name=f"{len(backbones)} encoders, one a fold")


def _pool_data(results: Sequence[Results], parts: Sequence[SavedRun]) -> JudgedData:
    first = results[0].data
    # As in "fold 0 of 5"; a study may judge some of the folds alone.
    each = f"each of {len(parts)} folds"
    splits = re.sub(
        r"fold \d+ of (\d+)",
        lambda match: each if int(match[1]) == len(parts) else f"{len(parts)} of {match[1]} folds",
        first.splits,
    )
    num_groups = sum(item.data.num_test_groups for item in results)
    counts = [item.data.class_counts.get("test", ()) for item in results]
    return replace(
        first,
        splits=splits,
        sizes={"test": sum(item.data.sizes["test"] for item in results)},
        num_test_groups=num_groups,
        num_groups={"test": num_groups} if first.num_groups else {},
        class_counts={"test": np.sum(counts, axis=0).tolist()} if all(counts) else {},
    )


def _write_folds(saved: SavedRow) -> None:
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
    write_repeats(
        saved.run / row.predictions, columns, of_repeats=of_repeats, probabilities=probabilities
    )


def _write_test_rows(run: Path, parts: Sequence[SavedRun]) -> None:
    tables = [read_rows(part.path / TEST_ROWS) for part in parts]
    # A column that is empty in one fold has another type there.
    table = pa.concat_tables(tables, promote_options="permissive")
    with atomic_path(run / TEST_ROWS) as temporary:
        pq.write_table(table, temporary)


def _joined(settings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what was picked: one value where folds agree, else one a fold.

    None is of a fold that picked no such thing, as no rate where a head stays as it began.
    """
    keys = dict.fromkeys(key for item in settings for key in item)
    values = {key: [item.get(key) for item in settings] for key in keys}
    return {
        key: of_folds[0] if all(value == of_folds[0] for value in of_folds) else of_folds
        for key, of_folds in values.items()
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None


def _worst(statuses: Sequence[SeenStatus]) -> SeenStatus:
    return next((status for status in MARKS if status in statuses), statuses[0])


def _join_training(trained: Sequence[Training | None]) -> Training | None:
    known = [item for item in trained if item is not None]
    if len(known) < len(trained):
        return None
    return Training(
        **{
            field.name: [value for item in known for value in getattr(item, field.name)]
            for field in fields(Training)
        }
    )


def _join_remarks(rows: Sequence[Row]) -> list[str]:
    """Return remarks on folds, each once, with the folds that it is on."""
    folds: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        for remark in row.remarks:
            folds.setdefault(remark, []).append(number)
    return [
        remark if len(numbers) == len(rows) else f"{named_folds(numbers)}: {remark}"
        for remark, numbers in folds.items()
    ]
