"""k-NN as a method: what picks, and how ranks share the queries."""

import json

import numpy as np
import pytest

from toolkit_probing.methods.knn import _interleave


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_rows_dealt_out_to_ranks_come_back_in_order(ranks):
    rows = np.arange(14).reshape(7, 2)
    assert np.array_equal(_interleave([rows[rank::ranks] for rank in range(ranks)]), rows)


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
