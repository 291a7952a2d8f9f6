"""A ratio that has risen fails beyond the noise of its repetitions, and no other does."""

import pytest

import check


@pytest.mark.parametrize(
    ("ratios", "is_slower"),
    [
        ([1.0, 1.05, 1.02], False),
        ([1.26, 1.28, 1.27], False),  # within a fifth of 1.07
        ([1.3, 1.31, 1.29], True),
        ([1.3, 1.7, 1.4], False),  # the repetitions differ by more
        ([0.5, 0.6, 0.55], False),
    ],
)
def test_what_rose_beyond_noise_is_slower(ratios, is_slower: bool):
    row = check.compare("EP", 1.07, ratios)
    assert (row["verdict"] == check.SLOWER) == is_slower
    assert (row["lowest"], row["highest"]) == (min(ratios), max(ratios))


def test_every_ratio_that_is_measured_has_a_committed_one():
    committed = check.read_json(check.RESULTS / "step.json")
    names = [
        name for key in ("rows", "every pooling") for name, _ in check.ratios_of(committed[key])
    ]
    assert len(names) == len(set(names))
    expected = len(check.SHAPES) * (2 + len(check.POOLS) - 1)
    assert len(names) == expected
