import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.metrics import log_loss

from toolkit_probing.results.remarks import Picked, log_loss_of_frequencies, remarks_on
from toolkit_probing.settings import ProbeSettings

SETTINGS = ProbeSettings(lr=(0.001, 0.01, 0.1), c=(0.01, 0.1, 1.0))
MIDDLE = {"lr": 0.01, "epoch": [7], "C": [0.1]}


def remarks(settings=SETTINGS, *, grid=(), shown=None, loss=0.5, of_frequencies=1.0, **picked):
    return remarks_on(
        Picked(picked, grid, shown or {}), settings, log_loss=loss, of_frequencies=of_frequencies
    )


def test_what_lies_within_its_grids_and_beats_the_frequencies_needs_no_word() -> None:
    assert remarks(**MIDDLE) == []


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"lr": 0.001}, "learning rate 0.001 is the lowest that was tried: widen the grid (--lr)"),
        ({"lr": 0.1}, "learning rate 0.1 is the highest that was tried: widen the grid (--lr)"),
        ({"C": [0.1, 1.0]}, "C 1 is the highest that was tried: widen the grid (--c)"),
        ({"epoch": [7, 1]}, "best after its first epoch: try lower rates (--lr)"),
        (
            {"epoch": [0], "lr": 0.001},  # no rate was used
            "training its pooling gained nothing on val: judged untrained",
        ),
    ],
)
def test_an_edge_or_a_training_for_nothing_is_said(changed: dict, expected: str) -> None:
    assert remarks(**MIDDLE | changed) == [expected]


def test_what_no_step_trains_reads_no_crops() -> None:
    crops = SETTINGS.model_copy(update={"augment": "crops"})
    (said,) = remarks(crops, C=[0.1])
    assert said == "read the images as they are: --augment crops trains poolings alone"
    assert remarks(crops, **MIDDLE) == []


def test_neighbours_and_regressions_are_held_against_what_they_tried() -> None:
    tried = [{"k": 5}, {"k": 10}]
    assert remarks(k=10, grid=tried) == [
        "k 10 is the highest that was tried: widen the grid (--set knn.k)"
    ]
    assert remarks(C=1.0, grid=[{"C": 0.5}, {"C": 1.0}, {"C": 2.0}]) == []
    assert remarks(k=10, grid=[{"k": 10}]) == []  # a grid of one has no edge


def test_a_loss_above_that_of_the_frequencies_comes_first_but_votes_have_none() -> None:
    first, *_ = remarks(**MIDDLE | {"lr": 0.1}, loss=1.2)
    assert first == "LOG-LOSS 1.200, above the 1.000 of predicting the class frequencies"
    assert remarks(**MIDDLE, loss=1.0) == remarks(**MIDDLE, loss=None) == []
    assert remarks(**MIDDLE, loss=1.2, of_frequencies=None) == []
    assert remarks(k=1, grid=[{"k": 1}], loss=9.0) == []


def test_another_c_that_is_better_by_what_is_shown_is_named() -> None:
    shown = {0.01: 0.2, 0.1: 0.29, 1.0: 0.42}
    (said,) = remarks(**MIDDLE, shown=shown)
    said_of_both = (
        "picked by log_loss: balanced accuracy 0.29 on val, its penalty C 1 would have 0.42"
    )
    assert said_of_both in said
    assert remarks(**MIDDLE, shown=shown | {1.0: 0.33}) == []
    by_shown = SETTINGS.model_copy(update={"select_by": "balanced_accuracy"})
    assert remarks(by_shown, **MIDDLE, shown=shown) == []


def test_the_loss_of_the_frequencies_is_that_of_a_dummy() -> None:
    train, test = np.array([0, 0, 0, 1, 2, 2]), np.array([0, 1, 2, 2])
    dummy = DummyClassifier(strategy="prior").fit(train, train)
    expected = log_loss(test, dummy.predict_proba(test))
    assert log_loss_of_frequencies(train, test, 3) == pytest.approx(expected)
    # A class that training lacks has half a row, not none.
    assert log_loss_of_frequencies(train[:4], test, 3) == pytest.approx(
        -np.log(np.array([3, 1, 0.5, 0.5]) / 4.5).mean()
    )
