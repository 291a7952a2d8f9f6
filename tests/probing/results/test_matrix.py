"""What `toolkit compare` prints."""

from itertools import combinations
from pathlib import Path

import pytest

from helpers.shown_results import comparison, many_rows, plain_rows, results
from helpers.snapshots import assert_fits, assert_snapshot
from toolkit_probing.results.matrix import show_comparison

SHOWN = Path(__file__).parent / "shown"


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_each_row_with_each_makes_a_matrix(width, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    pairs = list(combinations(range(9), 2))
    show_comparison(comparison({"runs/a": results(many_rows())}, pairs), as_json=False)
    shown = capsys.readouterr().out
    assert_fits(shown, width)
    assert_snapshot(shown, SHOWN / f"compare-{width}.txt")


@pytest.mark.parametrize("width", [80, 200])
def test_rows_of_two_runs_stand_side_by_side(width, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    runs = {f"runs/{name}": results(plain_rows(), encoder=name) for name in ("imagenet", "mae")}
    show_comparison(comparison(runs, [(0, 0), (1, 1), (2, 2)]), as_json=False)
    shown = capsys.readouterr().out
    assert_fits(shown, width)
    assert_snapshot(shown, SHOWN / f"compare-runs-{width}.txt")


def test_two_rows_are_a_sentence_for_each_metric(capsys):
    show_comparison(comparison({"runs/a": results(plain_rows())}, [(0, 1)]), as_json=False)
    _, *lines = capsys.readouterr().out.splitlines()
    figures = "0.800 and 0.790 SEEN, -0.010 [-0.030, +0.010] SEEN, p 0.002"
    assert lines[:2] == [
        f"AUROC: linear is worse than ep: {figures}",
        f"log-loss: linear is better than ep: {figures}",
    ]
    assert any(line.startswith("SEEN: the encoder was pre-trained on") for line in lines)


def test_more_rows_than_a_matrix_has_room_for_are_compared_with_the_first(capsys):
    rows = [*many_rows(), *plain_rows()]
    pairs = [(0, at) for at in range(1, len(rows))]
    show_comparison(comparison({"runs/a": results(rows)}, pairs), as_json=False)
    shown = capsys.readouterr().out
    assert "12 rows are more than the 10 of which each is compared with each" in shown
    assert "log-loss (lower is better): second minus ep" in shown
