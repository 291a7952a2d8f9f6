"""What a page compares: the rows of its runs under short names, with their predictions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from toolkit_common.scores.folds import estimate_fold_difference
from toolkit_common.scores.metrics import Predictions
from toolkit_common.scores.statistics import Difference, Estimate, adjust_holm, all_differences
from toolkit_probing.reports.recomputed import Recomputed, Report
from toolkit_probing.results.names import BETWEEN, short_names
from toolkit_probing.results.rows import Row
from toolkit_probing.results.saved import SavedRow, SavedRun, names_of
from toolkit_probing.task.subsets import ALL

Kind = Literal["probe", "no image read", "tuned encoder"]
NO_IMAGE: Kind = "no image read"
MOST_COMPARED = 24  # entries: their pairs grow with the square


@dataclass(frozen=True)
class Entry:
    """A row of a page.

    Attributes:
        name: Short, and no other's on the page.
        run: What names its run among the page's; nothing of one run.
        kind: What it is: only those of one kind are ranked with each other.
        saved: The row with its predictions.
        metrics: What the report recomputed, on all test images.
    """

    name: str
    run: str
    kind: Kind
    saved: SavedRow
    metrics: dict[str, Estimate]

    @property
    def row(self) -> Row:
        """Its entry in results.json."""
        return self.saved.row

    def value(self, metric: str) -> float | None:
        """Return a metric on all test images: what its interval is of, None if undefined."""
        estimate = self.metrics[metric]
        # Of folds the mean is over folds, and the interval of what counts images over all of them.
        return estimate.mean if estimate.pooled is None else estimate.pooled


def entries_of(report: Report) -> list[Entry]:
    """Return the rows of all runs with the most labels and the least hidden, baselines last."""
    whole = {(item.run, item.row.name): item for item in report.rows if item.column is None}
    probes: list[Entry] = []
    baselines: list[Entry] = []
    amounts = [most_labels(run) for run in report.runs]
    for run, label, amount in zip(report.runs, labels_of(report.runs), amounts, strict=True):
        least = least_hidden(run)
        rows = [saved for saved in run.rows.values() if saved.row.labels == amount and
                saved.row.hidden_metadata == least]  # fmt: skip
        for name, saved in zip(short_names([item.row for item in rows]), rows, strict=True):
            kind: Kind = "tuned encoder" if saved.row.is_tuned else "probe"
            few = f"{BETWEEN}{amount}" if len(set(amounts)) > 1 and amount != ALL else ""
            probes.append(_entry(f"{name}{few}", label, saved, kind=kind, whole=whole))
        for saved in (run.baselines[row.name] for row in baselines_beside(run)):
            entry = _entry(saved.row.method, label, saved, kind=NO_IMAGE, whole=whole)
            same = [item for item in baselines if item.row.method == entry.row.method]
            # Those of equal data are the same in every run.
            if not any(item.metrics == entry.metrics for item in same):
                plain = _entry(saved.row.method, "", saved, kind=NO_IMAGE, whole=whole)
                baselines.append(entry if same else plain)
    return [*probes, *baselines]


def most_labels(run: SavedRun) -> str:
    """Return the largest amount of labels that a run learned from."""
    amounts = {row.labels: float(np.mean(row.num_train)) for row in run.results.rows}
    return ALL if ALL in amounts else max(amounts, key=lambda name: amounts[name])


def baselines_beside(run: SavedRun) -> list[Row]:
    """Return the baselines that stand beside a run's rows of the most labels and the least hidden.

    They learned from as many labels; those of a run of before always from all.
    """
    amount, hidden = most_labels(run), least_hidden(run)
    shown = [row for row in run.results.baselines if row.hidden_metadata == hidden]
    return [row for row in shown if row.labels == amount] or shown


def least_hidden(run: SavedRun) -> float:
    """Return the smallest share of metadata that a run's test rows lack."""
    return min(row.hidden_metadata for row in run.results.rows)


def _entry(
    name: str,
    label: str,
    saved: SavedRow,
    *,
    kind: Kind,
    whole: dict[tuple[Path, str], Recomputed],
) -> Entry:
    metrics = whole[saved.run, saved.row.name].metrics
    return Entry(f"{name}{BETWEEN}{label}" if label else name, label, kind, saved, metrics)


def labels_of(runs: Sequence[SavedRun]) -> list[str]:
    """Return what tells rows of runs apart, nothing of one run or where their methods do."""
    methods = [method for run in runs for method in {row.method for row in run.results.rows}]
    first = runs[0].results
    are_alike = all(
        (each.data, each.protocol, each.backbone.id, each.backbone.random_weights)
        == (first.data, first.protocol, first.backbone.id, first.backbone.random_weights)
        for each in (run.results for run in runs)
    )
    if len(runs) == 1 or (are_alike and len(set(methods)) == len(methods)):
        return [""] * len(runs)
    return names_of(runs)


@dataclass(frozen=True)
class Differences:
    """Paired differences of entries by one metric, `[i][j]` of i from j, and adjusted p-values."""

    entries: Sequence[Entry]
    values: Sequence[Sequence[Difference]]
    p_holm: Sequence[Sequence[float | None]]

    def of(self, first: Entry, second: Entry) -> Difference:
        """Return how far the first lies above the second."""
        return self.values[self.entries.index(first)][self.entries.index(second)]


def differences_of(entries: Sequence[Entry], metric: str) -> Differences | None:
    """Compare the entries that were judged on the test images of the first; None without two.

    Of more than can be shown each method's first of each run and what reads no image come first.
    """
    alike = [item for item in _leading(entries) if _same_images(item.saved, entries[0].saved)]
    if len(alike) < 2:
        return None
    first = entries[0].saved
    sides = [_in_order(item, first) for item in alike]
    if first.folds is None:
        values = all_differences(sides, first.groups, name=metric)
    else:
        values = _over_folds(sides, first, metric)
    count = range(len(alike))
    pairs = [(i, j) for i in count for j in count if i < j]
    adjusted = dict(zip(pairs, adjust_holm([values[i][j].p for i, j in pairs]), strict=True))
    p_holm = [[adjusted.get((min(i, j), max(i, j))) for j in count] for i in count]
    return Differences(alike, values, p_holm)


def _over_folds(
    sides: Sequence[Sequence[Predictions]], first: SavedRow, metric: str
) -> list[list[Difference]]:
    """Return all differences over folds, where heads of two folds are never ranked together."""
    folds = first.folds
    assert folds is not None

    def between(one: int, other: int) -> Difference:
        pair = (sides[other], sides[one])
        return estimate_fold_difference(pair, first.groups, folds, names=[metric])[metric]

    count = range(len(sides))
    known = {(i, j): between(i, j) for i in count for j in count if i >= j}
    return [[known[i, j] if i >= j else _reversed(known[j, i]) for j in count] for i in count]


def _reversed(item: Difference) -> Difference:
    return replace(
        item,
        first=item.second,
        second=item.first,
        difference=None if item.difference is None else -item.difference,
        ci=None if item.ci is None else (-item.ci[1], -item.ci[0]),
    )


def preferred(entries: Sequence[Entry]) -> Entry:
    """Return the variant that the selection split prefers, the first of those alike."""

    def score(item: Entry) -> float:
        return -np.inf if item.row.select_score is None else item.row.select_score

    return max(entries, key=score)


def _leading(entries: Sequence[Entry]) -> list[Entry]:
    if len(entries) <= MOST_COMPARED:
        return list(entries)
    variants: dict[tuple[str, str, str], list[Entry]] = {}
    for item in entries:
        variants.setdefault((item.kind, item.row.method, item.run), []).append(item)
    chosen = [preferred(those) for those in variants.values()]
    ahead = [item for item in chosen if item.kind == NO_IMAGE]
    probes = [item for item in chosen if item.kind != NO_IMAGE]
    return [*probes[: MOST_COMPARED - len(ahead)], *ahead]


def _same_images(one: SavedRow, other: SavedRow) -> bool:
    """Whether rows were judged on the same images with the same truth: else nothing is paired."""
    if set(one.image_ids) != set(other.image_ids):
        return False
    order = _places(one, other)
    if (one.folds is None) != (other.folds is None):
        return False
    if (
        one.folds is not None
        and other.folds is not None
        and (one.folds[order] != other.folds).any()
    ):
        return False
    mine, theirs = one.predictions[0], other.predictions[0]
    return mine.num_classes == theirs.num_classes and bool(
        (mine.targets[order] == theirs.targets).all()
    )


def _in_order(item: Entry, first: SavedRow) -> list[Predictions]:
    at = _places(item.saved, first)
    return [
        Predictions(part.probabilities[at], part.targets[at]) for part in item.saved.predictions
    ]


def _places(one: SavedRow, other: SavedRow) -> np.ndarray:
    """Return where the images of the other stand in one."""
    at = {image: place for place, image in enumerate(one.image_ids)}
    return np.array([at[image] for image in other.image_ids])
