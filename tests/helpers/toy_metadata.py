"""Data sets of a few rows with metadata, and their schema: what tests of a schema begin with."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from helpers.small_data import build_data
from toolkit_common.data.dataset import ImageData, build_image_data
from toolkit_common.data.sheet import Column, Sheet
from toolkit_slimp.metadata.infer import infer_schema
from toolkit_slimp.metadata.schema import Schema

SHEET = Sheet(
    title="toy",
    labels=("diagnosis",),
    columns=(
        Column("age", "patient", "numeric", unit="years", low=0, high=120),
        Column("angle", "lesion", "angle"),
        Column("site", "lesion", "categorical"),
        Column("itch", "lesion", "boolean"),
    ),
    leaks={"biopsed": "decided after the diagnosis"},
)
BARE = Sheet("bare")


def toy(sheet: Sheet = SHEET, **columns: Sequence[Any]) -> ImageData:
    """Six lesions of three patients, with a column of every kind and a leak."""
    frame = pd.DataFrame(
        {
            "image": [f"{i}.png" for i in range(6)],
            "image_id": [str(i) for i in range(6)],
            "diagnosis": list("ababab"),
            "group": list("ppqqrr"),
            "age": [30.0, 30.0, 0.0, 0.0, None, None],
            "angle": [0.0, 90.0, 180.0, None, 45.0, 10.0],
            "site": ["arm", "leg", None, "arm", "unknown", "back"],
            "itch": ["true", "false", None, "unknown", "true", "true"],
            "biopsed": ["true"] * 3 + ["false"] * 3,
            **columns,
        }
    )
    return build_image_data("toy", frame, sheet)


def fit_toy(rows: Iterable[int] = range(6), **columns: Sequence[Any]) -> tuple[ImageData, Schema]:
    """The toy data, and its schema as fitted on some rows."""
    data = toy(**columns)
    return data, infer_schema(data, np.array(rows))


def sparse(
    ages: Sequence[Any], groups: str = "ppqq", *, sheet: Sheet = BARE, **columns: Sequence[Any]
) -> ImageData:
    """Rows of a table without a sheet, by default two of each patient."""
    return build_data(["a"] * len(ages), groups=list(groups), sheet=sheet, age=ages, **columns)
