"""What a file of extrapolated metadata holds: rows, columns and facts; it names nobody."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from toolkit_common.backbones.exported import read_description
from toolkit_common.data.dataset import ImageData
from toolkit_common.data.extrapolated import CONTENT
from toolkit_common.data.sheet import Column
from toolkit_common.seen.check import SeenStatus
from toolkit_common.seen.compare import compare_rows
from toolkit_common.seen.record import Contents, read_seen
from toolkit_common.sharing.provenance import public_data
from toolkit_slimp.extrapolation.agreement import Agreement
from toolkit_slimp.extrapolation.asking import Answers
from toolkit_slimp.extrapolation.reference import Reference, Run
from toolkit_slimp.extrapolation.settings import ExtrapolateSettings

HOW = ("neighbours", "temperature", "threshold", "level")  # settings that the file names


def build_rows(
    contents: Contents, rows: np.ndarray, answers: Answers, *, reference: Reference, run: Run
) -> pd.DataFrame:
    """Return the rows of the file, see `toolkit_common.data.extrapolated`.

    Args:
        contents: The data set.
        rows: Which rows of it.
        answers: Of their neighbours.
        reference: Where these are.
        run: Whose encoder was asked.
    """
    names = reference.train.names[answers.neighbour]
    has_one = np.isfinite(answers.similarity)
    columns: dict[str, Any] = {
        "image_id": contents.data.table["image_id"].astype(str).to_numpy()[rows],
        "content": [name[:CONTENT] for name in contents.of(rows)],
        "neighbour": [
            f"{name:016x}" if there else None for name, there in zip(names, has_one, strict=True)
        ],
        "similarity": np.where(has_one, answers.similarity, np.nan),
    }
    for column in reference.columns:
        if column.name in answers.numbers:
            values, _ = reference.values(column)
            shown = np.where(answers.is_near, answers.numbers[column.name], np.nan)
            columns[column.name] = values.cells(shown)
    overlap = compare_rows(read_seen(run.folder), contents, {"all": rows})
    columns["abstained"] = ~answers.is_near
    columns["seen"] = np.isin(rows, overlap.seen["all"])
    return pd.DataFrame(columns)


def described_columns(reference: Reference, answers: Answers) -> tuple[Column, ...]:
    """Return the columns of the file as a sheet has them."""
    kept = [column for column in reference.columns if column.name in answers.numbers]
    return tuple(Column(item.name, item.level, item.kind, item.unit) for item in kept)


def build_facts(
    settings: ExtrapolateSettings,
    run: Run,
    reference: Reference,
    *,
    data: ImageData,
    agreements: Sequence[Agreement],
    seen: SeenStatus,
) -> dict[str, Any]:
    """Return who made a file, of what, and what it is worth: no place on this machine, no label."""
    description = read_description(run.folder)
    provenance = description.provenance
    return {
        "method": "SLIMP",
        "encoder": {
            "weights_sha256": description.weights_sha256,
            "data": provenance.get("data"),
            "licence": provenance.get("data_licence"),
        },
        "reference": dict(reference.facts),
        "data": {"name": public_data(data.id), "images": len(data)},
        "settings": {key: getattr(settings, key) for key in HOW},
        "agreement": [item.to_json() for item in agreements],
        "seen": seen,
    }
