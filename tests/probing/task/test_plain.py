"""Metadata for encoders that know none: means, deviations and words of training rows."""

import numpy as np
import pandas as pd

from toolkit_common.data.sheet import Column
from toolkit_probing.task.plain import PlainMetadata

COLUMNS = (
    Column("size", "lesion", "numeric"),
    Column("site", "lesion", "categorical"),
    Column("age", "patient", "numeric"),
)
TRAIN = pd.DataFrame(
    {"size": [1.0, 3.0, None], "site": ["leg", "arm", None], "age": [40.0, 40.0, 40.0]}
)


def test_numbers_are_standardised_and_words_one_hot():
    plain = PlainMetadata(COLUMNS, TRAIN)
    table = pd.DataFrame(
        {"size": [2.0, 4.0, None], "site": ["leg", "moon", None], "age": [41.0, None, 40.0]}
    )
    encoded = plain.encode(table, "lesion")
    # What is missing is the mean and no word: nothing else says that it is.
    np.testing.assert_allclose(encoded.vectors, [[0, 0, 1], [2, 0, 0], [0, 0, 0]])
    assert encoded.unseen == {"site": 1}
    np.testing.assert_allclose(plain.encode(table, "patient").vectors, [[1], [0], [0]])


def test_a_column_that_the_table_lacks_is_missing():
    encoded = PlainMetadata(COLUMNS, TRAIN).encode(pd.DataFrame({"size": [3.0]}), "lesion")
    np.testing.assert_allclose(encoded.vectors, [[1, 0, 0]])


def test_the_digest_is_of_what_was_fitted():
    same, other = PlainMetadata(COLUMNS, TRAIN), PlainMetadata(COLUMNS, TRAIN.iloc[:1])
    assert same.digest == PlainMetadata(COLUMNS, TRAIN).digest != other.digest
    assert same.columns == {"lesion": ("size", "site"), "patient": ("age",)}


def test_a_constant_column_has_no_deviation_of_rounding():
    train = pd.DataFrame({"age": [0.1] * 7})
    assert train["age"].to_numpy().std() > 0  # what is left of rounding
    encoded = PlainMetadata(COLUMNS[2:], train).encode(pd.DataFrame({"age": [0.3]}), "patient")
    np.testing.assert_allclose(encoded.vectors, [[0.2]], rtol=1e-6)
