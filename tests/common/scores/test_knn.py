"""k-NN equals a brute-force loop, and is right in the corners where the reference fails."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.devices import DEVICE, on_gpu
from toolkit_common.scores import knn
from toolkit_common.scores.knn import knn_probabilities


def brute_force(queries, database, targets, num_classes, k, temperature):
    out = torch.zeros(len(queries), num_classes, dtype=queries.dtype)
    for i, query in enumerate(queries):
        similarity = [float(query @ row / query.norm() / row.norm()) for row in database]
        nearest = sorted(range(len(database)), key=lambda j: -similarity[j])[:k]
        for j in nearest:
            out[i, targets[j]] += math.exp(similarity[j] / temperature)
        out[i] /= out[i].sum()
    return out


@settings(max_examples=25, deadline=None)
@given(
    b=st.integers(1, 5), m=st.integers(1, 12), c=st.integers(2, 4), k=st.integers(1, 15),
    temperature=st.sampled_from([0.07, 0.2, 1.0]), seed=st.integers(0, 999),
)  # fmt: skip
def test_votes_equal_a_brute_force_loop(b, m, c, k, temperature, seed):
    draws = torch.Generator().manual_seed(seed)
    queries = torch.randn(b, 6, dtype=torch.float64, generator=draws)
    database = torch.randn(m, 6, dtype=torch.float64, generator=draws)
    targets = torch.randint(c, (m,), generator=draws)
    result = knn_probabilities(
        queries, database, targets, num_classes=c, ks=[k], temperatures=[temperature]
    )[k, temperature]
    expected = brute_force(queries, database, targets, c, k, temperature)
    torch.testing.assert_close(result, expected, atol=1e-9, rtol=1e-9)


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(1, 10), chunk=st.integers(1, 10), block=st.integers(1, 60),
    seed=st.integers(0, 999),
)  # fmt: skip
def test_cutting_queries_and_database_changes_nothing(rows, chunk, block, seed):
    draws = torch.Generator().manual_seed(seed)
    queries = torch.randn(7, 5, dtype=torch.float64, generator=draws)
    database = torch.randn(9, 5, dtype=torch.float64, generator=draws)
    targets = torch.randint(3, (9,), generator=draws)
    requested = {"num_classes": 3, "ks": [1, 4, 20], "temperatures": [0.1, math.inf]}
    whole = knn_probabilities(queries, database, targets, **requested)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(knn, "CHUNK_ROWS", rows)
        patch.setattr(knn, "CHUNK_QUERIES", chunk)
        patch.setattr(knn, "BLOCK_ELEMENTS", block)
        cut = knn_probabilities(queries, database, targets, **requested)
    for setting, votes in whole.items():
        torch.testing.assert_close(cut[setting], votes)


def test_the_database_travels_once_for_all_queries(monkeypatch):
    pieces, normalize = [], knn.F.normalize

    def noted(rows, dim):
        pieces.append(len(rows))
        return normalize(rows, dim=dim)

    monkeypatch.setattr(knn, "CHUNK_ROWS", 4)
    monkeypatch.setattr(knn, "CHUNK_QUERIES", 2)
    monkeypatch.setattr(knn.F, "normalize", noted)
    database, targets = torch.randn(9, 5), torch.arange(9) % 3
    knn_probabilities(
        torch.randn(6, 5), database, targets, num_classes=3, ks=[2], temperatures=[0.1]
    )
    assert pieces == [2, 2, 2, 4, 4, 1]  # queries, then each piece of the database


@on_gpu
def test_votes_on_a_gpu_are_those_of_the_cpu():
    queries, database = torch.randn(5, 6), torch.randn(40, 6)
    requested = {"num_classes": 3, "ks": [5], "temperatures": [0.1]}
    votes = [
        knn_probabilities(queries, database, torch.arange(40) % 3, device=device, **requested)
        for device in (DEVICE, "cpu")
    ]
    torch.testing.assert_close(votes[0][5, 0.1], votes[1][5, 0.1], rtol=1e-4, atol=1e-5)


def test_an_infinite_temperature_gives_every_neighbour_one_vote():
    database = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
    result = knn_probabilities(
        torch.tensor([[1.0, 0.0]]), database, torch.tensor([0, 1, 1]), num_classes=2, ks=[3],
        temperatures=[math.inf],
    )  # fmt: skip
    torch.testing.assert_close(result[3, math.inf], torch.tensor([[1 / 3, 2 / 3]]))


def test_a_tiny_temperature_does_not_overflow():
    queries = torch.randn(3, 4)
    result = knn_probabilities(
        queries, queries, torch.tensor([0, 1, 0]), num_classes=2, ks=[3], temperatures=[1e-4]
    )
    assert torch.isfinite(result[3, 1e-4]).all()


def test_a_vote_of_weight_two_is_two_and_one_of_zero_none():
    draws = torch.Generator().manual_seed(0)
    queries, database = torch.randn(5, 4, generator=draws), torch.randn(9, 4, generator=draws)
    targets, weights = torch.arange(9) % 3, torch.arange(9) % 3
    repeated = torch.repeat_interleave(torch.arange(9), weights)
    few = {"num_classes": 3, "temperatures": [0.1, math.inf]}
    one = knn_probabilities(queries, database, targets, ks=[9], weights=weights.double(), **few)
    other = knn_probabilities(queries, database[repeated], targets[repeated], ks=[9], **few)
    for (_, temperature), votes in one.items():
        torch.testing.assert_close(votes, other[9, temperature])
    # Rows without a vote are no neighbours: the nearest that have one decide.
    near = knn_probabilities(queries, database, targets, ks=[1], weights=weights.double(), **few)
    assert all(bool(votes.isfinite().all()) for votes in near.values())
