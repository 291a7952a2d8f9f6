"""What an audit finds, in sentences: classes, columns, broken images, duplicates.

The thresholds are ours, chosen so that the documented leaks of PAD-UFES-20 (specs/traps.md 17:
`biopsed`, missing cells) are found and its honest columns (age) are not.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from toolkit_common.data.base import SPLITS, ImageData, Labels
from toolkit_common.data.duplicates import Hashes, Pair
from toolkit_common.data.proxies import ColumnFacts
from toolkit_common.data.splits import Splits

Severity = Literal["leak", "warning", "note"]

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


def class_findings(labels: Labels) -> Iterator[Finding]:
    """Yield rare classes, and how even the classes are."""
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


def column_findings(columns: Sequence[ColumnFacts]) -> Iterator[Finding]:
    """Yield columns that tell the label, are constant, or name single rows."""
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


def listed_findings(data: ImageData, withheld: Sequence[ColumnFacts]) -> Iterator[Finding]:
    """Yield columns on the sheet's lists: leaks and acquisition."""
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


def broken_findings(hashes: Hashes, total: int) -> Iterator[Finding]:
    """Yield how many images do not decode."""
    if hashes.problems:
        first = next(iter(hashes.problems.values()))
        text = f"{len(hashes.problems)} of {total} images do not decode (first: {first})"
        yield Finding("warning", "broken files", text)


def place_pairs(pairs: Sequence[Pair], data: ImageData, splits: Splits | None) -> list[ImagePair]:
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


def pair_findings(pairs: Sequence[ImagePair]) -> Iterator[Finding]:
    """Yield how many images occur twice, and where."""
    for exact, kind in ((True, "exact duplicates"), (False, "near-duplicates")):
        chosen = [item for item in pairs if item.pair.exact == exact]
        split = sum(item.sides[0] != item.sides[1] for item in chosen)
        across = sum(item.across for item in chosen)
        if chosen:
            severity: Severity = "leak" if exact and split else "warning" if across else "note"
            text = f"{len(chosen)} pairs, {across} across groups or splits, {split} across splits"
            yield Finding(severity, kind, text)
