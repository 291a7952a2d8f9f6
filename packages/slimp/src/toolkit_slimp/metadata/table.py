"""A whole data set's metadata, encoded once, and who in it belongs together."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from toolkit_common.data.dataset import ImageData
from toolkit_common.errors import InputError
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
        patients = schema.at("patient").encode(table)
        lesions = schema.at("lesion").encode(table)
    lesion_ids = table["lesion_id"] if "lesion_id" in table else table["image_id"]
    return EncodedTable(
        schema=schema,
        lesions=lesions,
        patients=patients,
        lesion_codes=_codes(lesion_ids.to_numpy(str)),
        metadata_codes=metadata_codes(lesions),
        patient_codes=metadata_codes(patients),
        image_ids=table["image_id"],
    )


@contextmanager
def named(data: ImageData) -> Iterator[None]:
    """Begin messages about values with the data set's id."""
    try:
        yield
    except InputError as error:
        raise InputError(f"data set {data.id!r}: {error}") from None


def metadata_codes(metadata: Metadata) -> Tensor:
    """Return a number for each row, equal exactly where all values are."""
    parts = (metadata.numeric, metadata.words.float(), metadata.observed.float())
    return _codes(torch.cat(parts, dim=1).numpy())


def _codes(rows: np.ndarray) -> Tensor:
    if rows.ndim == 2 and rows.shape[1] == 0:
        return torch.zeros(len(rows), dtype=torch.int64)
    found = np.unique(rows, axis=0, return_inverse=True)[1]
    return torch.from_numpy(found.reshape(-1).astype(np.int64))
