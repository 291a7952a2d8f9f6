"""Figures of who stands where."""

import re

import pytest

from toolkit_common.pages import charts
from toolkit_common.pages.rank_charts import LETTER, LINE, PLANE, SHAPES, scatter, standings

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


NAMED = [  # as a page of a study had them: two that met in the middle
    {"name": f"{method} \u00b7 {encoder}", "x": size, "y": y, "low": y - 0.05, "high": y + 0.04}
    for method, size, ys in (("linear", 2_562, (0.841, 0.782, 0.549)), ("ep", 1_681_922,
                             (0.836, 0.778, 0.539)))
    for encoder, y in zip(("ImageNet + SLIMP", "ImageNet", "random weights"), ys, strict=True)
]  # fmt: skip


@pytest.mark.slow
def test_no_name_of_a_point_lies_on_another() -> None:
    text = str(charts.figure(scatter(NAMED, x="parameters", y="AUROC"), label=""))
    boxes = []
    for row in NAMED:
        (where,) = re.findall(rf"<text ([^>]*)>{re.escape(row['name'])}</text>", text)
        left, top = map(float, re.search(r"translate\(([-\d.]+),([-\d.]+)\)", where).groups())
        width = LETTER * len(row["name"])
        left -= width * ('text-anchor="end"' in where)
        boxes.append((left, left + width, top - LINE / 2, top + LINE / 2))
    assert min(box[0] for box in boxes) >= -1
    assert max(box[1] for box in boxes) <= PLANE[0] + 1
    for at, box in enumerate(boxes):
        for other in boxes[:at]:
            assert box[1] <= other[0] or other[1] <= box[0] or box[3] <= other[2] or (
                other[3] <= box[2]
            )  # fmt: skip
