"""Batches of patients: each once an epoch, lesions shared evenly by ranks, some preferred."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.properties import few_examples
from helpers.small_data import build_data
from toolkit_common.errors import InputError
from toolkit_slimp.metadata.infer import infer_schema
from toolkit_slimp.metadata.table import encode_table
from toolkit_slimp.settings import SlimpSettings
from toolkit_slimp.training.sampling import PatientSampler, deviations, positive_rows

SIZES = st.lists(st.integers(1, 12), min_size=1, max_size=20)


def build(sizes, preference=None, **values):
    groups = np.repeat([f"p{i}" for i in range(len(sizes))], sizes)
    settings = SlimpSettings(**{"patients_per_batch": 3, "lesions_per_patient": 4, **values})
    return groups, PatientSampler(groups, np.arange(len(groups)), settings, preference=preference)


@few_examples
@given(sizes=SIZES, ranks=st.integers(1, 3), epoch=st.integers(0, 5))
def test_batches_are_made_of_patients_and_ranks_share_them_evenly(sizes, ranks, epoch):
    groups, sampler = build(sizes)
    for batch in sampler.epoch(epoch):
        parts = [batch.part(rank, ranks) for rank in range(ranks)]
        assert len({len(part) for part in parts}) == 1
        gathered = np.concatenate(parts)[: len(batch.rows)]
        np.testing.assert_array_equal(gathered, np.arange(len(batch.rows)))
        names = groups[batch.rows]
        np.testing.assert_array_equal(groups[batch.patients][batch.segments], names)
        assert max(np.bincount(batch.segments)) <= 4
        assert len(np.unique(batch.rows)) == len(batch.rows)


@few_examples
@given(sizes=SIZES, patients_per_batch=st.integers(2, 9), epoch=st.integers(0, 5))
def test_every_patient_comes_once_an_epoch_in_batches_of_one_size(sizes, patients_per_batch, epoch):
    _, sampler = build(sizes, patients_per_batch=patients_per_batch)
    batches = sampler.epoch(epoch)
    rows = np.concatenate([batch.rows for batch in batches])
    assert len(rows) == sum(min(size, 4) for size in sizes)
    counts = [len(batch.patients) for batch in batches]
    assert sum(counts) == len(sizes)
    assert max(counts) == sampler.patients_per_batch <= patients_per_batch
    assert max(counts) - min(counts) <= 1
    assert len(batches) == sampler.batches_per_epoch


def test_lesions_of_a_large_patient_are_drawn_anew_every_epoch():
    _, sampler = build([1, 1, 9000])
    first, second = (sampler.epoch(epoch)[0] for epoch in (0, 1))
    assert len(first.rows) == 1 + 1 + 4
    assert set(first.rows.tolist()) != set(second.rows.tolist())


def test_an_epoch_is_a_function_of_seed_and_number():
    _, sampler = build([3, 4, 5, 6, 7, 8])
    _, again = build([3, 4, 5, 6, 7, 8])
    for a, b in zip(sampler.epoch(3), again.epoch(3), strict=True):
        np.testing.assert_array_equal(a.rows, b.rows)
    assert any(
        not np.array_equal(a.rows, b.rows)
        for a, b in zip(sampler.epoch(3), sampler.epoch(4), strict=True)
    )


@pytest.mark.parametrize(("positive", "expected"), [(1, 1), (50, 2)])
def test_up_to_a_quarter_of_a_patients_lesions_is_preferred(positive, expected):
    """L is 8: two of eight, or the only one there is; the rest is random."""
    preference = np.zeros(102)
    preference[2 : 2 + positive] = 1.0
    _, sampler = build([1, 1, 100], lesions_per_patient=8, preference=preference)
    others = []
    for epoch in range(40):
        rows = sampler.epoch(epoch)[0].rows
        assert len(rows) == len(set(rows)) == 10
        others.append(int((preference[rows] > 0).sum()))
    assert min(others) >= expected
    if positive == 50:
        assert 4 < np.mean(others) < 6  # two, and half of the six others


def test_preference_is_a_chance_in_proportion_to_its_weight():
    preference = np.array([0.0, 1.0, 3.0])
    _, sampler = build([3], lesions_per_patient=1, preference=preference)
    drawn = [int(sampler.epoch(epoch)[0].rows[0]) for epoch in range(400)]
    shares = np.bincount(drawn, minlength=3) / 400
    np.testing.assert_allclose(shares, [0.0, 0.25, 0.75], atol=0.06)


@few_examples
@given(sizes=SIZES, repeats=st.integers(1, 4), every=st.integers(1, 4))
def test_patients_with_positives_come_more_often_and_never_twice_in_a_batch(sizes, repeats, every):
    groups = np.repeat(np.arange(len(sizes)), sizes)
    preference = (groups % every == 0).astype(float)
    often = {"lesion_sampling": "positives", "positive_repeats": repeats}
    _, sampler = build(sizes, preference, **often)
    seen = np.zeros(len(sizes), int)
    for batch in sampler.epoch(1):
        patients = groups[batch.patients]
        assert len(set(patients)) == len(patients)
        seen[patients] += 1
    expected = np.where(np.arange(len(sizes)) % every == 0, repeats, 1)
    np.testing.assert_array_equal(seen, expected)


def lesions(**columns):
    return build_data(["benign"] * 5, groups=["a", "a", "a", "a", "b"], **columns)


def test_an_ugly_duckling_deviates_most_and_a_single_lesion_not_at_all():
    data = lesions(size=[1.0, 1.0, 1.0, 9.0, 5.0], site=["arm", "arm", "arm", "leg", "arm"])
    table = encode_table(data, infer_schema(data, np.arange(5)))
    actual = deviations(table, data.groups)
    assert actual[4] == 0.0
    assert actual[3] > 2 * actual[0] > 0
    np.testing.assert_allclose(actual[:3], actual[0])


def test_missing_values_are_no_deviation():
    data = lesions(size=[2.0, 2.0, None, None, 7.0], site=["arm", "arm", "arm", None, "leg"])
    table = encode_table(data, infer_schema(data, np.arange(5)))
    np.testing.assert_allclose(deviations(table, data.groups), 0.0)


def test_positives_are_the_rows_of_a_label_with_a_value():
    data = build_data(["nevus", "melanoma", None, "nevus"])
    assert positive_rows(data, "label=melanoma").tolist() == [0, 1, 0, 0]
    with pytest.raises(InputError, match=r"LABEL=VALUE.*got 'melanoma'"):
        positive_rows(data, "melanoma")
    with pytest.raises(InputError, match=r"no value 'mole': choose from melanoma, nevus"):
        positive_rows(data, "label=mole")
    with pytest.raises(InputError, match=r"no label 'malignant'"):
        positive_rows(data, "malignant=malignant")
