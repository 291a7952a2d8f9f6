"""The ablations' report: intervals over folds, figures that are there, no folder of the machine."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.properties import few_examples
from lib import ablation_report


@pytest.mark.slow
@few_examples
@given(values=st.lists(st.floats(-1, 1), min_size=3, max_size=8), share=st.floats(0, 1))
def test_the_interval_over_folds_equals_the_written_formula(values, share):
    mean, half = ablation_report.fold_interval(values, test_to_train=share)
    count = len(values)
    average = sum(values) / count
    variance = sum((value - average) ** 2 for value in values) / (count - 1)
    quantile = {3: 4.302653, 4: 3.182446, 5: 2.776445, 6: 2.570582, 7: 2.446912, 8: 2.364624}
    assert mean == pytest.approx(average, abs=1e-12)
    expected = quantile[count] * math.sqrt(variance * (1 / count + share))
    assert half == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_a_figure_that_a_fold_lacks_is_not_made_up():
    assert ablation_report.shown([0.5, float("nan"), 0.7], 3) is None
    assert ablation_report.shown([0.5, 0.5, 0.5], 3, sign="+") == "+0.500 \u00b1 0.000"


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ("csv:/home/me/table.csv?group=patient", "csv:table.csv?group=patient"),
        ("timm:a?image_size=64&weights=/opt/b/c.pth", "timm:a?image_size=64&weights=c.pth"),
        ("../runs/derm", "derm"),
        ("timm:hf-hub:org/name", "timm:hf-hub:org/name"),
        ("lesions", "lesions"),
    ],
)
def test_reports_name_no_folder_of_the_machine(given, left):
    assert ablation_report.bare(given) == left
