"""What `toolkit data describe` knows: rows, groups, labels, missing values, notes."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from toolkit_common.data.check import absent_rows
from toolkit_common.data.dataset import SPLITS, ImageData
from toolkit_common.data.labels import label_map
from toolkit_common.data.splits import make_splits
from toolkit_common.errors import InputError


def describe_data(data: ImageData) -> dict[str, Any]:
    """Return what is known about a data set, JSON-able."""
    table, sheet = data.table, data.sheet
    described: dict[str, Any] = {
        "id": data.id,
        "title": sheet.title,
        "source": sheet.source,
        "doi": sheet.doi,
        "licence": sheet.licence,
        "images": len(data),
        "choices": list(data.choices),
        "notes": list(sheet.notes),
        "labels": {name: _counts(data, name) for name in sheet.labels if name in table},
        "label_problems": _label_problems(data),
        "unread": dict(sheet.unread),
        "label_map": label_map(table, sheet),
        **({sheet.binary.either_name: sorted(sheet.binary.either)} if sheet.binary.name else {}),
        "columns": _columns(data),
    }
    sizes = list(table["group"].value_counts()) if data.groups is not None else []
    if len(absent := absent_rows(data, np.arange(len(data)))):
        first = Path(data.images[int(absent[0])]["image"]["path"]).name
        described["absent"] = {"count": len(absent), "first": first}
    if sizes:  # rows without group are a problem of the splits
        described["groups"] = {
            "count": len(sizes),
            "images_per_group": {"median": float(np.median(sizes)), "max": int(max(sizes))},
        }
        described["grouped_by"] = grouped_by(data)
    if {"patient_id", "lesion_id"} <= set(table):
        described["patients"] = _patients(data)
    try:
        splits = make_splits(data)
        described["splits"] = {name: len(splits[name]) for name in SPLITS}
        described["splits"]["origin"] = splits.origin
    except InputError as error:
        described["splits"] = {"problem": str(error)}
    return described


def _columns(data: ImageData) -> dict[str, dict[str, Any]]:
    """Return what is known of each metadata column."""
    columns = (column for column in data.sheet.columns if column.name in data.table)
    return {
        column.name: {
            "level": column.level,
            "kind": column.kind,
            "unit": column.unit,
            "missing": float(data.table[column.name].isna().mean()),
            "distinct": int(data.table[column.name].nunique()),
        }
        for column in columns
    }


def grouped_by(data: ImageData) -> str | None:
    """Return the key that the groups are of, None where it is no column of the rows."""
    groups = data.table["group"]
    keys = (key for key in ("patient_id", "lesion_id") if key in data.table)
    return next((key for key in keys if data.table[key].equals(groups)), None)


def _patients(data: ImageData) -> dict[str, Any]:
    """Patients, lesions, and how many patients have how many lesions; lesions without id apart."""
    known = data.table.dropna(subset=["patient_id", "lesion_id"])
    lesions = known.groupby("patient_id")["lesion_id"].nunique()
    spread = lesions.value_counts().sort_index()
    return {
        "count": int(data.table["patient_id"].nunique()),
        "lesions": int(known[["patient_id", "lesion_id"]].drop_duplicates().shape[0]),
        "images_without_lesion_id": int(data.table["lesion_id"].isna().sum()),
        "patients_by_lesions": {str(lesion): int(count) for lesion, count in spread.items()},
    }


def _counts(data: ImageData, name: str) -> dict[str, int]:
    """Images of each class, the most frequent first; `None` for rows without."""
    names = getattr(data.rows.features[name], "names", None)
    # As the classes of a run are called: pandas makes 0.0 of 0 where a row has none.
    values = (None if value != value else value for value in data.rows[name][:])
    counts = Counter(
        str(names[value] if names and value is not None else value) for value in values
    )
    return dict(counts.most_common())


def _label_problems(data: ImageData) -> list[str]:
    """Return why labels cannot be predicted."""
    problems = []
    for name in (item for item in data.sheet.labels if item in data.table):
        try:
            data.labels(name)
        except InputError as error:
            problems.append(str(error))
    return problems
