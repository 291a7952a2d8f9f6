"""One column: transforms fitted on training values, codes, words, 0 is a value."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers.properties import few_examples
from toolkit_common.errors import InputError
from toolkit_slimp.metadata.columns import fit_column, unseen_words
from toolkit_slimp.metadata.schema import ColumnSchema, Schema
from toolkit_slimp.metadata.table import encode_rows


def column(**options):
    return ColumnSchema("x", "lesion", **options)


def fit(schema, values):
    return fit_column(schema, pd.DataFrame({"x": values}))


def unseen(schema, values):
    return unseen_words(schema, pd.DataFrame({"x": values}))


def encode(schema, values):
    return encode_rows(Schema((schema,)), pd.DataFrame({"x": pd.Series(values)}))


def test_codes_of_a_numeric_column_separate_missing_from_unknown():
    given = column(kind="numeric", missing=("-1",), unknown=("999",), low=0.0, high=10.0)
    fitted = fit(given, pd.Series([0.0, 5.0, -1.0, 999.0]))
    assert (fitted.quantiles[0], fitted.quantiles[-1]) == (0.0, 5.0)
    actual = encode(fitted, [0.0, -1.0, 999.0, None, "unknown"])
    assert actual.observed[:, 0].tolist() == [True, False, True, False, True]
    assert actual.words[:, 0].tolist() == [False, False, True, False, True]
    assert actual.numeric[0, 0] < 0.0
    assert actual.numeric[1:, 0].tolist() == [0.0] * 4


def test_codes_of_words_separate_missing_from_unknown():
    given = column(kind="categorical", missing=("NA",), unknown=("?",))
    fitted = fit(given, pd.Series(["arm", "NA", "?", "leg", None]))
    assert fitted.categories == ("arm", "leg")
    actual = encode(fitted, ["arm", "NA", "?", "unknown", None])
    assert actual.observed[:, 0].tolist() == [True, False, True, True, False]
    assert actual.words.int().tolist() == [[0, 1, 0], [0, 0, 0], [1, 0, 0], [1, 0, 0], [0, 0, 0]]


def test_a_cell_may_hold_several_answers():
    fitted = fit(column(kind="multi"), pd.Series(["red; blue", "red", None, "unknown"]))
    assert fitted.categories == ("blue", "red")
    actual = encode(fitted, ["red;blue", "blue", "green", "green; red", None, "unknown"])
    assert actual.words.int().tolist() == [
        [0, 1, 1], [0, 1, 0], [0, 0, 0], [0, 0, 1], [0, 0, 0], [1, 0, 0],
    ]  # fmt: skip
    assert actual.observed[:, 0].tolist() == [True, True, False, True, False, True]


@pytest.mark.parametrize(
    "values",
    [
        ["True", "False", "unknown"],
        ["1.0", "0", "unknown"],
        ["Yes", "no", "Unknown"],
        ["Y", "n", "UNKNOWN"],
    ],
)
def test_booleans_are_read_as_they_are_spelled(values):
    fitted = fit(column(kind="boolean"), pd.Series(values))
    assert encode(fitted, values).words.int().tolist() == [[0, 0, 1], [0, 1, 0], [1, 0, 0]]


def test_codes_and_categories_of_booleans_are_read_as_their_cells():
    given = column(kind="boolean", categories=("Yes", "No"), missing=("NA",), unknown=("UNK",))
    actual = encode(given, ["YES", "no", "UNK", "unk", "na", "perhaps", None])
    assert (
        actual.words.int().tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0], [1, 0, 0]] + [[0] * 3] * 3
    )
    assert actual.observed[:, 0].tolist() == [True] * 4 + [False] * 3


def test_words_that_a_column_does_not_know_are_counted():
    sites = column(kind="categorical", categories=("arm",), missing=("NA",), unknown=("?",))
    cells = pd.Series(["arm", "leg", "NA", "?", "leg", "unknown", None, "back"])
    assert unseen(sites, cells) == {"leg": 2, "back": 1}
    answers = pd.Series(["Perhaps", "yes", "FALSE", "perhaps"])
    assert unseen(fit(column(kind="boolean"), answers), answers) == {
        "Perhaps": 1,
        "perhaps": 1,
    }
    assert unseen(column(kind="multi", categories=("a",)), pd.Series(["a; b", "b"])) == {"b": 2}
    assert unseen(column(kind="numeric"), pd.Series([1.0, 2.0])) == {}


def test_a_code_of_a_numeric_column_may_be_a_word():
    given = column(kind="numeric", missing=("?", "-1"), unknown=("not stated",), high=9.0)
    fitted = fit(given, pd.Series(["1.5", "2.5", "?", "-1", "not stated", None]))
    assert (fitted.quantiles[0], fitted.quantiles[-1]) == (1.5, 2.5)
    actual = encode(fitted, ["2", "?", "-1.0", "not stated", "unknown", None])
    assert actual.observed[:, 0].tolist() == [True, False, False, True, True, False]
    assert actual.words[:, 0].tolist() == [False, False, False, True, True, False]


def test_a_word_in_a_numeric_column_is_named():
    message = (
        r"'x' is numeric in the schema: 'arm' is no number: if it is a code, list it as missing or "
        "unknown"
    )
    with pytest.raises(InputError, match=message):
        encode(column(kind="numeric", quantiles=(0.0, 1.0)), [1.0, "arm"])


def test_an_infinite_number_is_named():
    column = ColumnSchema(name="x", level="lesion", kind="numeric")
    with pytest.raises(InputError, match="column 'x': '1e400' is no finite number"):
        fit(column, pd.Series(["1", "1e400", "2"], name="x"))


def test_a_value_that_most_rows_have_is_mapped_to_the_middle_of_its_share():
    values = pd.Series([0.0] * 50 + list(range(1, 51)))
    fitted = fit(column(kind="numeric"), values)
    actual = encode(fitted, [0.0, 25.0, 50.0]).numeric[:, 0].double()
    levels = torch.special.ndtr(actual)
    torch.testing.assert_close(levels[0], torch.tensor(0.255).double(), atol=0.01, rtol=0)
    torch.testing.assert_close(levels[1], torch.tensor(0.745).double(), atol=0.01, rtol=0)


@few_examples
@given(st.floats(-1e9, 1e9))
def test_a_column_of_one_value_is_encoded(value):
    fitted = fit(column(kind="numeric"), pd.Series([value, value]))
    assert float(encode(fitted, [value]).numeric) == pytest.approx(0.0, abs=1e-6)


@few_examples
@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30), st.floats(-1e9, 1e9))
def test_numbers_are_mapped_monotonically_to_a_bounded_range(training, other):
    quantiles = np.quantile(training, np.linspace(0, 1, 101))
    column = ColumnSchema("x", "lesion", "numeric", quantiles=tuple(map(float, quantiles)))
    values = sorted([*training, other])
    encoded = encode_rows(Schema((column,)), pd.DataFrame({"x": values})).numeric[:, 0]
    assert (encoded.diff() >= 0).all()
    assert encoded.abs().max() < 3.0
