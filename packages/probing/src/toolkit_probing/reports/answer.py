"""What a report leads with: the rows that it compares, by which metric, and the sentence."""

from collections.abc import Sequence
from dataclasses import dataclass

from toolkit_common.errors import InputError
from toolkit_probing.reports.claim import claim
from toolkit_probing.reports.entries import (
    NO_IMAGE,
    Differences,
    Entry,
    differences_of,
    entries_of,
    preferred,
)
from toolkit_probing.reports.recomputed import Report

HEADLINE = ("auroc", "balanced_accuracy")  # the first that a report has leads its page


@dataclass(frozen=True)
class Answer:
    """What a report says first.

    Attributes:
        metric: By which metric.
        entries: All its rows.
        differences: Of those that are compared; None without two.
        text: The sentence.
    """

    metric: str
    entries: Sequence[Entry]
    differences: Differences | None
    text: str


def answer_of(report: Report) -> Answer:
    """Return what a report leads with.

    Raises:
        InputError: If it has no metric.
    """
    metric, entries = headline(report), entries_of(report)
    contrasts = report.arms.contrasts
    differences = differences_of(_of_arms(entries) if contrasts else entries, metric)
    text = claim(entries, differences, metric, contrasts=contrasts)
    return Answer(metric, entries, differences, text)


def headline(report: Report) -> str:
    """Return the metric that leads a report.

    Raises:
        InputError: If it has none.
    """
    if not report.metrics:
        raise InputError("a page needs a metric besides confusion: add one to --metric")
    return next((name for name in HEADLINE if name in report.metrics), report.metrics[0])


def _of_arms(entries: Sequence[Entry]) -> list[Entry]:
    """Return one row an arm, of the method that its study names first, and what reads no image."""
    probes = [item for item in entries if item.kind != NO_IMAGE]
    firsts = {item.run: item.row.method for item in reversed(probes)}
    mine = [
        preferred([item for item in probes if (item.run, item.row.method) == key])
        for key in firsts.items()
    ]
    order = {id(item): at for at, item in enumerate(entries)}
    chosen = sorted(mine, key=lambda item: order[id(item)])
    return [*chosen, *(item for item in entries if item.kind == NO_IMAGE)]
