"""Retrieval against naive loops and scikit-learn, ties included (docs/traps.md 18)."""

from itertools import permutations

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from toolkit_common.scores import retrieval
from toolkit_common.scores.retrieval import (
    AVERAGE,
    estimate_by_label,
    mean_by_label,
    recall_at,
    retrieve_by_label,
)
from toolkit_common.scores.statistics import ONE_GROUP, chunks_of_weights


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
        for k in (1, 2, 4):
            values = found[f"precision_at_{k}"]
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
    for row, value in enumerate(found[AVERAGE].tolist()):
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
    assert found["precision_at_1"].tolist() == [0.0, 0.0, 1.0, 0.0]
    assert found["precision_at_3"][2].item() == pytest.approx(1 / 3)
    # Of two candidates neither is of label 0: undefined, not 0.
    assert found[AVERAGE][:2].isnan().all()
    assert found[AVERAGE][2:].tolist() == pytest.approx([1.0, 1 / 3])


def test_a_query_without_a_candidate_is_undefined():
    one = torch.ones(1, 2)
    label, group = torch.zeros(1, dtype=torch.long), torch.zeros(1, dtype=torch.long)
    found = retrieve_by_label(one, one, (label, label), ks=(1,), groups=(group, group))
    assert found["precision_at_1"].isnan().all()
    assert found[AVERAGE].isnan().all()


def test_the_mean_by_label_leaves_undefined_queries_out():
    values = np.array([1.0, np.nan, 0.5, np.nan])
    assert mean_by_label(values, np.array([0, 0, 0, 2])) == {0: 0.75, 2: None}


def test_each_label_counts_alike_in_the_estimate():
    values, labels = np.array([1.0, 1.0, 0.4, 0.0, np.nan]), np.array([0, 0, 0, 1, 2])
    found = estimate_by_label([values, values / 2], labels, np.arange(5))
    assert found.values == pytest.approx((0.4, 0.2))
    assert found.mean == pytest.approx(0.3)
    assert found.sd == pytest.approx(np.std([0.4, 0.2], ddof=1))


def test_the_interval_is_that_of_a_naive_loop_over_resampled_patients():
    draws = np.random.default_rng(0)
    values, labels = draws.random(30), np.arange(30) % 3
    groups = np.repeat(np.arange(10), 3)  # each patient has every label
    found = estimate_by_label([values], labels, groups)
    means = []
    for _, weights in chunks_of_weights(groups, 0):
        for row in weights:
            taken = np.repeat(np.arange(30), row.astype(int))
            means.append(np.mean([values[taken][labels[taken] == k].mean() for k in range(3)]))
    assert found.ci == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])))
    assert (found.resamples, found.why_no_ci) == (1000, None)


def test_without_a_second_group_or_a_defined_query_there_is_no_interval():
    one = estimate_by_label([np.ones(4)], np.arange(4) % 2, np.zeros(4))
    assert (one.mean, one.ci, one.why_no_ci) == (1.0, None, ONE_GROUP)
    none = estimate_by_label([np.full(4, np.nan)], np.arange(4) % 2, np.arange(4))
    assert (none.mean, none.ci, none.why_no_ci) == (None, None, "undefined")


def test_of_a_small_database_all_are_looked_at():
    found = retrieve_by_label(
        torch.eye(2), torch.eye(2), (torch.tensor([0, 1]), torch.tensor([0, 0])), ks=(5,)
    )
    assert found["precision_at_5"].tolist() == [1.0, 0.0]
