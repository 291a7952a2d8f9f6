"""The rows and facts of the file; end to end in `test_run.py`."""

from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from toolkit_slimp.extrapolation.asking import Answers
from toolkit_slimp.extrapolation.contents import described_columns
from toolkit_slimp.extrapolation.reference import Lesions, Reference
from toolkit_slimp.metadata.schema import ColumnSchema


def test_columns_are_described_as_a_sheet_has_them_and_others_left_out():
    size = ColumnSchema("size", "lesion", "numeric", unit="mm", quantiles=(0.0, 1.0))
    site = replace(size, name="site", kind="categorical")
    nobody = Lesions(torch.zeros(0, 2), [], np.zeros(0, np.uint64))
    reference = Reference(nobody, nobody, pd.DataFrame(), (size, site), {})
    answers = Answers(np.zeros(1, int), np.ones(1), {"size": np.ones(1)}, np.ones(1, bool))
    (column,) = described_columns(reference, answers)
    told = (column.name, column.level, column.kind, column.unit)
    assert told == ("size", "lesion", "numeric", "mm")
