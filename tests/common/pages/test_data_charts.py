"""Figures of what is in a data set."""

import re

import pytest

from toolkit_common.pages.charts import figure
from toolkit_common.pages.data_charts import scores, shares, stacked_bars

pytestmark = pytest.mark.slow
PARTS = [
    {"name": name, "part": part, "at": at, "value": value}
    for name, values in {"a": (5, 2), "b": (1, 0)}.items()
    for at, (part, value) in enumerate(zip(("train", "test"), values, strict=True))
]


def texts(svg: str) -> list[str]:
    return re.findall(r">([^<]+)</text>", svg)


def test_bars_have_a_part_a_split_and_a_line_below_which_they_are_short():
    svg = figure(stacked_bars(PARTS, x="images", least=3), label="")
    assert [text for text in texts(svg) if text in ("train", "test")] == ["train", "test"]
    assert svg.count('stroke-dasharray="4,3"') == 1
    single = figure(stacked_bars(PARTS[::2], x="images"), label="")
    assert "train" not in texts(single)  # one part needs no legend
    assert "dasharray" not in single


def test_scores_stand_beside_thresholds_with_their_values():
    rows = [{"name": "age", "kind": "its values", "value": 0.91}]
    spec = scores(rows, {"its values": (0.9, 0.95), "empty": (0.7,)}, x="AUROC", domain=(0.5, 1))
    svg = figure(spec, label="")
    assert svg.count('stroke-dasharray="4,3"') == 3
    assert {"0.7", "0.9", "0.95", "age", "empty"} <= {*texts(svg)}
    anchors = set(re.findall(r'text-anchor="(\w+)"[^>]*>(0\.9|0\.95)<', svg))
    assert {("end", "0.9"), ("start", "0.95")} <= anchors  # away from each other


def test_shares_reach_to_one():
    svg = figure(shares([{"name": "age", "value": 0.25}], x="empty"), label="")
    assert {"0%", "100%", "age"} <= {*texts(svg)}
