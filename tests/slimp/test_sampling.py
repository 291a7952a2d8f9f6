"""Batches of patients: each once an epoch, lesions shared evenly by ranks."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit_slimp.sampling import PatientSampler

SIZES = st.lists(st.integers(1, 12), min_size=3, max_size=20)


def build(sizes, **options):
    groups = np.repeat([f"p{i}" for i in range(len(sizes))], sizes)
    values = {"patients_per_batch": 3, "lesions_per_patient": 4, "seed": 0, **options}
    return groups, PatientSampler(groups, np.arange(len(groups)), **values)


@settings(max_examples=40, deadline=None)
@given(sizes=SIZES, ranks=st.integers(1, 3), epoch=st.integers(0, 5))
def test_batches_are_made_of_patients_and_ranks_share_them_evenly(sizes, ranks, epoch):
    groups, sampler = build(sizes)
    seen: list[str] = []
    for batch in sampler.epoch(epoch):
        parts = [batch.part(rank, ranks) for rank in range(ranks)]
        assert len({len(part) for part in parts}) == 1
        gathered = np.concatenate(parts)[: len(batch.rows)]
        np.testing.assert_array_equal(gathered, np.arange(len(batch.rows)))
        names = groups[batch.rows]
        np.testing.assert_array_equal(groups[batch.patients][batch.segments], names)
        assert max(np.bincount(batch.segments)) <= 4
        assert len(np.unique(batch.rows)) == len(batch.rows)
        seen += list(np.unique(names))
    assert len(seen) == len(set(seen))


def test_every_patient_comes_once_an_epoch_when_batches_fill():
    groups, sampler = build([1, 5, 2, 9, 1, 3])
    rows = np.concatenate([batch.rows for batch in sampler.epoch(0)])
    assert set(groups[rows]) == set(groups)


def test_lesions_of_a_large_patient_are_drawn_anew_every_epoch():
    _, sampler = build([1, 1, 200])
    first, second = (set(sampler.epoch(epoch)[0].rows.tolist()) for epoch in (0, 1))
    assert first != second


def test_an_epoch_is_a_function_of_seed_and_number():
    _, sampler = build([3, 4, 5, 6, 7, 8])
    _, again = build([3, 4, 5, 6, 7, 8])
    for a, b in zip(sampler.epoch(3), again.epoch(3), strict=True):
        np.testing.assert_array_equal(a.rows, b.rows)
    assert any(
        not np.array_equal(a.rows, b.rows)
        for a, b in zip(sampler.epoch(3), sampler.epoch(4), strict=True)
    )


def test_fewer_patients_than_a_batch_make_one_batch():
    _, sampler = build([2, 2], patients_per_batch=32)
    assert [len(batch.patients) for batch in sampler.epoch(0)] == [2]
