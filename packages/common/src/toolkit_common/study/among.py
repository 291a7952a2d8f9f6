"""Figures of a part of a cell's test images: those of some values of a column of its test rows."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from toolkit_common.errors import InputError
from toolkit_common.foreign.rows import read_rows
from toolkit_common.printable import first_of
from toolkit_common.scores.metrics import METRICS, evaluate, is_ranking
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
        without intervals of its own.

    Raises:
        InputError: If it has no predictions, its test rows cannot be read or have no such column,
            or nothing is left.
    """
    if record.predictions is None:
        raise InputError(f"{record.cell.id} has no predictions of test rows to choose among")
    part = replace(record, kept=_ids(record.cell.place / FILE, wanted), intervals={})
    names = [name for name in record.metrics if name in METRICS or is_ranking(name)]
    runs = [evaluate(run, np.ones((1, len(run.targets))), names) for run in predictions_of(part)]
    means = {name: float(np.mean([run[name][0] for run in runs])) for name in names}
    return replace(
        part, metrics={name: None if np.isnan(mean) else mean for name, mean in means.items()}
    )


def _ids(path: Path, wanted: Mapping[str, Scalars]) -> frozenset[str]:
    table = read_rows(path, columns=["image_id", *wanted])
    if missing := [name for name in wanted if name not in table.column_names]:
        raise InputError(f"{path} has no column {missing[0]!r}: its data set has no such values")
    frame = table.to_pandas()
    keep = np.ones(len(frame), dtype=bool)
    for name, values in wanted.items():
        known = frame[name].map(written, na_action="ignore")
        keep &= known.isin(list(map(written, values))).to_numpy()
        if not keep.any():
            raise InputError(
                f"no test row of {path} has {name} {' or '.join(map(written, values))}: there are "
                f"{first_of(sorted(known.dropna().unique()), SHOWN) or 'no values'}"
            )
    return frozenset(frame["image_id"][keep])
