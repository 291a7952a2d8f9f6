"""Retrieval against naive loops and scikit-learn, ties included (docs/traps.md 18)."""

from itertools import permutations

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from toolkit_common.scores import retrieval
from toolkit_common.scores.retrieval import mean_by_label, recall_at, retrieve_by_label


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


def ties(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Queries and database among few directions, so that many cosines are equal."""
    draws = torch.Generator().manual_seed(seed)
    directions = torch.eye(4)
    queries = directions[torch.randint(0, 4, (5,), generator=draws)] + 0.5 * directions[0]
    database = directions[torch.randint(0, 4, (6,), generator=draws)]
    labels = [torch.randint(0, 2, (size,), generator=draws) for size in (5, 6)]
    return queries, database, labels[0], labels[1]


@pytest.mark.parametrize("seed", range(3))
def test_precision_is_the_mean_over_all_orders_of_ties(seed):
    queries, database, ours, theirs = ties(seed)
    found = retrieve_by_label(queries, database, (ours, theirs), ks=(1, 2, 4))
    cosine = torch.nn.functional.normalize(queries, dim=1) @ database.T
    for row in range(len(queries)):
        for k, values in found.precision.items():
            shares = []
            for order in permutations(range(6)):
                # Sorted stably from every order: each order of ties comes equally often.
                ranked = sorted(order, key=lambda at: -float(cosine[row, at]))
                shares.append(float((theirs[ranked[:k]] == ours[row]).float().mean()))
            assert float(values[row]) == pytest.approx(np.mean(shares))


@pytest.mark.parametrize("seed", range(5))
def test_average_precision_is_that_of_scikit_learn(seed, monkeypatch):
    monkeypatch.setattr(retrieval, "CHUNK_ELEMENTS", 12)  # two queries at once
    queries, database, ours, theirs = ties(seed)
    found = retrieve_by_label(queries, database, (ours, theirs), ks=())
    cosine = torch.nn.functional.normalize(queries, dim=1) @ database.T
    for row, value in enumerate(found.average_precision.tolist()):
        is_hit = (theirs == ours[row]).numpy()
        if is_hit.any():
            expected = average_precision_score(is_hit, cosine[row].numpy())
            assert value == pytest.approx(expected)
        else:
            assert np.isnan(value)


def test_nobody_is_found_by_the_own_patient():
    features = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.9, 0.1]])
    labels, patients = torch.tensor([0, 0, 1, 1]), torch.tensor([7, 7, 8, 9])
    found = retrieve_by_label(
        features, features, (labels, labels), ks=(1, 3), groups=(patients, patients)
    )
    # The first two find each other's twin only in their own patient: what is left is of label 1.
    assert found.precision[1].tolist() == [0.0, 0.0, 1.0, 0.0]
    assert found.precision[3][2].item() == pytest.approx(1 / 3)
    # Of two candidates neither is of label 0: undefined, not 0.
    assert found.average_precision[:2].isnan().all()
    assert found.average_precision[2:].tolist() == pytest.approx([1.0, 1 / 3])


def test_a_query_without_a_candidate_is_undefined():
    one = torch.ones(1, 2)
    label, group = torch.zeros(1, dtype=torch.long), torch.zeros(1, dtype=torch.long)
    found = retrieve_by_label(one, one, (label, label), ks=(1,), groups=(group, group))
    assert found.precision[1].isnan().all()
    assert found.average_precision.isnan().all()


def test_the_mean_by_label_leaves_undefined_queries_out():
    values = torch.tensor([1.0, torch.nan, 0.5, torch.nan])
    means = mean_by_label(values, torch.tensor([0, 0, 0, 2]))
    assert means[0] == 0.75
    assert np.isnan(means[2])
