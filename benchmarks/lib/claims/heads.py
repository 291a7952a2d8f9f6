"""Claims on EP's head itself, its queries, the width of its value map, its maps; of `judges`."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from lib.claims.evidence import (
    FAILS,
    HOLDS,
    OPEN,
    RANDOM,
    Studies,
    contrast,
    find,
    gain,
    methods_of,
    read_maps,
    sized,
)
from lib.claims.verdicts import Claim, not_run, of_all, of_one

QUERIES = 32  # EP's default, as in the paper
MORE = f"More queries are better up to about {QUERIES}"
NARROW = "EP is above linear probing with a narrower value map too"
DIFFER = "EP's queries look at different places, more so than heads of cross-attention"
OBJECT = "EP's maps lie on the object"
FEW_MAPS = 8  # queries of EP that are held against the heads of cross-attention


def queries_matter(studies: Studies) -> Iterator[Claim]:
    """EP with one query, with its default, and with as many as fit."""
    cells, name = studies.cells("ep-queries"), studies.masked
    of_queries = "queries-of-ep", name
    rows = {
        int(saved.row.options["num_queries"]): saved
        for cell in cells
        for saved in cell.run.rows.values()
        if saved.row.method == "ep" and (cell.step, cell.values["encoder"]) == of_queries
    }  # fmt: skip
    one, most = min(rows, default=QUERIES), max(rows, default=QUERIES)
    if QUERIES not in rows or not one < QUERIES < most:  # else a gain of 0 would be evidence
        yield not_run(MORE, f"ep-queries.yaml with {QUERIES} queries, fewer and more")
        return
    early, size = ((1.0, rows[QUERIES]), (-1.0, rows[one])), sized(name, rows[QUERIES])
    yield of_one(
        f"{QUERIES} queries are better than {one}", "ablation of queries, 1 to 128",
        f"{size}: {QUERIES} queries - {one}", contrast(*early),
    )  # fmt: skip
    yield of_one(
        f"Queries up to {QUERIES} gain more than those beyond",
        "ablation of queries, 1 to 128; this is our question",
        f"{size}: (gain of {one} to {QUERIES}) - (gain of {QUERIES} to {most})",
        contrast(*early, (-1.0, rows[most]), (1.0, rows[QUERIES])),
    )  # fmt: skip


def widths_matter(studies: Studies) -> Iterator[Claim]:
    """EP whose output width is divided against linear probing."""
    cells = [cell for cell in studies.cells("ep-queries") if cell.step == "widths-of-ep"]
    name = studies.masked
    rows = {
        int(saved.row.options["width_divisor"]): saved
        for cell in cells
        for saved in cell.run.rows.values()
        if saved.row.method == "ep" and cell.values["encoder"] == name
    }
    narrow = {f"width / {divisor}": rows[divisor] for divisor in sorted(rows) if divisor > 1}
    if not narrow or "linear" not in methods_of(cells, name):
        yield not_run(NARROW, "ep-queries.yaml, its widths")
        return
    linear, first = find(cells, name, "linear"), next(iter(narrow.values()))
    sizes = ", ".join(f"{row.row.num_parameters:,}" for row in narrow.values())
    yield of_all(
        NARROW, "ablation of the output width",
        f"{sized(name, first)}: EP of {', '.join(narrow)} ({sizes} parameters) - linear "
        f"({linear.row.num_parameters:,})",
        {width: gain(row, linear) for width, row in narrow.items()},
    )  # fmt: skip


def queries_specialise(studies: Studies) -> Iterator[Claim]:
    """Overlap of EP's maps against those of the heads of cross-attention."""
    ep, other = (_statistics(studies, studies.masked, method) for method in ("ep", "mhca"))
    if not ep or not other:
        yield not_run(DIFFER, f"ep-attention.yaml, EP and MHCA of {FEW_MAPS} queries")
        return
    (low, high), (least, most) = _interval(ep["overlap"]), _interval(other["overlap"])
    yield Claim(
        DIFFER,
        "maps are complementary; against cross-attention is our question",
        f"{studies.masked}, {FEW_MAPS} queries, a head each: overlap of two maps, EP and MHCA "
        "(alike: 1)",
        f"EP {_text(ep['overlap'])}, MHCA {_text(other['overlap'])}; effective queries "
        f"{ep['effective_queries']['mean']:.2f} and {other['effective_queries']['mean']:.2f}",
        HOLDS if high < least else FAILS if low > most else OPEN,
    )


def maps_find_objects(studies: Studies) -> Iterator[Claim]:
    """EP's attention inside masks against their area, which even maps have, and random weights'.

    What lies in the middle of most images is met by maps of random weights too.
    """
    ep = _statistics(studies, studies.masked, "ep")
    if "inside" not in ep:
        yield not_run(OBJECT, "ep-attention.yaml with masks")
        return
    others = {"area": ep["area"]}
    for name in RANDOM:
        if "inside" in (random := _statistics(studies, name, "ep")):
            others["EP on random weights"] = random["inside"]
    low, high = _interval(ep["inside"])
    bounds = [_interval(other) for other in others.values()]
    yield Claim(
        OBJECT,
        "maps of images; a figure for it is our question",
        f"{studies.masked}, {FEW_MAPS} queries, a head each: share of attention inside masks, and "
        "their area",
        ", ".join(f"{name} {_text(each)}" for name, each in {"EP": ep["inside"], **others}.items()),
        HOLDS if all(low > most for _, most in bounds)
        else FAILS if any(high < least for least, _ in bounds) else OPEN,
    )  # fmt: skip


def _statistics(studies: Studies, encoder: str, method: str) -> Mapping[str, Any]:
    """Return what was counted on a method's maps of few queries; nothing where none was."""
    for head in read_maps(studies.folder / "ep-attention", encoder):
        if (head["method"], head["num_queries"]) == (method, FEW_MAPS):
            return dict(head["statistics"])
    return {}


def _interval(estimate: Mapping[str, Any]) -> tuple[float, float]:
    """Return the bounds of a statistic; of too few images any value may be it."""
    low, high = estimate["ci"] or (-math.inf, math.inf)
    return low, high


def _text(estimate: Mapping[str, Any]) -> str:
    return "{:.3f} [{:.3f}, {:.3f}]".format(estimate["mean"], *_interval(estimate))
