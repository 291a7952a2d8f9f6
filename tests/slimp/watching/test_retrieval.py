"""Recall counts ties as hits (docs/traps.md 18)."""

from itertools import combinations

import pytest
import torch

from helpers.slimp_problem import build_batch, build_model
from toolkit_common.scores.retrieval import recall_at
from toolkit_slimp.model.losses import equal_pairs
from toolkit_slimp.watching.retrieval import describe_retrieval


def by_hand(codes, k):
    """Share of the answers of k among all, that hold one of equal metadata."""
    answers = list(combinations(codes, k))
    hits = [sum(code in answer for answer in answers) / len(answers) for code in codes]
    return sum(hits) / len(hits)


@pytest.mark.parametrize("seed", range(5))
def test_identical_metadata_count_as_hits_at_both_levels_and_both_ways(seed):
    """Against a search by hand, in which any row of equal metadata is a find."""
    model, batch = build_model(seed=seed), build_batch(sizes=(3, 1, 4, 2, 2), seed=seed)
    images = batch.images.double() / 255.0 - 0.5
    loss = model.nested_loss(model.encode(images, batch.lesions), batch.members)
    actual = describe_retrieval(loss, batch.members, ks=(1, 3), prefix="val_")
    members = batch.members
    levels = {
        "lesion": (loss.lesion_pairs, members.metadata_codes.tolist()),
        "patient": (loss.patient_pairs, members.patient_codes.tolist()),
    }
    expected = {}
    for level, ((first, second), codes) in levels.items():
        for name, one, other in (("recall", first, second), ("reverse_recall", second, first)):
            for k in (1, 3):
                hits = 0
                for row in range(len(one)):
                    order = (one[row] @ other.T).argsort(descending=True, stable=True).tolist()
                    hits += any(codes[actual] == codes[row] for actual in order[:k])
                expected[f"val_{level}_{name}_at_{k}"] = pytest.approx(hits / len(one))
        for k in (1, 3):
            expected[f"val_{level}_recall_at_{k}_chance"] = pytest.approx(by_hand(codes, k))
    assert actual == expected
    plain = recall_at(*loss.lesion_pairs, 1)
    assert plain <= actual["val_lesion_recall_at_1"]


def test_twins_find_each_other_even_where_their_answers_differ_in_the_last_bit():
    codes = torch.tensor([0, 0, 1])
    first = torch.eye(3)
    second = first + torch.tensor([[0.0, 0, 0], [1.0 + 1e-6, 0, 0], [0, 0, 0]])
    assert recall_at(first, second, 1) < 1.0
    assert recall_at(first, second, 1, positives=equal_pairs(codes)) == 1.0
