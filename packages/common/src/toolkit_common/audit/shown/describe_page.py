"""A data set as one page: whether it can be probed, its card with pictures, what its columns hold.

Where it has no label, all images are one class.
"""

from typing import Any

import numpy as np
from markupsafe import Markup

from toolkit_common.audit.shown.card import DataCard, count_classes, render_card
from toolkit_common.audit.shown.description import CANNOT, INCOMPLETE, describe_verdict, fact_lines
from toolkit_common.audit.shown.examples import examples_of, without_labels
from toolkit_common.data.dataset import SPLITS, ImageData, Labels
from toolkit_common.data.splits import make_splits
from toolkit_common.errors import InputError
from toolkit_common.pages.charts import figure
from toolkit_common.pages.data_charts import shares
from toolkit_common.pages.page import render

MOST_DRAWN = 40  # columns: those with the most empty cells
NO_SPLIT = "no split"


def describe_page(data: ImageData, labels: Labels | None, described: dict[str, Any]) -> str:
    """Return a page about a data set.

    Args:
        data: The data set.
        labels: Whose classes are counted and pictured; None where it has no label.
        described: What `describe_data` returned of it.

    Raises:
        InputError: If vl-convert is not installed.
    """
    verdict = describe_verdict(described)
    return render(
        "toolkit_common.audit.shown",
        "describe.html",
        title=f"{described['title']} ({described['id']})",
        verdict=verdict,
        is_bad=verdict.startswith((CANNOT, INCOMPLETE)),
        problems=described["label_problems"],
        card=render_card(_card(data, labels or without_labels(data), described)),
        columns=described["columns"],
        missing=_missing(described["columns"]),
        notes=[*described["choices"], *described["notes"]],
    )


def _card(data: ImageData, labels: Labels, described: dict[str, Any]) -> DataCard:
    return DataCard(
        facts=list(fact_lines(described)),
        label=labels.name or "images",
        classes=labels.classes,
        counts=count_classes(labels.targets, _splits(data), len(labels.classes)),
        examples=list(examples_of(data, labels)),
    )


def _splits(data: ImageData) -> dict[str, np.ndarray]:
    """Return the rows of each split, and those that are in none."""
    rows = np.arange(len(data))
    try:
        splits = make_splits(data)
    except InputError:  # the verdict says why
        return {NO_SPLIT: rows}
    parts = {name: splits[name] for name in SPLITS}
    rest = np.setdiff1d(rows, splits.all)
    return {**parts, NO_SPLIT: rest} if rest.size else parts


def _missing(columns: dict[str, dict[str, Any]]) -> Markup | None:
    some = [(name, facts["missing"]) for name, facts in columns.items() if facts["missing"]]
    if not some:
        return None
    drawn = sorted(some, key=lambda item: -item[1])[:MOST_DRAWN]
    rest = len(columns) - len(some)
    rows = [{"name": name, "value": round(value, 4)} for name, value in drawn]
    return figure(
        shares(rows, x="empty cells"),
        label="Share of empty cells of each column",
        caption=f"{rest} more columns have none." if rest else "",
    )
