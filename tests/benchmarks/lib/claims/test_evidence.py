"""A verdict is what an interval says, and a contrast is that of a loop over images."""

from pathlib import Path

import numpy as np
import pytest

from helpers.shown_results import results, row
from lib.claims.evidence import (
    ABSENT,
    FAILS,
    HOLDS,
    OPEN,
    Cell,
    Finding,
    contrast,
    find,
    gain,
    read_cells,
    seeded,
    verdict_of_all,
)
from toolkit_common.errors import InputError
from toolkit_common.scores.metrics import Predictions
from toolkit_probing.results.saved import SavedRow, SavedRun

IDS = np.array([f"image-{number}" for number in range(40)])
TARGETS = np.arange(40) % 3


def saved(right, *, order=None, method="ep", **more) -> SavedRow:
    """Return a row that is right on some images, a repeat each."""
    order = np.arange(40) if order is None else order
    parts = []
    for repeat in right:
        guesses = np.where(np.isin(np.arange(40), repeat), TARGETS, (TARGETS + 1) % 3)
        parts.append(Predictions(np.eye(3)[guesses][order], TARGETS[order]))
    one = row("name", method, 0.5, **more)
    return SavedRow(Path(), one, IDS[order], order, parts)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.1, 0.3, HOLDS), (-0.3, -0.1, FAILS), (-0.1, 0.3, OPEN), (0.0, 0.3, OPEN)],
)
def test_the_interval_alone_is_the_verdict(low, high, verdict):
    assert Finding(0.2, low, high).verdict == verdict


@pytest.mark.parametrize(
    ("finding", "text"),
    [(Finding(0.86, 0.02, 1.7), "+0.86 [+0.02, +1.70]"),
     (Finding(1, -0.04, 2), "+1.00 [-0.04, +2.00]"),
     (Finding(1.23, 0.06, 2.0), "+1.2 [+0.1, +2.0]")],
)  # fmt: skip
def test_a_bound_that_decides_does_not_read_as_none(finding, text):
    assert finding.text == text


def test_a_claim_of_several_figures_holds_where_all_do_and_fails_where_one_does():
    above, below, unknown = Finding(1, 0.5, 2), Finding(-1, -2, -0.5), Finding(0, -1, 1)
    assert verdict_of_all([above, above]) == HOLDS
    assert verdict_of_all([above, unknown]) == OPEN
    assert verdict_of_all([above, unknown, below]) == FAILS
    assert verdict_of_all([]) == ABSENT


@pytest.mark.parametrize(
    ("epoch", "untrained"),
    [([0, 3, 0], " (2 of 3 heads judged untrained)"), ([4, 3, 1], ""), (None, "")],
)
def test_heads_in_which_training_gained_nothing_are_told(epoch, untrained):
    settings = {} if epoch is None else {"epoch": epoch}
    row = saved([range(30)], seeds=[0, 1, 1], settings=settings)
    assert seeded(row) == f"EP of 2 seeds{untrained}"


def test_a_contrast_is_that_of_a_loop_over_images_whatever_their_order():
    shuffled = np.random.default_rng(0).permutation(40)
    ep = saved([range(30), range(10, 36)], order=shuffled)
    linear, knn = saved([range(20)]), saved([range(5, 15)])
    actual = contrast((1.0, ep), (-1.0, linear), (-0.5, knn))
    by_image = [
        (i < 30) / 2 + (10 <= i < 36) / 2 - (i < 20) - 0.5 * (5 <= i < 15) for i in range(40)
    ]
    assert actual.value == pytest.approx(100 * sum(by_image) / 40)
    spread = 100 * np.std(by_image) / np.sqrt(40)  # of the mean over images
    assert actual.high - actual.low == pytest.approx(2 * 1.96 * spread, rel=0.15)
    assert gain(ep, linear).value == pytest.approx(100 * (28 - 20) / 40)


def test_other_test_images_are_refused():
    other = SavedRow(Path("b"), row("n", "ep", 0.5), IDS[1:], np.arange(39),
                     [Predictions(np.eye(3)[TARGETS[1:]], TARGETS[1:])])  # fmt: skip
    with pytest.raises(InputError, match="have different test images"):
        gain(saved([range(5)]), other)


def test_a_head_that_diverged_is_no_evidence():
    diverged = saved([range(5), range(5)], method="linear")
    diverged.predictions[1].probabilities[:] = np.nan  # whose argmax would be class 0
    with pytest.raises(InputError, match="name has diverged, run the probe again"):
        gain(saved([range(40)]), diverged)


def test_other_labels_of_the_same_images_are_refused():
    other = saved([range(5)])
    other.predictions[0].targets[:] = 0
    with pytest.raises(InputError, match="different labels of the same images"):
        gain(saved([range(5)]), other)


def test_a_row_is_named_by_fields_and_options_and_is_one():
    rows = {str(q): saved([[0]], options={"num_queries": q}, layer=6) for q in (8, 32)}
    run = SavedRun(Path(), results([]))
    run.__dict__["rows"] = rows  # as its cached property would
    cells = [Cell("probe", {"encoder": "MAE"}, run)]
    assert find(cells, "MAE", "ep", num_queries=8, layer=6) is rows["8"]
    with pytest.raises(InputError, match="2 rows of MAE ep"):
        find(cells, "MAE", "ep")
    with pytest.raises(InputError, match="0 rows of random ep"):
        find(cells, "random", "ep", num_queries=8)


def test_a_study_that_was_not_run_has_no_cells(tmp_path):
    assert read_cells(tmp_path / "none") == []
