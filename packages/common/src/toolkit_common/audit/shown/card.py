"""A data card on a page: patients, splits, classes, example pictures, audit verdict, licence.

Pages of data sets and of probes hold the same one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from toolkit_common.audit.findings import RARE_CLASS
from toolkit_common.audit.shown.examples import CLASSES_ON_PAGE, Examples
from toolkit_common.data.dataset import SPLITS
from toolkit_common.pages.charts import figure
from toolkit_common.pages.data_charts import stacked_bars
from toolkit_common.pages.page import render

MOST_DRAWN = 20  # classes: those with the most images


@dataclass(frozen=True)
class Audited:
    """What is known of leaks.

    Attributes:
        source: Who looked: an audit that was recorded, or the checks of a run.
        text: What was found.
        is_bad: Whether a leak was.
        lines: More of it.
    """

    source: str
    text: str
    is_bad: bool
    lines: Sequence[str] = ()


@dataclass(frozen=True)
class DataCard:
    """What a data card shows.

    Attributes:
        facts: Names and values, in words.
        label: Whose classes.
        counts: Split -> images of each class, in the order of `classes`.
        classes: Their names.
        audited: What is known of leaks; None where nobody has looked.
        examples: Pictures of each class.
        why_no_examples: Why there are none.
        name: What tells the card from others of its page.
    """

    facts: Sequence[tuple[str, str]]
    label: str
    counts: Mapping[str, Sequence[int]]
    classes: Sequence[str]
    audited: Audited | None = None
    examples: Sequence[Examples] = ()
    why_no_examples: str = ""
    name: str = ""


def count_classes(targets: np.ndarray, splits: Mapping[str, np.ndarray], num_classes: int) -> (
    dict[str, list[int]]
):  # fmt: skip
    """Return the images of each class in each split; rows without a label count nowhere.

    Args:
        targets: Class of each row, -1 without.
        splits: Name -> its rows.
        num_classes: How many classes there are.
    """
    counts = {}
    for name, rows in splits.items():
        known = targets[rows]
        counts[name] = np.bincount(known[known >= 0], minlength=num_classes).tolist()
    return counts


def render_card(card: DataCard) -> Markup:
    """Return a data card as a part of a page.

    Raises:
        InputError: If vl-convert is not installed.
    """
    names = [name for name in (*SPLITS, *card.counts) if name in card.counts]
    splits = list(dict.fromkeys(names))
    totals = [sum(card.counts[name][at] for name in splits) for at in range(len(card.classes))]
    rows = [
        (name, [card.counts[split][at] for split in splits], totals[at])
        for at, name in enumerate(card.classes)
    ]
    return Markup(
        render(
            "toolkit_common.audit.shown",
            "card.html",
            card=card,
            splits=splits,
            rows=rows,
            sums=[sum(card.counts[split]) for split in splits],
            chart=_chart(card, splits, totals) if card.classes and splits else None,
            more_classes=max(0, len(card.classes) - CLASSES_ON_PAGE),
        )
    )


def _chart(card: DataCard, splits: Sequence[str], totals: Sequence[int]) -> Markup:
    drawn = sorted(range(len(totals)), key=lambda at: -totals[at])[:MOST_DRAWN]
    rows = [
        {"name": card.classes[at], "part": split, "at": place, "value": card.counts[split][at]}
        for at in drawn
        for place, split in enumerate(splits)
    ]
    hidden = len(totals) - len(drawn)
    caption = f"Dashed: {RARE_CLASS} images, below which a class says little."
    if hidden:
        caption += f" The {hidden} smallest of {len(totals)} classes stand in the table alone."
    return figure(
        stacked_bars(rows, x="images", least=RARE_CLASS),
        label=f"Images of each class of {card.label} in each split",
        caption=caption,
    )
