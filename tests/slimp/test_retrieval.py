"""Recall counts ties as hits (specs/traps.md 18)."""

import torch

from toolkit_slimp.retrieval import recall_at


def test_perfect_pairs_have_recall_one_and_shifted_ones_zero():
    eye = torch.eye(4)
    assert recall_at(eye, eye, 1) == 1.0
    assert recall_at(eye, eye.roll(1, 0), 1) == 0.0
    assert recall_at(eye, eye.roll(1, 0), 4) == 1.0


def test_identical_answers_are_all_hits():
    assert recall_at(torch.eye(3), torch.ones(3, 3), 1) == 1.0


def test_any_of_several_matches_is_a_hit():
    first = torch.eye(3)
    second = torch.eye(3)[[1, 0, 2]]
    positives = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 1]], dtype=torch.bool)
    assert recall_at(first, second, 1) < 1.0
    assert recall_at(first, second, 1, positives=positives) == 1.0
