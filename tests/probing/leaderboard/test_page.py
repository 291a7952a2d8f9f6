"""Leaderboards as a page."""

import pytest

from helpers.leaderboards import judged, on_imagenet
from toolkit_common.pages.charts import HUES
from toolkit_probing.leaderboard import page
from toolkit_probing.leaderboard.boards import build_boards
from toolkit_probing.leaderboard.page import write_page
from toolkit_probing.published.rows import read_published
from toolkit_probing.results.names import method_heading


@pytest.mark.slow
def test_a_page_says_who_is_first_and_has_every_encoder_and_what_is_missing(tmp_path):
    boards = build_boards(
        [judged("good", 0.8, 2.0), judged("poor", 0.6, 0.1)], metrics=[], published=[]
    )
    write_page(tmp_path / "page.html", boards, ["MISSING: 1 of 3 cells of runs: a (to do)"])
    text = (tmp_path / "page.html").read_text()
    assert '<p class="claim">good is first of 2 encoders by EP' in text
    assert '<p class="warning">MISSING: 1 of 3 cells of runs: a (to do).</p>' in text
    for name in ("good", "poor"):
        assert f"<td>{name}</td>" in text
    assert "data-sortable" in text


@pytest.mark.slow
def test_no_two_methods_of_a_figure_have_one_hue(tmp_path, monkeypatch):
    runs = [judged("good", 0.8, 2.0), judged("poor", 0.6, 0.1)]
    (board,) = build_boards(runs, metrics=[], published=[])
    assert len(board.methods) > 1
    assert len(set(HUES)) == page.MOST_METHODS
    monkeypatch.setattr(page, "MOST_METHODS", 1)
    write_page(tmp_path / "page.html", [board], [])
    text = (tmp_path / "page.html").read_text()
    first, second = map(method_heading, board.methods[:2])
    assert f"By the first 1 of {len(board.methods)} methods." in text
    drawn = text[text.index("<svg") : text.index("</svg>")]
    assert f">{first}</text>" in drawn
    assert f">{second}</text>" not in drawn


@pytest.mark.slow
def test_published_rows_are_drawn_beside_those_measured_here(tmp_path):
    own = on_imagenet("runs/own", 0.7, "own")
    vars(own)["rows"] = {row.name: next(iter(judged("own", 0.7, 1.0).rows.values()))
                         for row in own.results.rows}  # fmt: skip
    boards = build_boards([own], metrics=[], published=[read_published()])
    write_page(tmp_path / "page.html", boards, [])
    text = (tmp_path / "page.html").read_text()
    assert text.count("<td>published</td>") == 29
    assert text.count("<td>published*</td>") == 8
    assert "Hollow: published, not measured here" in text
