"""What is the patient's is one value, whichever of its rows tells it.

Tables leave cells of a patient empty here and there. A known value counts for all rows of its
patient, so that it does not matter which lesion is drawn; where none is known, `unknown` does.

Shapes: m rows.
"""

import numpy as np
import pandas as pd

from toolkit_slimp.metadata.columns import EncodedColumn, known_values
from toolkit_slimp.metadata.schema import ColumnSchema


def number_patients(groups: pd.Series) -> np.ndarray:
    """Return a number for each row's patient `(m,)`; a row without one is a patient of its own."""
    codes, names = pd.factorize(groups)
    return np.where(codes < 0, len(names) + np.arange(len(codes)), codes)


def share_value(found: EncodedColumn, patients: np.ndarray) -> EncodedColumn:
    """Give every row its patient's value: the first known one, else unknown, else missing.

    Args:
        found: An encoded column.
        patients: Number of each row's patient `(m,)`.
    """
    is_unknown = found.words[:, 0]
    worth = np.where(found.observed, np.where(is_unknown, 1, 2), 0)
    order = np.lexsort((-worth, patients))  # stable: of equals the first row
    _, first, row = np.unique(patients[order], return_index=True, return_inverse=True)
    source = order[first[row]]  # of the sorted rows
    told = np.empty_like(source)
    told[order] = source
    return EncodedColumn(found.numbers[told], found.words[told], found.observed[told])


def count_differing(column: ColumnSchema, table: pd.DataFrame) -> int:
    """Count the patients who have two known values; codes and spellings do not count.

    Raises:
        InputError: If the column is numeric and a value is no number.
    """
    values = known_values(column, table[column.name], table["image_id"])
    return int((values.groupby(table["group"]).nunique() > 1).sum())
