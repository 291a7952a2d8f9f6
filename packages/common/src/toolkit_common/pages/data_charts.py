"""Figures of what is in a data set: images of each class, and scores against their thresholds."""

from collections.abc import Mapping, Sequence

from toolkit_common.pages.charts import HUES, INK, Rows, Spec, hues

WIDTH = 230  # pixels: a phone has room for it and names beside it
NEAR = 0.1  # thresholds whose labels would meet


def stacked_bars(rows: Rows, *, x: str, least: float | None = None) -> Spec:
    """Return a bar a name, in parts of one hue each.

    Args:
        rows: `name`, `part`, `at` (the part's place) and `value`.
        x: What the axis shows.
        least: Where a line stands, below which a bar is too short.
    """
    encoding: Spec = {
        "y": {"field": "name", "type": "nominal", "sort": None, "title": None},
        "x": {"field": "value", "type": "quantitative", "title": x, "stack": "zero",
              "axis": {"tickCount": 4, "format": "~s"}},
        "color": {"field": "part", "type": "nominal", "sort": None, "title": None,
                  "legend": {"columns": 3} if len({row["part"] for row in rows}) > 1 else None},
        "order": {"field": "at", "type": "quantitative"},
    }  # fmt: skip
    layers: list[Spec] = [{"mark": {"type": "bar", "opacity": 0.85}, "encoding": encoding}]
    if least is not None:
        layers.append(_line(least))
    return {"width": WIDTH, "height": {"step": 20}, "data": {"values": list(rows)}, "layer": layers}


def scores(
    rows: Rows, thresholds: Mapping[str, Sequence[float]], *, x: str, domain: tuple[float, float]
) -> Spec:
    """Return points of several kinds, a row a name, with the thresholds of each kind as lines.

    Args:
        rows: `name`, `kind`, `value`.
        thresholds: Kind -> its thresholds; the kinds in the order of their hues.
        x: What the axis shows.
        domain: Its ends.
    """
    kinds = list(thresholds)
    hue = hues("kind", kinds)
    axis = {
        "field": "value", "type": "quantitative", "title": x,
        "scale": {"domain": list(domain), "clamp": True}, "axis": {"tickCount": 5},
    }  # fmt: skip
    lines: list[Spec] = [
        {"value": value, "kind": kind, "text": f"{value:g}"}
        for kind, values in thresholds.items()
        for value in values
    ]
    rule = {"type": "rule", "strokeDash": [4, 3], "strokeWidth": 1.5}
    # Two that lie side by side are written away from each other.
    ordered = sorted(line["value"] for line in lines)
    above = [
        {
            "data": {"values": [line]},
            "mark": {"type": "text", "fontSize": 11, "dy": -5, "color": INK, "baseline": "bottom",
                     "align": _align(line["value"], ordered)},
            "encoding": {
                "x": axis, "y": {"value": 0}, "text": {"field": "text", "type": "nominal"},
            },
        }
        for line in lines
    ]  # fmt: skip
    points = {
        "mark": {"type": "point", "filled": True, "size": 55, "opacity": 0.9},
        "encoding": {
            "y": {"field": "name", "type": "nominal", "sort": None, "title": None},
            "x": axis, "color": hue, "shape": {**hue, "scale": {"domain": kinds}},
        },
    }  # fmt: skip
    drawn = {"data": {"values": lines}, "mark": rule, "encoding": {"x": axis, "color": hue}}
    return {
        "width": WIDTH, "height": {"step": 20}, "data": {"values": list(rows)},
        "layer": [drawn, *above, points],
    }  # fmt: skip


def shares(rows: Rows, *, x: str) -> Spec:
    """Return a bar a name, of shares in [0, 1]: `name` and `value`."""
    axis = {
        "field": "value", "type": "quantitative", "title": x,
        "scale": {"domain": [0, 1]}, "axis": {"format": ".0%", "tickCount": 5},
    }  # fmt: skip
    y = {"field": "name", "type": "nominal", "sort": None, "title": None}
    return {
        "width": WIDTH, "height": {"step": 20}, "data": {"values": list(rows)},
        "mark": {"type": "bar", "color": HUES[0], "opacity": 0.85}, "encoding": {"y": y, "x": axis},
    }  # fmt: skip


def _line(value: float) -> Spec:
    rule = {"type": "rule", "strokeDash": [4, 3], "strokeWidth": 1.5, "color": INK}
    at = {"x": {"field": "value", "type": "quantitative"}}
    return {"data": {"values": [{"value": value}]}, "mark": rule, "encoding": at}


def _align(value: float, ordered: Sequence[float]) -> str:
    at = ordered.index(value)
    if at + 1 < len(ordered) and ordered[at + 1] - value < NEAR:
        return "right"
    return "left" if at and value - ordered[at - 1] < NEAR else "center"
