"""An audit in words and rows, which the terminal, Markdown and the page show alike; and as JSON."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from toolkit_common.audit.alike import ALIKE, DETAIL
from toolkit_common.audit.audit import Audit
from toolkit_common.audit.duplicates import Pair
from toolkit_common.audit.findings import (
    HIGH_AUROC,
    MISSING_AUROC,
    PROXY_AUROC,
    RARE_CLASS,
    ImagePair,
)
from toolkit_common.audit.proxies import ColumnFacts
from toolkit_common.printable import counted, first_of
from toolkit_common.scores.statistics import UNDEFINED

MAX_PAIRS = 24  # listed and pictured
MOST_CLASSES = 20  # in a line
CHANCE = 0.5  # AUROC
OF_COLUMNS = (
    f"AUROC of the values: a leak from {PROXY_AUROC:g} on, a warning from {HIGH_AUROC:g} on; of "
    f"being empty: a leak from {MISSING_AUROC:g} on, by classes large enough to decide"
)
OF_BASELINES = (
    f"the metadata together are a warning from an AUROC of {HIGH_AUROC:g} on, which of them are "
    f"missing a leak from {MISSING_AUROC:g} on"
)
OF_PAIRS = (
    f"near-duplicates: pixels, laid over each other, correlate by {ALIKE:g} or more and their "
    f"detail by {DETAIL:g}; equal images on two sides of the splits are a leak"
)
OF_CLASSES = f"a class of fewer than {RARE_CLASS} images is a warning"


@dataclass(frozen=True)
class FactTable:
    """A table of an audit.

    Attributes:
        title: Above it.
        names: Headings of the columns that name a row.
        figures: Headings of the columns of what is known of it.
        rows: Cells, those of the names first.
        thresholds: What is a leak or a warning in it.
        spare: How many of the last figures a narrow terminal does without.
    """

    title: str
    names: Sequence[str]
    figures: Sequence[str]
    rows: Sequence[Sequence[str]]
    thresholds: str
    spare: int = 0


def verdict(audit: Audit) -> str:
    """Return in one sentence whether anything would inflate a result, and how much there is."""
    counts = Counter[str](item.severity for item in audit.findings)
    leaks = counts["leak"]
    rest = ", ".join(counted(counts[kind], kind) for kind in ("warning", "note"))
    what = f"{audit.data.sheet.title} ({audit.data.id})"
    if leaks:
        would = counted(leaks, "leak")
        return f"LEAK in {what}: {would} would make a result look better than it is; {rest}"
    apart = [] if audit.labels is not None else ["columns were not scored, for want of a label"]
    apart += [] if audit.has_images else ["images were not looked at"]
    return "; ".join([f"No leak found in {what}", rest, *apart])


def facts_line(audit: Audit) -> str:
    """Return rows, classes and splits in a line."""
    return "; ".join(facts(audit))


def facts(audit: Audit) -> list[str]:
    """Return rows, classes and splits."""
    label = "no label"
    if audit.labels is not None:
        counts = [f"{name} {count:,}" for name, count in class_counts(audit).items()]
        label = f"label {audit.labels.name}: {first_of(counts, MOST_CLASSES)}"
    return [counted(len(audit.data), "image"), label, f"splits: {audit.splits}"]


def class_counts(audit: Audit) -> dict[str, int]:
    """Return the images of each class."""
    if audit.labels is None:
        return {}
    known = audit.labels.targets[audit.labels.targets >= 0]
    counts = np.bincount(known, minlength=len(audit.labels.classes))
    return dict(zip(audit.labels.classes, counts.tolist(), strict=True))


def tables(audit: Audit) -> Iterator[FactTable]:
    """Yield what findings rest on: columns, baselines, pairs of images."""
    if columns := scored_columns(audit):
        yield FactTable(
            "Each column against the label", ["column"],
            ["missing", "AUROC", "of class", "AUROC, empty", "of class", "distinct"],
            [_column_row(item) for item in columns], OF_COLUMNS, spare=1,
        )  # fmt: skip
    if audit.baselines:
        rows = [
            [item.name, str(item.columns), figure(item.auroc), figure(item.balanced_accuracy)]
            for item in audit.baselines
        ]
        yield FactTable(
            "What metadata say without the image", ["baseline"],
            ["columns", "test AUROC", "test balanced accuracy"], rows, OF_BASELINES,
        )  # fmt: skip
    if audit.pairs:
        rows = [
            [*pair_names(audit, item), " / ".join(item.sides), difference(item.pair)]
            for item in audit.pairs[:MAX_PAIRS]
        ]
        title = f"Duplicates (first {len(rows)} of {len(audit.pairs)} pairs)"
        yield FactTable(title, ["image", "image"], ["splits", "differs"], rows, OF_PAIRS)


def scored_columns(audit: Audit) -> list[ColumnFacts]:
    """Return what is known of every column, those that are never read first."""
    return [*audit.withheld, *audit.columns]


def pair_names(audit: Audit, item: ImagePair) -> tuple[str, str]:
    """Return the ids of both images."""
    ids = audit.data.table["image_id"]
    return str(ids.iloc[item.pair.first]), str(ids.iloc[item.pair.second])


def difference(pair: Pair) -> str:
    """Return in what two images differ."""
    if pair.exact:
        return "equal"
    turned = ", turned" if pair.turned else ""
    return f"correlate by {pair.correlation:.3f}{turned}"


def figure(value: float) -> str:
    """Return a figure; undefined is a word."""
    return UNDEFINED if math.isnan(value) else f"{value:.3f}"


def audit_json(audit: Audit) -> dict[str, Any]:
    """Return an audit as JSON-able facts; an undefined figure is null."""
    return {
        "id": audit.data.id,
        "title": audit.data.sheet.title,
        "verdict": verdict(audit),
        "images": len(audit.data),
        "label": None if audit.labels is None else audit.labels.name,
        "classes": class_counts(audit),
        "splits": audit.splits,
        "leak": audit.has_leak,
        "findings": [asdict(finding) for finding in audit.findings],
        "columns": [_defined(asdict(facts)) for facts in audit.columns],
        "withheld": [_defined(asdict(facts)) for facts in audit.withheld],
        "baselines": [_defined(asdict(baseline)) for baseline in audit.baselines],
        "duplicates": [
            {"images": list(pair_names(audit, item)), "splits": list(item.sides),
             "across": item.across, "distance": item.pair.distance, "exact": item.pair.exact,
             "turned": item.pair.turned, "correlation": round(item.pair.correlation, 4)}
            for item in audit.pairs
        ],
    }  # fmt: skip


def _column_row(item: ColumnFacts) -> list[str]:
    return [
        item.name, f"{item.missing:.1%}",
        figure(item.value_auroc), _told(item.value_auroc, item.value_class),
        figure(item.missing_auroc), _told(item.missing_auroc, item.missing_class),
        f"{item.distinct:,}",
    ]  # fmt: skip


def _told(auroc: float, word: str) -> str:
    """Return the class that is told best; of chance there is none."""
    return word if auroc > CHANCE else ""


def _defined(facts: dict[str, Any]) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in facts.items()
    }
