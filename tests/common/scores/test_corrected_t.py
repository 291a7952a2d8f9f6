"""The interval over folds is that of the paper's formula."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.properties import few_examples
from toolkit_common.scores.corrected_t import corrected_t


@pytest.mark.slow
@few_examples
@given(values=st.lists(st.floats(-1, 1), min_size=3, max_size=8), share=st.floats(0, 1))
def test_the_interval_over_folds_equals_the_written_formula(values, share):
    mean, half = corrected_t(values, test_to_train=share)
    count = len(values)
    average = sum(values) / count
    variance = sum((value - average) ** 2 for value in values) / (count - 1)
    quantile = {3: 4.302653, 4: 3.182446, 5: 2.776445, 6: 2.570582, 7: 2.446912, 8: 2.364624}
    assert mean == pytest.approx(average, abs=1e-12)
    expected = quantile[count] * math.sqrt(variance * (1 / count + share))
    assert half == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_a_fold_without_a_value_leaves_none():
    assert all(math.isnan(part) for part in corrected_t([0.5, float("nan")], test_to_train=0.3))
