"""What cells say, and what several neighbours say together, against sums by hand."""

import numpy as np
import pandas as pd
import pytest

from toolkit_slimp.extrapolation.values import Values, read_values
from toolkit_slimp.metadata.schema import ColumnSchema

SITE = ColumnSchema("site", "lesion", "categorical", categories=("arm", "leg"))
SIZE = ColumnSchema("size", "lesion", "numeric", quantiles=(0.0, 1.0))
ANGLE = ColumnSchema("angle", "lesion", "angle")
MULTI = ColumnSchema("seen", "lesion", "multi", categories=("a", "b"))
NAN = float("nan")


def blend(column: ColumnSchema, near: list[float], weights: list[float]) -> float:
    words = () if column.num_numbers else ("w0", "w1", "w2")
    values = Values(column, np.zeros(1), words)
    return float(values.blend(np.array([near], float), np.array([weights], float))[0])


def test_words_are_places_and_unknown_or_foreign_ones_are_none():
    table = pd.DataFrame({"site": ["leg", "arm", None, "unknown", "moon", "leg"]})
    values = read_values(SITE, table)
    assert values.words == ("arm", "leg")
    np.testing.assert_array_equal(values.numbers, [1, 0, NAN, NAN, NAN, 1])
    assert values.cells(values.numbers) == ["leg", "arm", None, None, None, "leg"]
    assert values.is_known.tolist() == [True, True, False, False, False, True]


def test_several_answers_are_one_word_whatever_their_order():
    table = pd.DataFrame({"seen": ["a;b", "b; a", "a", "a;c"]})
    values = read_values(MULTI, table)
    np.testing.assert_array_equal(values.numbers[:3], [1, 1, 0])
    assert np.isnan(values.numbers[3])


def test_a_patients_first_value_counts_for_all_its_rows():
    age = ColumnSchema("age", "patient", "numeric", quantiles=(0.0, 1.0))
    table = pd.DataFrame({"age": [NAN, 40.0, 41.0, NAN, 7.0], "group": ["p", "p", "p", "q", None]})
    np.testing.assert_array_equal(read_values(age, table).numbers, [40, 40, 40, NAN, 7])


def test_the_word_with_the_most_weight_wins_and_not_the_most_frequent():
    assert blend(SITE, [2, 1, 1], [0.6, 0.2, 0.2]) == 2
    assert blend(SITE, [2, 1, 1], [0.4, 0.3, 0.3]) == 1


@pytest.mark.parametrize(
    ("weights", "expected"), [([0.2, 0.2, 0.6], 9.0), ([0.4, 0.4, 0.2], 3.0), ([1.0, 0, 0], 1.0)]
)
def test_numbers_are_told_by_the_weighted_median(weights, expected):
    assert blend(SIZE, [1.0, 3.0, 9.0], weights) == expected


def test_angles_are_axes():
    """Of 170 and 10 degrees the mean is 0 (or 180), not 90; a quarter turn is as far as can be."""
    middle = blend(ANGLE, [170.0, 10.0], [0.5, 0.5])
    assert min(middle, 180 - middle) == pytest.approx(0, abs=1e-6)
    assert blend(ANGLE, [30.0, 50.0], [0.5, 0.5]) == pytest.approx(40)
    values = Values(ANGLE, np.zeros(1))
    misses = values.misses(np.array([179.0, 90.0, 10.0]), np.array([1.0, 0.0, 10.0]))
    np.testing.assert_allclose(misses, [2, 90, 0])


def test_misses_are_errors_of_numbers_and_unequal_words():
    sizes = Values(SIZE, np.zeros(1)).misses(np.array([1.0, 5.0]), np.array([4.0, 5.0]))
    np.testing.assert_array_equal(sizes, [3, 0])
    words = Values(SITE, np.zeros(1), ("arm", "leg"))
    np.testing.assert_array_equal(words.misses(np.array([1.0, 0.0]), np.array([0.0, 0.0])), [1, 0])
