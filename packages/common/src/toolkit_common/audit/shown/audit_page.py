"""An audit as one page that needs nothing beside it: the verdict first, thresholds drawn."""

from collections.abc import Iterator, Sequence
from typing import Any

from markupsafe import Markup

from toolkit_common.audit.alike import ALIKE
from toolkit_common.audit.audit import Audit
from toolkit_common.audit.findings import HIGH_AUROC, MISSING_AUROC, PROXY_AUROC, RARE_CLASS
from toolkit_common.audit.shown.examples import draw_tile
from toolkit_common.audit.shown.facts import (
    MAX_PAIRS,
    OF_BASELINES,
    OF_CLASSES,
    OF_COLUMNS,
    OF_PAIRS,
    class_counts,
    difference,
    facts_line,
    pair_names,
    scored_columns,
    tables,
    verdict,
)
from toolkit_common.console import console
from toolkit_common.extras import is_installed
from toolkit_common.outside import OutsideError
from toolkit_common.pages.charts import figure
from toolkit_common.pages.data_charts import scores, stacked_bars
from toolkit_common.pages.page import render
from toolkit_common.pages.pictures import picture

SIDE = 240  # pixels of a pictured image
MOST_DRAWN = 40  # columns: those that tell most
MOST_CLASSES = 30
VALUES, EMPTY = "its values", "being empty"
NO_FIGURES = "Without figures, as vl-convert is not installed: pip install 'toolkit-common[plots]'"

Section = tuple[str, str, list[Markup], list[str]]  # id, heading, figures, thresholds in them


def audit_page(audit: Audit) -> str:
    """Return an audit as a page; where nothing draws figures it has tables alone, and says why."""
    sections, without = _drawn(audit)
    return render(
        "toolkit_common.audit.shown",
        "audit.html",
        title=f"Audit of {audit.data.sheet.title}",
        verdict=verdict(audit),
        has_leak=audit.has_leak,
        facts=facts_line(audit),
        findings=audit.findings,
        sections=sections,
        without=without,
        pairs=[_pair(audit, at) for at in range(min(len(audit.pairs), MAX_PAIRS))],
        num_pairs=len(audit.pairs),
        of_pairs=OF_PAIRS,
        tables=list(tables(audit)),
        sheet=audit.data.sheet,
    )


def _drawn(audit: Audit) -> tuple[list[Section], str | None]:
    """Return the sections that have figures, and why there is none, if so."""
    if not is_installed("vl_convert"):
        return [], NO_FIGURES
    try:
        return [section for section in _sections(audit) if section[2]], None
    except OutsideError as error:  # what was found is the matter: looking took long
        console.print(f"no figures: {error}", markup=False)
        return [], f"Without figures: {error}."


def _sections(audit: Audit) -> Iterator[Section]:
    """Yield id, heading, figures and the thresholds in them."""
    told = [*_column_figures(audit), *_baseline_figures(audit)]
    yield "columns", "What tells the label", told, [OF_COLUMNS, OF_BASELINES]
    yield "classes", "Classes", list(_class_figures(audit)), [OF_CLASSES]


def _column_figures(audit: Audit) -> Iterator[Markup]:
    columns = scored_columns(audit)
    best = {
        item.name: max(item.value_auroc, item.missing_auroc, key=_known) for item in columns
    }  # fmt: skip
    drawn = sorted(columns, key=lambda item: -_known(best[item.name]))[:MOST_DRAWN]
    rows = [
        {"name": _name(audit, item.name), "kind": kind, "value": round(value, 4)}
        for item in drawn
        for kind, value in ((VALUES, item.value_auroc), (EMPTY, item.missing_auroc))
        if value == value
    ]
    if not rows:
        return
    hidden = len(columns) - len(drawn)
    more = f" {hidden} more columns stand in the table alone." if hidden else ""
    thresholds = {VALUES: (HIGH_AUROC, PROXY_AUROC), EMPTY: (MISSING_AUROC,)}
    yield figure(
        scores(rows, thresholds, x="AUROC of the class it tells best", domain=(0.5, 1.0)),
        label="How well each column alone tells the label, with the thresholds",
        caption=f"0.5 is chance; dashed lines are thresholds.{more}",
    )


def _name(audit: Audit, name: str) -> str:
    is_withheld = any(item.name == name for item in audit.withheld)
    return f"{name} (never read)" if is_withheld else name


def _known(value: float) -> float:
    return value if value == value else 0.0


def _baseline_figures(audit: Audit) -> Iterator[Markup]:
    rows = [
        {
            "name": item.name,
            "kind": EMPTY if item.name == "missingness" else VALUES,
            "value": round(item.auroc, 4),
        }
        for item in audit.baselines
        if item.auroc == item.auroc
    ]
    if rows:
        thresholds = {VALUES: (HIGH_AUROC,), EMPTY: (MISSING_AUROC,)}
        yield figure(
            scores(rows, thresholds, x="test AUROC", domain=(0.5, 1.0)),
            label="How well all columns together tell the label, with the thresholds",
            caption="Together, without the image: classifiers of the metadata, and of which of "
            "them are missing.",
        )


def _class_figures(audit: Audit) -> Iterator[Markup]:
    counts = sorted(class_counts(audit).items(), key=lambda item: -item[1])
    if not counts:
        return
    rows: list[dict[str, Any]] = [
        {"name": name, "part": "images", "at": 0, "value": count}
        for name, count in counts[:MOST_CLASSES]
    ]
    hidden = len(counts) - len(rows)
    yield figure(
        stacked_bars(rows, x="images", least=RARE_CLASS),
        label="Images of each class, with the threshold",
        caption=f"{hidden} smaller classes are not drawn." if hidden else "",
    )


def _pair(audit: Audit, at: int) -> dict[str, Any]:
    """Return both images of a pair, and what they are."""
    item = audit.pairs[at]
    images: Sequence[tuple[str, str, Markup]] = [
        (name, side, picture(draw_tile(audit.data, row, side=SIDE), label=f"image {name}"))
        for name, side, row in zip(
            pair_names(audit, item), item.sides, (item.pair.first, item.pair.second), strict=True
        )
    ]
    return {
        "images": images,
        "difference": difference(item.pair),
        "share": max(0.0, min(1.0, (item.pair.correlation - ALIKE) / (1 - ALIKE))),
        "across": item.across,
    }
