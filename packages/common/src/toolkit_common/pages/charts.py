"""Figures as SVG that stands in the page: drawn by Vega-Lite, without a script in the page.

vl-convert renders a specification when the page is written. Text, axes and grid have the colour of
the text around them, so that one figure serves light and dark; hues are readable on both. Panels
are as wide as a phone, that text keeps its size there.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from toolkit_common.pages.draw import to_svg
from toolkit_common.printable import one_line

Spec = dict[str, Any]
Rows = Sequence[Mapping[str, Any]]

HUES = ("#0d9488", "#ea580c", "#6366f1", "#db2777", "#65a30d", "#0284c7", "#b45309", "#64748b")
KINDS = {"probe": HUES[0], "tuned encoder": HUES[2], "no image read": HUES[1]}  # of every page
MOST_TICKS = 6  # on a panel
PHONE = 420  # pixels: broader figures would be shrunk there until nobody reads them
INK = "currentColor"
FONT = "Arial, Helvetica, sans-serif"  # whose widths vl-convert knows
_AXIS = {
    "labelColor": INK, "titleColor": INK, "domainColor": INK, "tickColor": INK, "gridColor": INK,
    "gridOpacity": 0.13, "domainOpacity": 0.4, "tickOpacity": 0.4, "labelFontSize": 12,
    "titleFontSize": 12, "titleFontWeight": "normal", "labelFont": FONT, "titleFont": FONT,
    "labelLimit": 190,
}  # fmt: skip
_CONFIG: Spec = {
    "axis": _AXIS,
    "axisQuantitative": {"labelOverlap": True, "labelSeparation": 6},
    "legend": {
        "labelColor": INK, "titleColor": INK, "labelFont": FONT, "titleFont": FONT,
        "labelFontSize": 12, "orient": "bottom", "columns": 2, "labelLimit": 150,
        "titleFontSize": 12, "titleFontWeight": "normal", "symbolOpacity": 1,
    },
    "title": {"color": INK, "font": FONT, "fontSize": 13, "anchor": "start", "fontWeight": 600},
    "text": {"font": FONT},
    "view": {"stroke": None},
    "range": {"category": list(HUES)},
}  # fmt: skip


def figure(spec: Spec, *, label: str, caption: str = "") -> Markup:
    """Return a figure of a Vega-Lite specification.

    Args:
        spec: Its data, marks and encodings; size and colours of axes come from here.
        label: What it shows, for those who cannot see it.
        caption: What stands below it.

    Raises:
        InputError: If vl-convert is not installed.
    """
    whole = {"background": "transparent", "padding": 4, "config": _CONFIG, **spec}
    svg = to_svg(_printable(whole))
    # A picture's parts say nothing: the figure has a label, and the table its numbers.
    broad = _least_width(svg)
    svg = svg.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)
    below = f"<figcaption>{escape(one_line(caption))}</figcaption>" if caption else ""
    name = escape(one_line(label))
    return Markup('<figure role="group" aria-label="{}"{}>{}{}</figure>').format(
        name, broad, Markup(svg), Markup(below)
    )


def _least_width(svg: str) -> Markup:
    """Return a figure's width, and what makes one broader than a phone scroll: its text stays."""
    match = re.search(r'width="(\d+)', svg)
    width = int(match[1]) if match else 0
    if width <= PHONE:
        return Markup(' style="--natural: {}px"').format(width)
    broad = Markup(' class="broad" tabindex="0" style="--natural: {}px; --least: {}px"')
    return broad.format(width, width * 5 // 6)


def _printable(value: Any) -> Any:
    """Return a specification in which control characters, which no SVG may hold, are shown."""
    if isinstance(value, dict):
        return {key: _printable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_printable(item) for item in value]
    return one_line(value) if isinstance(value, str) else value


def hues(field: str, names: Sequence[str]) -> Spec:
    """Return the encoding of names as hues, in their order; at most as many as there are."""
    scale = {"domain": list(names), "range": list(HUES[: len(names)])}
    return {"field": field, "type": "nominal", "title": None, "scale": scale}


def forest(rows: Rows, *, metric: str, reference: float | None = None) -> Spec:
    """Return points with intervals, one row a name, in the order given.

    Args:
        rows: `name`, `mean`, `low` and `high` (None without an interval), and `kind`, one of
            `KINDS`.
        metric: What the axis shows.
        reference: Where a line stands: chance.
    """
    kinds = [kind for kind in KINDS if any(row["kind"] == kind for row in rows)]
    hue = {"domain": kinds, "range": [KINDS[kind] for kind in kinds]}
    shared = {
        "y": {"field": "name", "type": "nominal", "sort": None, "title": None,
              "axis": {"labelLimit": 230}},
        "color": {"field": "kind", "type": "nominal", "title": None, "scale": hue},
    }  # fmt: skip
    layers: list[Spec] = _interval_layers(shared, metric)
    if reference is not None:
        line = {"type": "rule", "strokeDash": [3, 3], "color": INK, "opacity": 0.5}
        at = {"x": {"field": "at", "type": "quantitative"}}
        layers.insert(0, {"data": {"values": [{"at": reference}]}, "mark": line, "encoding": at})
    return {
        "width": 230, "height": {"step": 24}, "data": {"values": list(rows)}, "layer": layers,
    }  # fmt: skip


def dots(rows: Rows, *, x: str, domain: tuple[float, float] | None = None) -> Spec:
    """Return a dot plot: a row a group, a hue a name, thin lines for intervals.

    Args:
        rows: `group`, `name`, `mean`, `low`, `high`.
        x: What the axis shows.
        domain: Its ends, where it shows all that a figure may be.
    """
    hue = {"field": "name", "type": "nominal", "sort": None, "title": None}
    shared = {
        "y": {"field": "group", "type": "nominal", "sort": None, "title": None},
        "yOffset": {"field": "name", "type": "nominal", "sort": None},
        "color": hue,
    }
    layers = _interval_layers(shared, x, domain)
    return {
        "width": 230, "height": {"step": 11}, "data": {"values": list(rows)}, "layer": layers,
    }  # fmt: skip


def _interval_layers(shared: Spec, x: str, domain: tuple[float, float] | None = None) -> list[Spec]:
    scale: Spec = {"zero": False} if domain is None else {"domain": list(domain)}
    axis = {"type": "quantitative", "title": x, "scale": scale, "axis": {"tickCount": 5}}
    ends = {"x": {**axis, "field": "low"}, "x2": {"field": "high"}}
    return [
        {
            "transform": [{"filter": "datum.low !== null"}],
            "mark": {"type": "rule", "strokeWidth": 2, "opacity": 0.65},
            "encoding": {**shared, **ends},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1},
            "encoding": {**shared, "x": {**axis, "field": "mean"}},
        },
    ]


def matrix(
    cells: Rows, *, x: str, y: str, limits: tuple[float, float], diverging: bool = False
) -> Spec:
    """Return a matrix of coloured cells with their text.

    Args:
        cells: `x`, `y`, `value` (the colour) and `text`.
        x: Title above the columns.
        y: Title beside the rows.
        limits: Values of the ends of the colours.
        diverging: Whether 0 lies in their middle.
    """
    # Half transparent hues lie on any ground.
    colours = [HUES[1], "transparent", HUES[0]] if diverging else ["transparent", HUES[0]]
    domain = [limits[0], 0, limits[1]] if diverging else list(limits)
    scale = {"domain": domain, "range": colours, "clamp": True}
    axis = {"type": "nominal", "sort": None}
    return {
        "width": {"step": 42},
        "height": {"step": 28},
        "data": {"values": list(cells)},
        "encoding": {
            "x": {**axis, "field": "x", "title": x, "axis": {"orient": "top", "labelAngle": -40}},
            "y": {**axis, "field": "y", "title": y or None},
        },
        "layer": [
            {
                "mark": {"type": "rect", "opacity": 0.5},
                "encoding": {
                    "color": {
                        "field": "value", "type": "quantitative", "legend": None, "scale": scale,
                    }
                },
            },
            {
                "mark": {"type": "text", "color": INK, "fontSize": 12},
                "encoding": {"text": {"field": "text", "type": "nominal"}},
            },
        ],
    }  # fmt: skip


def lines(
    rows: Rows, *, x: Spec, y: Spec, title: str = "", hue: str | None = "", diagonal: bool = False,
    points: bool = False, beside: Rows = (),
) -> Spec:  # fmt: skip
    """Return one line a name.

    Args:
        rows: `name`, `x` and `y`; `low` and `high` for a band where there is one.
        x: Vega-Lite's `title` of the horizontal axis, its `scale` and more of it.
        y: The same of the vertical one.
        title: Of the panel.
        hue: Title of the legend; None for no legend.
        diagonal: Whether to draw x = y behind.
        points: Whether to mark the points.
        beside: More lines, dashed in the hue of their name: what the others are held against.
    """
    legend = {"legend": None} if hue is None else {"title": hue or None}
    encoding: Spec = {
        "x": {"field": "x", "type": "quantitative", "scale": {"zero": False}, **x},
        "y": {"field": "y", "type": "quantitative", "scale": {"zero": False}, **y},
        "color": {"field": "name", "type": "nominal", "sort": None, **legend},
        "order": {"value": None},  # as the rows come: PR curves go up and down at one recall
    }
    mark = {"type": "line", "strokeWidth": 2, "point": points, "clip": True}
    layers: list[Spec] = [{"mark": mark, "encoding": encoding}]
    if any(row.get("low") is not None for row in rows):
        band = {**encoding, "y": {**encoding["y"], "field": "low"}, "y2": {"field": "high"}}
        layers.insert(0, {"mark": {"type": "area", "opacity": 0.13}, "encoding": band})
    if diagonal:
        ends = {"values": [{"x": 0, "y": 0}, {"x": 1, "y": 1}]}
        straight = {"x": encoding["x"], "y": encoding["y"]}
        thin = {"type": "line", "strokeDash": [3, 3], "color": INK, "opacity": 0.5,
                "strokeWidth": 1}  # fmt: skip
        layers.insert(0, {"data": ends, "mark": thin, "encoding": straight})
    if beside:
        dashed = {"type": "line", "strokeWidth": 1.5, "strokeDash": [4, 3], "clip": True}
        layers.append({"data": {"values": list(beside)}, "mark": dashed, "encoding": encoding})
    return {
        **({"title": title} if title else {}),
        "width": 240,
        "height": 190,
        "data": {"values": list(rows)},
        "layer": layers,
    }


def whole_numbers(title: str, values: Iterable[float]) -> Spec:
    """Return the axis of what is counted, such as epochs: no tick between two numbers."""
    known = list(values)
    span = max(known, default=0) - min(known, default=0)
    ticks = {"tickMinStep": 1, "tickCount": max(1, min(MOST_TICKS, int(span)))}
    return {"title": title, "axis": ticks}


def cloud(rows: Rows, *, names: Sequence[str], title: str, rest: Sequence[str] = ()) -> Spec:
    """Return points on a plane whose axes mean nothing, a hue and a shape a name.

    Args:
        rows: `name`, `x`, `y`.
        names: Of whom the hues are, in their order; at most one fewer than there are hues.
        title: Of the panel.
        rest: Names that are drawn pale.
    """
    pale = HUES[-1]
    hue = {
        "field": "name", "type": "nominal", "title": None,
        "scale": {"domain": [*names, *rest],
                  "range": [*HUES[: len(names)], *(pale for _ in rest)]},
    }  # fmt: skip
    plane = {"type": "quantitative", "axis": None,
             "scale": {"zero": False, "nice": False, "padding": 8}}  # fmt: skip
    drawn = {
        "x": {"field": "x", **plane},
        "y": {"field": "y", **plane},
        "color": hue,
        # Beside the hue, for whoever cannot tell hues apart: one legend for both.
        "shape": {"field": "name", "type": "nominal", "title": None,
                  "scale": {"domain": [*names, *rest]}},
        "opacity": {"condition": {"test": {"field": "name", "oneOf": list(names)}, "value": 0.9},
                    "value": 0.55},
    }  # fmt: skip
    return {
        "title": title,
        "width": 250,
        "height": 230,
        "data": {"values": list(rows)},
        "mark": {"type": "point", "filled": True, "size": 45},
        "encoding": drawn,
        "view": {"stroke": INK, "strokeOpacity": 0.15},
    }
