"""Figures of who stands where: beside what others have published, and at which price."""

from collections.abc import Iterator, Mapping, Sequence
from math import log
from typing import Any

from toolkit_common.pages.charts import HUES, INK, Rows, Spec, hues

SHAPES = {"here": "circle", "published": "diamond", "published*": "triangle-up"}
WIDTH, STEP, APART = 260, 19, 9  # pixels; a row's, and that of a method within it
MOST_APART = 80  # points
PLANE = (330, 230)  # pixels
LETTER, LINE = 6.4, 14.0  # pixels of a name's letter, on average, and of its height
# From a point to its name: on its inner side or the other, a step above or below.
PLACES = [(side, dy) for side in (1, -1) for dy in (-9, 14, *range(-40, 46, 4))]
COLUMN = 60  # pixels beside a point within which a name may be taken for another's

Box = tuple[float, float, float, float]  # left, right, top, bottom
Point = tuple[float, float]  # from the left, from the top


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
    hue = hues("method", methods)
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


def scatter(rows: Rows, *, x: str, y: str, front: Rows = ()) -> Spec:
    """Return named points over a logarithmic axis, and a line through those that nothing beats.

    No name lies on another or on a point, as long as there is room.

    Args:
        rows: `name`, `x`, `y`, `low` and `high` (None without an interval).
        x: Title of the horizontal axis.
        y: Title of the vertical axis.
        front: `x` and `y` of those that nothing beats, ascending.
    """
    values = [row["x"] for row in rows]
    across = (min(values) / 3, max(values) * 3)
    up = _ends(rows)
    encoding = {
        "x": {"field": "x", "type": "quantitative", "title": x,
              "scale": {"type": "log", "domain": list(across)},
              "axis": {"format": "~s", "tickCount": 4, "grid": False}},
        "y": {"field": "y", "type": "quantitative", "title": y,
              "scale": {"domain": list(up), "nice": False}},
    }  # fmt: skip
    ends = {"y": {**encoding["y"], "field": "low"}, "y2": {"field": "high"}}
    layers: list[Spec] = [
        {
            "transform": [{"filter": "isValid(datum.low)"}],
            "mark": {"type": "rule", "strokeWidth": 2, "opacity": 0.3, "color": HUES[0]},
            "encoding": {"x": encoding["x"], **ends},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 80, "color": HUES[0], "opacity": 1},
            "encoding": encoding,
        },
    ]
    text = {"type": "text", "color": INK, "fontSize": 12, "baseline": "middle"}
    named = {**encoding, "text": {"field": "name", "type": "nominal"}}
    for row, side, dy in _placed(rows, across, up):
        place = {"align": "left" if side > 0 else "right", "dx": 8 * side, "dy": dy}
        layers.append(
            {"data": {"values": [dict(row)]}, "mark": {**text, **place}, "encoding": named}
        )
    if len(front) > 1:
        step = {"type": "line", "interpolate": "step-after", "color": HUES[1], "strokeWidth": 1.5}
        layers.insert(0, {"data": {"values": list(front)}, "mark": step, "encoding": encoding})
    width, height = PLANE
    return {"width": width, "height": height, "data": {"values": list(rows)}, "layer": layers}


def _ends(rows: Rows) -> tuple[float, float]:
    """Return the ends of the vertical axis: a little room beside all points and intervals."""
    known = [end for row in rows for end in (row["y"], row.get("low"), row.get("high"))]
    ys = [end for end in known if end is not None]
    spare = (max(ys) - min(ys)) / 10 or 0.05
    return min(ys) - spare, max(ys) + spare


def _placed(
    rows: Rows, across: tuple[float, float], up: tuple[float, float]
) -> Iterator[tuple[Mapping[str, Any], int, int]]:
    """Yield each named row with the side and the height of its name, from its point."""
    width, height = PLANE
    points = [
        (
            width * log(row["x"] / across[0]) / log(across[1] / across[0]),
            height * (up[1] - row["y"]) / (up[1] - up[0]),
        )
        for row in rows
    ]
    taken: list[Box] = [(left - 6, left + 6, top - 6, top + 6) for left, top in points]
    for row, point in sorted(zip(rows, points, strict=True), key=lambda pair: pair[1]):
        if not row["name"]:
            continue
        inner = 1 if point[0] <= width / 2 else -1
        boxes = {
            (inner * side, dy): _box(point, inner * side, dy, letters=len(row["name"]))
            for side, dy in PLACES
        }
        best = min(
            boxes,
            key=lambda place: (
                _covered(boxes[place], taken)
                + LINE * _outside(boxes[place])
                + 500 * _is_nearer_to_another(place[1], point, points)
                + abs(place[1]) + 15 * (place[0] != inner)
            ),
        )  # fmt: skip
        taken.append(boxes[best])
        yield row, *best


def _box(point: Point, side: int, dy: int, *, letters: int) -> Box:
    near = point[0] + 8 * side
    far = near + side * LETTER * letters
    middle = point[1] + dy
    return min(near, far), max(near, far), middle - LINE / 2, middle + LINE / 2


def _covered(box: Box, taken: Sequence[Box]) -> float:
    """Return how many pixels of a name lie on others."""
    left, right, top, bottom = box
    return sum(
        max(0.0, min(right, other[1]) - max(left, other[0]))
        * max(0.0, min(bottom, other[3]) - max(top, other[2]))
        for other in taken
    )


def _outside(box: Box) -> float:
    """Return how many pixels a name leaves the plane by."""
    (left, right, top, bottom), (width, height) = box, PLANE
    return max(0.0, -left) + max(0.0, right - width) + max(0.0, -top) + max(0.0, bottom - height)


def _is_nearer_to_another(dy: int, point: Point, points: Sequence[Point]) -> bool:
    """Whether a name at some height would be read as that of a point above or below."""
    return any(
        abs(point[1] + dy - other[1]) < abs(dy)
        for other in points
        if other != point and abs(other[0] - point[0]) < COLUMN
    )
