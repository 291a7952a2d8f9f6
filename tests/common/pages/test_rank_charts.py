"""Figures of who stands where."""

import re

import pytest

from toolkit_common.pages import charts
from toolkit_common.pages.rank_charts import SHAPES, standings

ROW = {"name": "a", "method": "EP", "value": 0.8, "low": 0.7, "high": 0.9, "origin": "here"}
PUBLISHED = {"low": None, "high": None, "origin": "published"}
ROWS = [ROW, {**ROW, "method": "k-NN", "value": 0.6}, {**ROW, "name": "b", **PUBLISHED},
        {**ROW, "name": "c", **PUBLISHED, "origin": "published*"}]  # fmt: skip


@pytest.mark.slow
def test_what_was_published_is_hollow_and_has_no_interval() -> None:
    text = str(charts.figure(standings(ROWS, x="top-1"), label=""))
    names = [name for name in re.findall(r">([^<]+)</text>", text) if name in "abc"]
    assert names == ["a", "b", "c"]  # in the order given
    assert len(re.findall(r'<line[^>]*stroke-width="2"', text)) == 2
    for name in SHAPES:
        assert f">{name}</text>" in text


@pytest.mark.slow
def test_of_one_kind_alone_no_legend_says_where_it_was_measured() -> None:
    text = str(charts.figure(standings(ROWS[:2], x="top-1"), label=""))
    assert ">here</text>" not in text
    assert ">EP</text>" in text
