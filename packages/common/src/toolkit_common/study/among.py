"""Figures of a part of a cell's test images: those of some values of a column of its test rows."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from toolkit_common.errors import InputError
from toolkit_common.foreign.rows import read_rows
from toolkit_common.printable import first_of
from toolkit_common.runs.manifest import refuse_changed
from toolkit_common.scores.metrics import evaluate, follows
from toolkit_common.study.file import Scalars, written
from toolkit_common.study.patients import predictions_of
from toolkit_common.study.records import Record

FILE = "test_rows.parquet"
SHOWN = 5


def among(record: Record, wanted: Mapping[str, Scalars]) -> Record:
    """Return a record judged on a part of its test images, by the predictions that it has.

    Args:
        record: A row of a cell's results.
        wanted: Column of the test rows -> the values that are kept.

    Returns:
        The record with the metrics that follow from predictions, means over its repeats, and
        without intervals of its own. Where no test row is of these values they are undefined, and
        a remark says what there is.

    Raises:
        InputError: If it has no predictions, or its test rows cannot be read or have changed.
    """
    if record.predictions is None:
        raise InputError(f"{record.cell.id} has no predictions of test rows to choose among")
    refuse_changed(record.cell.place, FILE)  # others are in other parts
    table = read_rows(record.cell.place / FILE, columns=["image_id", *wanted]).to_pandas()
    ids, missing = _ids(table, wanted)
    ratio = record.test_to_train
    part = replace(
        record,
        kept=ids,
        intervals={},
        test_to_train=None if ratio is None else ratio * len(ids) / len(table),
        remarks=(*record.remarks, *missing),
    )
    names = [name for name in record.metrics if follows(name)]
    if not ids:
        return replace(part, metrics=dict.fromkeys(names))
    predictions = predictions_of(part)
    runs = [evaluate(run, np.ones((1, len(run.targets))), names) for run in predictions]
    if absent := {*range(len(record.classes))} - {*predictions[0].targets.tolist()}:
        which = first_of([record.classes[code] for code in sorted(absent)], SHOWN)
        part = replace(part, remarks=(*part.remarks, f"NO TEST ROW of this part is {which}"))
    means = {name: float(np.mean([run[name][0] for run in runs])) for name in names}
    return replace(
        part, metrics={name: None if np.isnan(mean) else mean for name, mean in means.items()}
    )


def _ids(frame: pd.DataFrame, wanted: Mapping[str, Scalars]) -> tuple[frozenset[str], list[str]]:
    """Return the ids of the test rows of these values, and what there is where there are none."""
    keep, remarks = np.ones(len(frame), dtype=bool), []
    for name, values in wanted.items():
        column = frame.get(name, pd.Series(None, index=frame.index, dtype=object))
        known = column.map(written, na_action="ignore")
        is_wanted = known.isin(list(map(written, values))).to_numpy()
        if not is_wanted.any():
            there = first_of(sorted(known.dropna().unique()), SHOWN) or "no values"
            remarks.append(
                f"NO TEST ROW has {name} {' or '.join(map(written, values))}: there are {there}"
            )
        keep &= is_wanted
    return frozenset(frame["image_id"][keep]), remarks
