"""Which negatives there are, and settings that a loss which is off would not read."""

import numpy as np
import pytest

from helpers.small_data import build_data
from toolkit_common.data.splits import Splits
from toolkit_common.errors import InputError
from toolkit_slimp.settings import SlimpSettings
from toolkit_slimp.training.inputs import choose_schema, describe_negatives

NONE = np.arange(0)


def problem(groups, **columns):
    count = len(groups)
    data = build_data(["a", "b"] * (count // 2), groups=groups, **columns)
    return data, Splits(np.arange(count), NONE, NONE, origin="here")


SAME = SlimpSettings(lesion_negatives="same_patient")


def test_the_share_of_lesions_with_another_of_their_patient_is_said():
    (line,) = describe_negatives(SAME, *problem(list("aaabcd")))
    assert line.startswith("lesion negatives: 50% of the training images have another lesion")


def test_photographs_of_one_lesion_are_no_negatives():
    data, splits = problem(list("aabbcd"), lesion_id=["1", "1", "2", "3", "4", "5"])
    (line,) = describe_negatives(SAME, data, splits)
    assert line.startswith("lesion negatives: 33% of the training images")


def test_where_no_patient_has_two_lesions_nothing_could_be_told_apart():
    data, splits = problem(list("aabc"), lesion_id=["1", "1", "2", "3"])
    with pytest.raises(InputError, match="same_patient: no training patient of 'small' has two"):
        describe_negatives(SAME, data, splits)


def test_other_lesions_need_ids_and_the_rest_says_nothing():
    data, splits = problem(list("abcd"))
    with pytest.raises(InputError, match="'small' has no lesion_id to tell other lesions by"):
        describe_negatives(SlimpSettings(lesion_negatives="other_lesions"), data, splits)
    assert describe_negatives(SlimpSettings(), data, splits) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lesion_positives": "same_metadata", "lesion_weight": 0.0},
         "lesion_positives same_metadata is of the lesion loss, which is off: lesion_weight is 0"),
        ({"patient_positives": "same_metadata", "lesion_weight": 1.0},
         "of the patient loss, which is off: lesion_weight is 1"),
        ({"lesion_positives": "same_metadata", "nested_weight": 0.0, "image_weight": 1.0},
         "of the lesion loss, which is off: nested_weight is 0"),
        ({"phenotype": "attention", "patient_columns": "lesion"},
         "of the patient loss, which is off: no patient columns"),
        ({"lesion_negatives": "other_patients", "lesion_weight": 0.0},
         "lesion_negatives other_patients is of the lesion loss and the image term, which are off"),
    ],
)  # fmt: skip
def test_settings_of_a_loss_that_is_off_are_refused(options, message):
    groups = [f"p{row // 2}" for row in range(12)]
    draws = np.random.default_rng(0)
    data, splits = problem(
        groups, size=[float(row) for row in draws.normal(size=12)],
        age=[float(30 + row // 2) for row in range(12)],
    )  # fmt: skip
    with pytest.raises(InputError, match=message):
        choose_schema(SlimpSettings(**options), data, splits)
