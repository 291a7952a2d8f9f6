"""The sentence above a leaderboard."""

import pytest

from helpers.leaderboards import encoder, judged, methods, on_imagenet, run
from toolkit_probing.leaderboard.boards import build_boards
from toolkit_probing.leaderboard.first import say_first
from toolkit_probing.published.rows import read_published


def said(*runs, published=()) -> str:
    (board,) = build_boards(list(runs), metrics=[], published=list(published))
    return say_first(board)


@pytest.mark.slow
def test_who_is_first_is_told_apart_from_whom_it_can_be():
    good, poor = judged("good", 0.8, 2.0), judged("poor", 0.6, 0.1)
    text = said(good, poor)
    assert text.startswith("good is first of 2 encoders by EP: 0.890 [")
    assert text.endswith("It is better than poor.")
    alike = judged("alike", 0.7, 2.0)
    assert said(good, alike, poor).endswith("It cannot be told apart from alike.")


def test_one_encoder_is_not_called_first():
    assert said(run("runs/a", methods(0.7), encoder("a"))).startswith("a reaches 0.790 [")


def test_an_untrained_encoder_is_never_first():
    untrained = run("runs/r", methods(0.9), encoder("r", random_weights=True))
    assert said(untrained).startswith("No trained encoder")


def test_where_it_would_stand_among_published_figures_is_said():
    own = on_imagenet("runs/own", 0.7, "own")
    higher = sum(row.top1("ep") > 75 for row in read_published().rows.values())
    assert said(own, published=[read_published()]).endswith(
        f"{higher} of 37 published figures are higher."
    )
