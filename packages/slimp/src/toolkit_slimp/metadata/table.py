"""A data set's metadata, encoded once: columns side by side, and which rows belong together.

Tables leave cells of a patient empty here and there. A known value counts for all rows of its
patient, so that it does not matter which lesion is drawn; where none is known, `unknown` does.

Shapes: m rows.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from toolkit_common.data.dataset import ImageData, number_groups
from toolkit_common.errors import InputError
from toolkit_slimp.metadata.columns import encode_column
from toolkit_slimp.metadata.schema import Metadata, Schema


@dataclass(frozen=True)
class EncodedTable:
    """Metadata of every row of a data set.

    Attributes:
        schema: What they were encoded with.
        lesions: Lesion metadata.
        patients: Patient metadata.
        lesion_codes: Equal for images of one lesion `(n,)`.
        metadata_codes: Equal for identical lesion metadata `(n,)`.
        patient_codes: Equal for identical patient metadata `(n,)`.
        image_ids: Name of each row.
    """

    schema: Schema
    lesions: Metadata
    patients: Metadata
    lesion_codes: Tensor
    metadata_codes: Tensor
    patient_codes: Tensor
    image_ids: "pd.Series[str]"


def encode_table(data: ImageData, schema: Schema) -> EncodedTable:
    """Encode all rows; without lesion ids every image is a lesion of its own.

    Raises:
        InputError: If the data do not keep the schema.
    """
    table = data.table
    with named(data):
        patients = encode_rows(schema.at("patient"), table)
        lesions = encode_rows(schema.at("lesion"), table)
    lesion_ids = table["lesion_id"] if "lesion_id" in table else table["image_id"]
    return EncodedTable(
        schema=schema,
        lesions=lesions,
        patients=patients,
        lesion_codes=_codes(lesion_ids.to_numpy(str)),
        metadata_codes=_metadata_codes(lesions),
        patient_codes=_metadata_codes(patients),
        image_ids=table["image_id"],
    )


def encode_rows(schema: Schema, table: pd.DataFrame) -> Metadata:
    """Encode rows; where they have a `group`, a patient's values are shared by its rows.

    Raises:
        InputError: If a column is absent, or a value is out of its range or no number.
    """
    for column in schema.columns:
        if column.name not in table:
            raise InputError(f"the data has no metadata column {column.name!r} of the schema")
    encoded = [encode_column(column, table) for column in schema.columns]
    # Before any batch is drawn, so that it does not matter which lesion stands for a patient.
    if "group" in table:
        patients = number_groups(table["group"])
        encoded = [
            _share_value(item, patients) if column.level == "patient" else item
            for column, item in zip(schema.columns, encoded, strict=True)
        ]
    flags = torch.zeros(len(table), 0, dtype=torch.bool)  # where there are no columns
    return Metadata(
        numeric=torch.cat([flags.float(), *(item.numeric for item in encoded)], dim=1),
        words=torch.cat([flags, *(item.words for item in encoded)], dim=1),
        observed=torch.cat([flags, *(item.observed for item in encoded)], dim=1),
    )


@contextmanager
def named(data: ImageData) -> Iterator[None]:
    """Begin messages about values with the data set's id."""
    try:
        yield
    except InputError as error:
        raise InputError(f"data set {data.id!r}: {error}") from None


def _share_value(column: Metadata, patients: np.ndarray) -> Metadata:
    """Give every row its patient's value: the first known one, else unknown, else missing."""
    observed, is_unknown = column.observed[:, 0].numpy(), column.words[:, 0].numpy()
    worth = np.where(observed, np.where(is_unknown, 1, 2), 0)
    order = np.lexsort((-worth, patients))  # stable: of equals the first row
    _, first, patient = np.unique(patients[order], return_index=True, return_inverse=True)
    source = np.empty_like(order)
    source[order] = order[first[patient]]
    return column.take(torch.from_numpy(source))


def _metadata_codes(metadata: Metadata) -> Tensor:
    """Return a number for each row, equal exactly where all values are."""
    # With the mask: what is missing and a true 0 are not identical.
    parts = (metadata.numeric, metadata.words.float(), metadata.observed.float())
    return _codes(torch.cat(parts, dim=1).numpy())


def _codes(rows: np.ndarray) -> Tensor:
    if rows.ndim == 2 and rows.shape[1] == 0:  # np.unique needs a column to compare
        return torch.zeros(len(rows), dtype=torch.int64)
    codes = np.unique(rows, axis=0, return_inverse=True)[1]
    return torch.from_numpy(codes.reshape(-1).astype(np.int64))
