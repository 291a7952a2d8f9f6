"""What neighbours are worth: columns with lift, columns without, and few patients."""

import numpy as np
import pytest
from rich.console import Console

from toolkit_slimp.extrapolation.agreement import (
    FEWEST_PATIENTS,
    Agreement,
    agreement_table,
    measure,
)
from toolkit_slimp.extrapolation.neighbours import Nearest
from toolkit_slimp.extrapolation.values import Values
from toolkit_slimp.metadata.schema import ColumnSchema

SITE = ColumnSchema("site", "lesion", "categorical", categories=("arm", "leg"))
SIZE = ColumnSchema("size", "lesion", "numeric", unit="mm", quantiles=(0.0, 1.0))


def measured(
    truth: list[float], own: list[float], places: list[int], *, patients: int | None = None
) -> Agreement:
    """Measure held-out lesions, each by one neighbour; of a word unless values are large."""
    is_word = max(own) <= 1
    values = Values(SITE if is_word else SIZE, np.array(own), ("arm", "leg") if is_word else ())
    count = len(truth)
    near = Nearest(np.array(places)[:, None], np.ones((count, 1)))
    groups = np.arange(count) % (patients or count)
    return measure(values, near, np.array(truth), weights=np.ones((count, 1)), groups=groups)


def test_figures_are_those_by_hand():
    own = [0.0, 0.0, 0.0, 1.0]
    truth = [0.0, 1.0, 1.0, 0.0] * 10
    item = measured(truth, own, [0, 3, 0, 3] * 10)
    assert (item.num_lesions, item.num_patients) == (40, 40)
    assert item.missed == 0.5
    # `arm` is three quarters of the training lesions: half of the truth is not.
    assert item.constant == 0.5
    # A random lesion misses 1/4 of the `arm`s and 3/4 of the `leg`s.
    assert item.random == pytest.approx(0.5, abs=0.03)
    assert not item.has_lift


def test_a_column_that_the_image_tells_has_lift():
    item = measured([0.0, 1.0] * 20, [0.0, 1.0], [0, 1] * 20)
    assert item.missed == 0.0
    assert item.over_random[1] is not None
    assert item.over_random[1][0] > 0.3
    assert item.has_lift


def test_better_than_random_and_worse_than_the_most_frequent_word_is_no_lift():
    truth, places = [0.0] * 90 + [1.0] * 10, [0] * 78 + [9] * 12 + [9] * 8 + [0] * 2
    item = measured(truth, [0.0] * 9 + [1.0], places)
    assert item.over_random[0] > 0
    assert item.over_constant[0] == pytest.approx(0.1 - 0.14)
    assert not item.has_lift


def test_numbers_are_measured_by_their_error():
    own = [10.0, 20.0, 90.0]
    item = measured([12.0, 19.0, 85.0] * 10, own, [0, 1, 2] * 10)
    assert item.missed == pytest.approx((2 + 1 + 5) / 3)
    assert item.constant == pytest.approx((8 + 1 + 65) / 3)  # of the median, 20
    assert item.has_lift


def test_a_value_that_is_not_known_or_has_no_neighbour_does_not_count():
    values = Values(SITE, np.array([0.0, 1.0]), ("arm", "leg"))
    near = Nearest(np.zeros((3, 1), int), np.array([[1.0], [1.0], [-np.inf]]))
    truth = np.array([0.0, np.nan, 0.0])
    item = measure(values, near, truth, weights=np.ones((3, 1)), groups=np.arange(3))
    assert item.num_lesions == 1
    assert item.missed == 0.0


@pytest.mark.parametrize("patients", [1, FEWEST_PATIENTS - 1])
def test_few_patients_give_no_lift(patients):
    item = measured([0.0, 1.0] * 20, [0.0, 1.0], [0, 1] * 20, patients=patients)
    assert item.num_patients == patients
    assert (item.over_random[1] is None) == (patients == 1)
    assert not item.has_lift


def test_of_no_lesion_everything_is_undefined():
    item = measured([np.nan], [0.0, 1.0], [0])
    assert np.isnan(item.missed)
    assert not item.has_lift
    told = item.to_json()
    assert (told["missed"], told["over_random"]) == (None, None)


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_and_says_what_is_in_the_file(width):
    items = [
        measured([0.0, 1.0] * 20, [0.0, 1.0], [0, 1] * 20),
        measured([12.0, 19.0, 85.0] * 10, [10.0, 20.0, 90.0], [1, 2, 0] * 10),
    ]
    out = Console(width=width, record=True)
    out.print(agreement_table(items, width=width))
    text = out.export_text()
    assert max(map(len, text.splitlines())) <= width
    assert "error, mm" in text
    assert "40 lesions of 40" in text
    assert text.count("yes") == 1
    assert "\u2026" not in text  # nothing is cut off
