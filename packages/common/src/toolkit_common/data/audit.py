"""`toolkit data audit`: what could make a result on this data look better than it is.

A finding is a `leak` (a result would be inflated, or a column must not be read), a `warning` (look
at it) or a `note`. The thresholds are ours, chosen so that the documented leaks of PAD-UFES-20
(specs/traps.md 17: `biopsed`, missing cells) are found and its honest columns (age) are not.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import pandas as pd

from toolkit_common.data.base import SPLITS, ImageData, Labels
from toolkit_common.data.baselines import Baseline, metadata_baselines
from toolkit_common.data.duplicates import Hashes, Pair, find_duplicates
from toolkit_common.data.overlaps import Overlap
from toolkit_common.data.proxies import ColumnFacts, describe_column
from toolkit_common.data.splits import Splits, keep_labelled, make_splits
from toolkit_common.errors import InputError

Severity = Literal["leak", "warning", "note"]

KEYS = ("group", "patient_id", "lesion_id")
PROXY_AUROC = 0.95  # a column of the table that tells the label this well is a proxy
HIGH_AUROC = 0.9
MISSING_AUROC = 0.7  # empty cells that tell the label this well
RARE_CLASS = 10  # images


@dataclass(frozen=True)
class Finding:
    """One thing that was found, in a sentence."""

    severity: Severity
    kind: str
    text: str


@dataclass(frozen=True)
class ImagePair:
    """Two images that show the same; `sides` says where each lies."""

    pair: Pair
    sides: tuple[str, str]
    across: bool


@dataclass(frozen=True)
class Audit:
    """All that was found about a data set."""

    data: ImageData
    labels: Labels
    splits: str
    columns: list[ColumnFacts]
    withheld: list[ColumnFacts]
    pairs: list[ImagePair]
    baselines: list[Baseline]
    findings: list[Finding]

    @property
    def has_leak(self) -> bool:
        """Whether any finding is a leak."""
        return any(finding.severity == "leak" for finding in self.findings)


def audit_data(
    data: ImageData,
    *,
    label: str | None = None,
    split_seed: int = 0,
    hashes: Hashes | None = None,
    overlaps: Sequence[Overlap] = (),
) -> Audit:
    """Audit a data set.

    Args:
        data: The data set.
        label: Label that columns are scored against; the sheet's default when None.
        split_seed: Of the splits, where the data set has none of its own.
        hashes: Of all images, for broken files and duplicates; None leaves images out.
        overlaps: What it shares with other data, see `toolkit_common.data.overlaps`.

    Raises:
        InputError: If there is no such label.
    """
    labels = data.labels(label)
    found = [*_shared(overlaps), *_split_overlaps(data)]
    splits, origin = _splits(data, split_seed, found)
    columns = [
        describe_column(data.table[name], labels, groups=data.groups)
        for name in _inputs(data, labels)
    ]
    withheld = _withheld(data, labels)
    found += [*_class_findings(labels), *_column_findings(columns), *_listed(data, withheld)]
    pairs: list[ImagePair] = []
    if hashes is not None:
        pairs = _place_pairs(find_duplicates(hashes), data, splits)
        found += [*_broken(hashes, len(data)), *_pair_findings(pairs)]
    baselines = _baselines(data, labels, splits, found)
    order = ("leak", "warning", "note")
    found.sort(key=lambda finding: order.index(finding.severity))
    return Audit(data, labels, origin, columns, withheld, pairs, baselines, found)


def _inputs(data: ImageData, labels: Labels) -> list[str]:
    """Return the columns that somebody could read: all but keys, labels and what is withheld."""
    apart = {"image_id", "split", *KEYS, labels.name, *data.sheet.labels, *data.sheet.leaks}
    return [str(name) for name in data.table.columns if name not in apart]


def _withheld(data: ImageData, labels: Labels) -> list[ColumnFacts]:
    inside = data.table[[name for name in data.sheet.leaks if name in data.table]]
    columns = pd.concat([data.withheld, inside], axis=1)
    return [describe_column(columns[name], labels, groups=data.groups) for name in columns]


def _splits(data: ImageData, seed: int, found: list[Finding]) -> tuple[Splits | None, str]:
    try:
        splits = make_splits(data, seed=seed)
    except InputError as error:
        found.append(Finding("warning", "splits", str(error)))
        return None, "none"
    return splits, splits.origin


def _split_overlaps(data: ImageData) -> Iterator[Finding]:
    """Yield the keys that lie in two of the data set's own splits."""
    if "split" not in data.table:
        return
    for key in (key for key in KEYS if key in data.table):
        for first, second in combinations(SPLITS, 2):
            sides = [set(data.table[key][data.table["split"] == name]) for name in (first, second)]
            shared = sorted(str(item) for item in sides[0] & sides[1] if item == item)
            if shared:
                yield Finding(
                    "leak", "group overlap",
                    f"{len(shared)} {key} values are in {first} and in {second} "
                    f"(first: {shared[0]}): keep each on one side",
                )  # fmt: skip


def _shared(overlaps: Sequence[Overlap]) -> Iterator[Finding]:
    for overlap in overlaps:
        yield Finding(
            "leak" if overlap.leak else "warning", f"shared with {overlap.other}", overlap.text
        )


def _class_findings(labels: Labels) -> Iterator[Finding]:
    counts = np.bincount(labels.targets[labels.targets >= 0], minlength=len(labels.classes))
    for name, count in zip(labels.classes, counts.tolist(), strict=True):
        if count < RARE_CLASS:
            yield Finding("warning", "class balance", f"class {name!r} has {count} images")
    most, least = int(counts.max()), int(counts.min())
    told = f"{most} images of each class"
    if most > least:
        first, last = (labels.classes[int(at)] for at in (counts.argmax(), counts.argmin()))
        told = f"{most / max(1, least):.1f} times as many images of {first!r} as of {last!r}"
    yield Finding("note", "class balance", told)


def _column_findings(columns: Sequence[ColumnFacts]) -> Iterator[Finding]:
    telling = [facts for facts in columns if facts.missing_auroc >= MISSING_AUROC]
    if telling:
        best = max(telling, key=lambda facts: facts.missing_auroc)
        yield Finding(
            "leak", "missingness",
            f"empty cells tell {best.missing_class!r}: AUROC {best.missing_auroc:.3f} from "
            f"{best.name!r} being empty ({len(telling)} such columns: "
            f"{', '.join(facts.name for facts in telling)}); impute without an indicator, or use "
            "complete rows",
        )  # fmt: skip
    for facts in columns:
        if facts.value_auroc >= HIGH_AUROC:
            proxy = facts.value_auroc >= PROXY_AUROC
            yield Finding(
                "leak" if proxy else "warning", "label proxy",
                f"column {facts.name!r} alone tells {facts.value_class!r}: AUROC "
                f"{facts.value_auroc:.3f}; was it known before the diagnosis?",
            )  # fmt: skip
        if facts.constant:
            yield Finding("note", "constant", f"column {facts.name!r} has one value or none")
        if facts.id_like:
            text = f"column {facts.name!r} is like an id: {facts.distinct} distinct words"
            yield Finding("warning", "id-like", text)


def _listed(data: ImageData, withheld: Sequence[ColumnFacts]) -> Iterator[Finding]:
    for facts in withheld:
        told = f", AUROC {facts.value_auroc:.3f}" if facts.value_auroc == facts.value_auroc else ""
        kept = "is among the rows" if facts.name in data.table else "is never read as an input"
        yield Finding(
            "leak", "post-dates the diagnosis",
            f"column {facts.name!r} is on the sheet's leak list ({data.sheet.leaks[facts.name]})"
            f"{told}; it {kept}",
        )  # fmt: skip
    for name, reason in data.sheet.acquisition.items():
        if name in data.table:
            yield Finding("warning", "acquisition", f"column {name!r}: {reason}")


def _broken(hashes: Hashes, total: int) -> Iterator[Finding]:
    if hashes.problems:
        first = next(iter(hashes.problems.values()))
        text = f"{len(hashes.problems)} of {total} images do not decode (first: {first})"
        yield Finding("warning", "broken files", text)


def _place_pairs(pairs: Sequence[Pair], data: ImageData, splits: Splits | None) -> list[ImagePair]:
    """Say of each pair in which splits its images lie; pairs across splits or groups come first."""
    side = np.full(len(data), "no split", dtype=object)
    for name in SPLITS if splits is not None else ():
        side[splits[name]] = name  # type: ignore[index]
    groups = np.arange(len(data)) if data.groups is None else data.groups
    placed = [
        ImagePair(
            pair,
            (side[pair.first], side[pair.second]),
            bool(
                side[pair.first] != side[pair.second] or groups[pair.first] != groups[pair.second]
            ),
        )
        for pair in pairs
    ]
    return sorted(placed, key=lambda item: (not item.across, not item.pair.exact))


def _pair_findings(pairs: Sequence[ImagePair]) -> Iterator[Finding]:
    for exact, kind in ((True, "exact duplicates"), (False, "near-duplicates")):
        chosen = [item for item in pairs if item.pair.exact == exact]
        split = sum(item.sides[0] != item.sides[1] for item in chosen)
        across = sum(item.across for item in chosen)
        if chosen:
            severity: Severity = "leak" if exact and split else "warning" if across else "note"
            text = f"{len(chosen)} pairs, {across} across groups or splits, {split} across splits"
            yield Finding(severity, kind, text)


def _baselines(
    data: ImageData, labels: Labels, splits: Splits | None, found: list[Finding]
) -> list[Baseline]:
    if splits is None:
        return []
    try:
        return metadata_baselines(data, labels, keep_labelled(splits, data, labels))
    except InputError as error:
        found.append(Finding("warning", "baselines", str(error)))
        return []
