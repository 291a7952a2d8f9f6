"""Growth rows say how steep it is, and every question of the growth can be answered at any size."""

import pytest

from lib.growth import epoch_step, growth_row, pooling_step


def test_the_exponent_is_one_for_linear_growth_and_two_for_squares():
    seconds = [0.001, 0.004, 0.064]
    rows = [growth_row("x", (8, 32, 128), seconds, at) for at in range(3)]
    assert [row["exponent"] for row in rows] == [None, pytest.approx(1.0), pytest.approx(2.0)]
    assert [row["patients"] for row in rows] == [1, 4, 16]
    assert rows[1]["CPU ms"] == pytest.approx(4.0)
    assert rows[1]["us a lesion"] == pytest.approx(125.0)


def test_an_epoch_deals_every_patient_once_and_pooling_runs():
    batches = epoch_step(400)()
    assert sum(len(batch.patients) for batch in batches) <= 50
    assert max(len(batch.rows) for batch in batches) <= 32 * 16
    pooling_step("attention", 4, 16)()
