"""What is written of a schema is what is read, and its hash says so."""

from dataclasses import replace

import numpy as np
import pandas as pd

from toolkit_common.data.dataset import build_image_data
from toolkit_common.data.sheet import Column, Sheet
from toolkit_slimp.metadata.infer import infer_schema
from toolkit_slimp.metadata.schema import Schema
from toolkit_slimp.metadata.schema_file import read_schema

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


def toy(sheet: Sheet = SHEET, **columns):
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


def fit(rows=range(6), **columns):
    data = toy(**columns)
    return data, infer_schema(data, np.array(rows))


def test_json_round_trip_keeps_the_schema_and_its_digest():
    _, schema = fit()
    read = read_schema(schema.to_json())
    assert read == schema
    assert read.digest() == schema.digest()
    changed = replace(schema.columns[0], high=99.0)
    assert Schema((changed, *schema.columns[1:])).digest() != schema.digest()
