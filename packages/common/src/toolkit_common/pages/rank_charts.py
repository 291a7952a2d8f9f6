"""Figures of who stands where: what was measured here, beside what others have published."""

from toolkit_common.pages.charts import HUES, INK, Rows, Spec

SHAPES = {"here": "circle", "published": "diamond", "published*": "triangle-up"}
WIDTH, STEP, APART = 260, 19, 9  # pixels; a row's, and that of a method within it
MOST_APART = 80  # points


def standings(rows: Rows, *, x: str) -> Spec:
    """Return points, a row a name and a hue a method, in the order given; lines for intervals.

    What was published elsewhere is hollow, and of another shape.

    Args:
        rows: `name`, `method` (of at most as many as there are hues), `value`, `low` and `high`
            (None without an interval), and `origin`, one of `SHAPES`.
        x: What the axis shows.
    """
    methods = list(dict.fromkeys(row["method"] for row in rows))
    origins = [name for name in SHAPES if any(row["origin"] == name for row in rows)]
    hue = {
        "field": "method", "type": "nominal", "title": None,
        "scale": {"domain": methods, "range": list(HUES[: len(methods)])},
    }  # fmt: skip
    shape = {
        "field": "origin", "type": "nominal", "title": None,
        "scale": {"domain": origins, "range": [SHAPES[name] for name in origins]},
        # Hollow in the legend as in the figure; of one kind alone there is nothing to say.
        "legend": {"symbolFillColor": "transparent", "symbolStrokeColor": INK}
        if len(origins) > 1 else None,
    }  # fmt: skip
    axis = {"type": "quantitative", "title": x, "scale": {"zero": False}, "axis": {"tickCount": 5}}
    y = {
        "field": "name", "type": "nominal", "sort": None, "title": None,
        "axis": {"grid": True, "gridOpacity": 0.1, "labelLimit": 220},
    }  # fmt: skip
    # Intervals of one row would lie on each other: a line a method, where that is not too many.
    with_lines = any(row["low"] is not None for row in rows) and len(rows) <= MOST_APART
    apart = {"yOffset": {"field": "method", "type": "nominal", "sort": None}} if with_lines else {}
    shared = {"y": y, "x": {**axis, "field": "value"}, "color": hue, "shape": shape, **apart}
    ends = {"y": y, "color": hue, "x": {**axis, "field": "low"}, "x2": {"field": "high"}, **apart}
    point = {"type": "point", "size": 55, "opacity": 1}
    return {
        "width": WIDTH, "height": {"step": APART if with_lines else STEP},
        "data": {"values": list(rows)},
        "layer": [
            {"transform": [{"filter": "datum.low !== null"}],
             "mark": {"type": "rule", "strokeWidth": 2, "opacity": 0.5}, "encoding": ends},
            {"transform": [{"filter": "datum.origin === 'here'"}],
             "mark": {**point, "filled": True}, "encoding": shared},
            {"transform": [{"filter": "datum.origin !== 'here'"}],
             "mark": {**point, "filled": False, "strokeWidth": 1.5}, "encoding": shared},
        ],
    }  # fmt: skip
