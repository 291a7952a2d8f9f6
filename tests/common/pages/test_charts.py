"""Figures as SVG: what they draw, in the colour of the text around them."""

import re
import sys
import xml.etree.ElementTree as ET

import pytest

from toolkit_common.errors import InputError
from toolkit_common.pages import charts
from toolkit_common.pages.rank_charts import scatter

ROWS = [
    {"name": "ep", "kind": "probe", "mean": 0.8, "low": 0.7, "high": 0.9},
    {"name": "k-NN", "kind": "probe", "mean": 0.6, "low": None, "high": None},
]
SPECS = {
    "forest": charts.forest(ROWS, metric="AUROC", reference=0.5),
    "dots": charts.dots([{**row, "group": "a"} for row in ROWS], x="AUROC"),
    "matrix": charts.matrix(
        [{"x": "a", "y": "b", "value": -0.1, "text": "-0.10*"}],
        x="", y="", limits=(-1, 1), diverging=True,
    ),
    "lines": charts.lines(
        [{"name": "ep", "x": x, "y": 0.5, "low": 0.4, "high": 0.6} for x in (1, 2)],
        x={"title": "layer"}, y={"title": "AUROC"}, title="panel", diagonal=True, points=True,
    ),
    "scatter": scatter(
        [{"name": "ep", "x": 10, "y": 0.5}], x="parameters", y="AUROC",
        front=[{"x": 10, "y": 0.5}, {"x": 20, "y": 0.6}],
    ),
}  # fmt: skip


def parsed(markup: str) -> ET.Element:
    return ET.fromstring(markup)


@pytest.mark.slow
@pytest.mark.parametrize("name", SPECS)
def test_a_figure_is_named_loads_nothing_and_has_no_colour_of_its_own_for_text(name: str) -> None:
    text = charts.figure(SPECS[name], label="what & where", caption="below <it>")
    root = parsed(text)  # well formed
    assert root.get("aria-label") == "what & where"
    assert root[0].get("aria-hidden") == "true"
    assert root[1].text == "below <it>"
    assert "<script" not in text
    assert "href" not in text
    texts = re.findall(r"<text[^>]*>", text)
    assert texts
    assert all('fill="currentColor"' in one for one in texts)


@pytest.mark.slow
def test_a_forest_has_a_point_a_row_and_a_line_an_interval() -> None:
    text = charts.figure(SPECS["forest"], label="")
    names = [name for name in re.findall(r">([^<]+)</text>", text) if name in ("ep", "k-NN")]
    assert names == ["ep", "k-NN"]  # in the order given
    assert len(re.findall(r"<line[^>]*stroke-width=\"2\"", text)) == 1


@pytest.mark.slow
def test_names_from_data_stay_text_in_a_figure() -> None:
    name = "</text><script>x\x1b\x00"
    text = charts.figure(charts.forest([{**ROWS[0], "name": name}], metric="m"), label=name)
    assert "<script" not in text
    assert "\\x1b\\x00" in text
    parsed(text)


@pytest.mark.slow
def test_a_figure_broader_than_a_phone_scrolls_there() -> None:
    cells = [{"x": str(at), "y": "a", "value": 0.0, "text": ""} for at in range(20)]
    text = charts.figure(charts.matrix(cells, x="", y="", limits=(0, 1)), label="")
    assert 'class="broad" tabindex="0"' in text
    assert "broad" not in charts.figure(SPECS["matrix"], label="")


def test_without_vl_convert_one_line_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolkit_common.extras.find_spec", lambda _: None)
    monkeypatch.delitem(sys.modules, "vl_convert", raising=False)
    match = r"vl_convert, which is not installed: pip install 'toolkit-common\[plots\]'"
    with pytest.raises(InputError, match=match):
        charts.figure(SPECS["matrix"], label="")


@pytest.mark.slow
@pytest.mark.parametrize(("last", "ticks"), [(2, ["1", "2"]), (3, ["1", "2", "3"])])
def test_no_tick_stands_between_two_epochs(last: int, ticks: list[str]) -> None:
    rows = [{"name": "a", "x": x, "y": 0.5 + 0.1 * x} for x in range(1, last + 1)]
    axis = charts.whole_numbers("epoch", [row["x"] for row in rows])
    svg = charts.figure(charts.lines(rows, x=axis, y={"title": "loss"}), label="Loss")
    labels = re.findall(r">(\d+(?:\.\d+)?)</text>", svg)
    assert [text for text in labels if float(text) >= 1.0] == ticks
