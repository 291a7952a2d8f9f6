"""k-NN as a method: what picks, and how ranks share the queries."""

import json

import numpy as np
import pytest
import torch

from helpers.ranks import run_ranks
from toolkit_common.scores import knn as scores
from toolkit_probing.methods import knn
from toolkit_probing.methods.knn import Neighbours, Search
from toolkit_probing.methods.vectors import Known
from toolkit_probing.training.compute import OneDevice


@pytest.mark.dist
@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_that_share_the_queries_have_the_bits_of_one(ranks, monkeypatch):
    for module in (knn, scores):
        monkeypatch.setattr(module, "CHUNK_QUERIES", 4)
    draws = torch.Generator().manual_seed(0)
    queries, known = (torch.randn(rows, 33, generator=draws) for rows in (11, 29))

    def answer(compute):
        database = Known(known, np.arange(29) % 3, 3)
        return Search(database, Neighbours(k=(5, 9)), compute).answer(queries)

    expected = answer(OneDevice("cpu"))
    for actual in run_ranks(answer, num_ranks=ranks):
        for setting, votes in expected.items():
            np.testing.assert_array_equal(actual[setting], votes)


@pytest.mark.slow
def test_its_row_says_how_well_test_images_find_training_images_of_their_label(probe, tmp_path):
    result = probe("--method", "knn,logreg", "--report", "--json", "--output", tmp_path / "run")
    knn, logreg = json.loads(result.stdout)["rows"]
    assert logreg["retrieval"] is None
    found = knn["retrieval"]
    names = ["precision_at_1", "precision_at_5", "precision_at_10", "mean_average_precision"]
    assert list(found["metrics"]) == names
    averages = found["average_precision"]
    assert found["metrics"]["mean_average_precision"]["mean"] == pytest.approx(
        np.mean(list(averages.values()))
    )
    results = json.loads((tmp_path / "run/results.json").read_text())
    assert list(averages) == results["data"]["classes"]
    assert found["num_queries"] == results["data"]["sizes"]["test"]
    page = (tmp_path / "run/report.html").read_text()
    assert "Retrieval of training images of the same label" in page


def search_of(vectors: np.ndarray, targets: np.ndarray) -> Search:
    known = Known(torch.from_numpy(vectors), targets, 2)
    return Search(known, Neighbours(k=(1,)), OneDevice("cpu"))


def test_retrieval_is_that_of_a_naive_loop():
    draws = np.random.default_rng(0)
    known, queries = draws.normal(size=(2, 9, 4)).astype(np.float32)
    ours, theirs = draws.integers(0, 2, (2, 9))
    found = search_of(known, theirs).retrieve(torch.from_numpy(queries), ours)
    cosine = queries @ known.T / np.linalg.norm(known, axis=1)
    for row in range(9):
        hits = theirs[np.argsort(-cosine[row])] == ours[row]
        assert found["precision_at_5"][row] == pytest.approx(hits[:5].mean())
        precisions = [hits[: at + 1].mean() for at in np.flatnonzero(hits)]
        assert found["average_precision"][row] == pytest.approx(np.mean(precisions))


def test_of_too_many_pairs_a_part_of_the_queries_searches(monkeypatch):
    monkeypatch.setattr(knn, "MOST_PAIRS", 40)
    queries, known = np.eye(8, dtype=np.float32), np.eye(8, dtype=np.float32)
    targets = np.arange(8) % 2
    found = search_of(known, targets).retrieve(torch.from_numpy(queries), targets)
    is_drawn = ~np.isnan(found["precision_at_1"])
    assert is_drawn.sum() == 5  # times 8 known rows
    assert (found["precision_at_1"][is_drawn] == 1.0).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("metric", "picked"),
    [("log_loss", "balanced_accuracy"), ("top1", "top1"), ("auroc", "auroc")],
)
def test_votes_are_no_probabilities_so_that_no_loss_picks(probe, metric, picked):
    result = probe("--method", "knn", "--select-by", metric, "--json")
    (row,) = json.loads(result.stdout)["rows"]
    assert row["picked"] == f"k and temperature by {picked}"
    assert row["num_parameters"] == 0
    assert row["flops"] == 2 * 14 * 64  # every training image is compared
