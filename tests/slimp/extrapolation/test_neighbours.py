"""Neighbours against a brute-force loop; relatives are never among them."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from toolkit_slimp.extrapolation import neighbours
from toolkit_slimp.extrapolation.neighbours import Nearest, nearest, relatives


def digests(*rows: list[int]) -> list[np.ndarray]:
    return [np.array(row, np.uint64) for row in rows]


def test_who_shares_a_digest_is_related_over_a_third_too():
    queries = digests([1], [5], [9])
    reference = digests([1, 2], [2, 3], [4], [])
    ours, theirs = relatives(queries, reference)
    assert ours[0] == theirs[0] == theirs[1]  # the second by the first
    assert len({*ours, *theirs}) == 5  # and nobody else


def test_nobody_is_related_where_nothing_is_known():
    ours, theirs = relatives(digests([], []), digests([], []))
    assert len({*ours, *theirs}) == 4


@pytest.mark.parametrize("chunk", [7, 1 << 20])
def test_neighbours_are_those_of_a_loop(chunk, monkeypatch):
    monkeypatch.setattr(neighbours, "CHUNK_ELEMENTS", chunk)
    draws = torch.Generator().manual_seed(0)
    queries = F.normalize(torch.randn(6, 4, generator=draws), dim=1)
    reference = F.normalize(torch.randn(12, 4, generator=draws), dim=1)
    kin = np.arange(6), np.arange(12) % 8
    usable = np.arange(12) != 3
    found = nearest(queries, reference, kin, usable=usable, k=3)
    for row in range(6):
        allowed = [at for at in range(12) if usable[at] and kin[1][at] != row]
        cosine = reference @ queries[row]
        ranked = sorted(allowed, key=lambda at: -float(cosine[at]))[:3]
        assert found.places[row].tolist() == ranked
        np.testing.assert_allclose(found.similarity[row], cosine[ranked].numpy(), rtol=1e-5)


def test_where_too_few_are_left_they_weigh_nothing():
    features = torch.eye(3)
    kin = np.array([0]), np.array([0, 0, 1])
    found = nearest(features[:1], features, kin, usable=np.ones(3, bool), k=5)
    assert found.is_found.tolist() == [True]
    assert found.weights(0.1)[0].tolist() == [1.0, 0.0, 0.0]
    nobody = nearest(features[:1], features, kin, usable=np.zeros(3, bool), k=5)
    assert nobody.is_found.tolist() == [False]
    assert nobody.weights(0.1).tolist() == [[0.0]]


def test_weights_are_a_softmax_of_the_cosine():
    similarity = np.array([[0.9, 0.8, 0.1]])
    raw = np.exp(similarity / 0.07)
    weights = Nearest(np.zeros((1, 3), int), similarity).weights(0.07)
    np.testing.assert_allclose(weights, raw / raw.sum())
