"""Chance levels: of recall against all permutations, beside the values that they belong to."""

from itertools import permutations

import pytest
import torch

from toolkit_slimp.model.losses import equal_pairs
from toolkit_slimp.watching.chance import beside_chance, chance_of_recall, show


@pytest.mark.parametrize("codes", [[0, 1, 2, 3, 4], [0, 0, 1, 2, 2], [0, 0, 0, 0, 1], [7]])
@pytest.mark.parametrize("k", [1, 2, 4, 9])
def test_chance_of_recall_is_that_of_an_order_drawn_at_random(codes, k):
    """A row is found where fewer than k non-matches come before its first match."""
    orders = list(permutations(range(len(codes))))
    hits = 0
    for code in codes:
        for order in orders:
            is_match = [codes[row] == code for row in order]
            hits += is_match.index(True) < k
    expected = hits / len(orders) / len(codes)
    positives = equal_pairs(torch.tensor(codes))
    assert chance_of_recall(positives, k) == pytest.approx(expected)


def test_without_twins_it_is_k_of_m():
    assert chance_of_recall(torch.eye(111, dtype=torch.bool), 5) == pytest.approx(5 / 111)


def test_a_value_is_shown_with_its_chance_level_and_both_ways_share_it():
    values = {
        "val_loss": 4.8, "val_loss_chance": 4.56, "val_lesion_recall_at_5": 0.25,
        "val_lesion_reverse_recall_at_5": 0.125, "val_lesion_recall_at_5_chance": 0.0625,
        "val_uniformity": -2.0,
    }  # fmt: skip
    assert show(values) == (
        "val_loss 4.800 (chance 4.560), val_lesion_recall_at_5 0.250 (chance 0.062), "
        "val_lesion_reverse_recall_at_5 0.125 (chance 0.062), val_uniformity -2.000"
    )
    assert beside_chance("val_uniformity", values) == "-2.000"
