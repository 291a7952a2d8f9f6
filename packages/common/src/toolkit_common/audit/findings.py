"""What an audit finds, in sentences: classes, columns, broken images, duplicates.

The thresholds are ours, chosen so that the documented leaks of PAD-UFES-20 (docs/traps.md 17:
`biopsed`, missing cells) count as such and its honest columns (age) do not.
"""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from toolkit_common.audit.baselines import Baseline
from toolkit_common.audit.duplicates import MOST_COMPARED, Duplicates, Hashes, Pair
from toolkit_common.audit.proxies import ColumnFacts
from toolkit_common.data.dataset import SPLITS, ImageData, Labels
from toolkit_common.data.splits import Splits
from toolkit_common.printable import counted

Severity = Literal["leak", "warning", "note"]

PROXY_AUROC = 0.95  # a column of the table that tells the label this well is a proxy
HIGH_AUROC = 0.9
MISSING_AUROC = 0.7  # empty cells that tell the label this well
RARE_CLASS = 10  # images
NO_SPLIT = "no split"
FEW = " (so few rows or groups that it may be chance)"
SMALL = " (a class of so few images that it decides little)"


@dataclass(frozen=True)
class Finding:
    """One thing that could make a result look better than it is, in a sentence."""

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
            yield Finding(
                "warning", "class balance", f"class {name!r} has {counted(count, 'image')}"
            )
    most, least = int(counts.max()), int(counts.min())
    text = f"{most} images of each class"
    if most > least:
        first, last = (labels.classes[int(at)] for at in (counts.argmax(), counts.argmin()))
        # A class may have no image.
        text = f"{most / max(1, least):.1f} times as many images of {first!r} as of {last!r}"
    yield Finding("note", "class balance", text)


def column_findings(
    columns: Sequence[ColumnFacts], acquisition: Collection[str] = ()
) -> Iterator[Finding]:
    """Yield columns that tell the label, are constant, or name single rows.

    What chance may give to so few rows is a warning, and so is what tells of the acquisition: it is
    not read unless asked for.
    """
    telling = [facts for facts in columns if facts.missing_auroc >= MISSING_AUROC]
    for is_leak in (True, False):
        of_sort = [
            facts for facts in telling
            if (facts.missing_large_auroc >= MISSING_AUROC and facts.name not in acquisition)
            == is_leak
        ]  # fmt: skip
        if of_sort:
            yield _missing_finding(of_sort, "leak" if is_leak else "warning")
    for facts in columns:
        if max(facts.value_auroc, np.nan_to_num(facts.value_large_auroc)) >= HIGH_AUROC:
            yield _proxy_finding(facts, is_acquisition=facts.name in acquisition)
        if facts.constant:
            yield Finding("note", "constant", f"column {facts.name!r} has one value or none")
        if facts.id_like:
            text = f"column {facts.name!r} is like an id: {facts.distinct} distinct words"
            yield Finding("warning", "id-like", text)


def _proxy_finding(facts: ColumnFacts, *, is_acquisition: bool) -> Finding:
    is_proxy = facts.value_large_auroc >= PROXY_AUROC
    auroc, word, doubt = facts.value_auroc, facts.value_class, ""
    if is_proxy:  # the class that makes it one, which need not be the one that is told best
        auroc, word = facts.value_large_auroc, facts.value_large_class
    elif not facts.value_sure:
        doubt = FEW
    elif auroc >= PROXY_AUROC:
        doubt = SMALL
    return Finding(
        "leak" if is_proxy and not is_acquisition else "warning", "label proxy",
        f"column {facts.name!r} alone tells {word!r}: AUROC {auroc:.3f}{doubt}; was it known "
        "before the diagnosis?",
    )  # fmt: skip


def _missing_finding(telling: Sequence[ColumnFacts], severity: Severity) -> Finding:
    if severity == "leak":
        best = max(telling, key=lambda facts: facts.missing_large_auroc)
        auroc, word, doubt = best.missing_large_auroc, best.missing_large_class, ""
    else:
        best = max(telling, key=lambda facts: facts.missing_auroc)
        auroc, word, doubt = best.missing_auroc, best.missing_class, ""
        if not best.missing_sure:
            doubt = FEW
        elif not best.missing_large_auroc >= MISSING_AUROC:  # undefined ones too
            doubt = SMALL
    return Finding(
        severity, "missingness",
        f"empty cells tell {word!r}: AUROC {auroc:.3f} from "
        f"{best.name!r} being empty{doubt} ({len(telling)} such columns: "
        f"{', '.join(facts.name for facts in telling)}); impute without an indicator, or use "
        "complete rows",
    )  # fmt: skip


def listed_findings(
    data: ImageData,
    labels: Labels | None,
    *,
    columns: Sequence[ColumnFacts],
    withheld: Sequence[ColumnFacts],
) -> Iterator[Finding]:
    """Yield columns on the sheet's lists: leaks that are read, leaks withheld, acquisition.

    A table without a sheet of its own is held against the suspects, one of which may be the label
    that nobody has named.
    """
    listed = data.sheet.leaks or data.sheet.suspects
    for facts in columns:
        if facts.name in listed:
            is_unread = facts.name in data.sheet.unread
            severity: Severity = "note" if is_unread else "warning" if labels is None else "leak"
            end = "not read unless ?columns= names it" if is_unread else (
                "it is among the columns that are read: take it out"
            )  # fmt: skip
            yield Finding(
                severity, "post-dates the diagnosis",
                f"column {facts.name!r} is on a leak list ({listed[facts.name]}){_auroc(facts)}; "
                f"{end}",
            )  # fmt: skip
    for facts in withheld:
        yield Finding(
            "note", "post-dates the diagnosis",
            f"column {facts.name!r} is on the sheet's leak list ({data.sheet.leaks[facts.name]})"
            f"{_auroc(facts)}; withheld, never read",
        )  # fmt: skip
    for name, reason in data.sheet.acquisition.items():
        if name in data.table:
            yield Finding("warning", "acquisition", f"column {name!r}: {reason}")


def _auroc(facts: ColumnFacts) -> str:
    if not math.isnan(facts.value_auroc):
        return f", AUROC {facts.value_auroc:.3f}"
    filled = not math.isnan(facts.missing_auroc)
    return f", AUROC {facts.missing_auroc:.3f} by being empty" if filled else ""


def broken_findings(hashes: Hashes, total: int) -> Iterator[Finding]:
    """Yield how many images do not decode."""
    if hashes.problems:
        first = next(iter(hashes.problems.values()))
        text = f"{len(hashes.problems)} of {total} images do not decode (first: {first})"
        yield Finding("warning", "broken files", text)


def size_findings(sizes: Sequence[ColumnFacts]) -> Iterator[Finding]:
    """Yield whether the size of the picture tells the label: who took it, or which part it is of.

    A warning: an encoder sees pictures of one size, and traces of the other.
    """
    # NaN would win or lose by its place in the list.
    best = max(sizes, key=lambda facts: np.nan_to_num(facts.value_auroc))
    if best.value_auroc >= HIGH_AUROC:
        yield Finding(
            "warning", "image size",
            f"the {best.name} alone tells {best.value_class!r}: AUROC {best.value_auroc:.3f}"
            f"{'' if best.value_sure else FEW}; were the classes photographed or cut alike?",
        )  # fmt: skip


def place_pairs(pairs: Sequence[Pair], data: ImageData, splits: Splits | None) -> list[ImagePair]:
    """Say of each pair in which splits its images lie; pairs across splits or groups come first."""
    side = np.full(len(data), NO_SPLIT, dtype=object)
    for name in SPLITS if splits is not None else ():
        side[splits[name]] = name  # type: ignore[index]
    groups = np.arange(len(data)) if data.groups is None else data.groups
    placed = []
    for pair in pairs:
        sides = (side[pair.first], side[pair.second])
        of_two = bool(groups[pair.first] != groups[pair.second])
        placed.append(ImagePair(pair, sides, of_two or _across_splits(sides)))
    # Those that inflate results first; pictures are shown of the first alone.
    return sorted(placed, key=lambda item: (not item.across, not item.pair.exact))


def pair_findings(pairs: Sequence[ImagePair], labels: Labels | None) -> Iterator[Finding]:
    """Yield how many images occur twice, and where; and which have two labels.

    A near-duplicate is a warning though its pixels agree: it may be a second photograph, and of
    drawn pictures one in thousands is like another.
    """
    for kind, exact, turned in (
        ("exact duplicates", True, False),
        ("near-duplicates", False, False),
        ("mirrored or turned near-duplicates", False, True),
    ):
        chosen = [item for item in pairs if (item.pair.exact, item.pair.turned) == (exact, turned)]
        split = sum(_across_splits(item.sides) for item in chosen)
        across = sum(item.across for item in chosen)
        if chosen:
            severity: Severity = "leak" if exact and split else "warning" if across else "note"
            text = (
                f"{counted(len(chosen), 'pair')}, {across} across groups or splits, {split} "
                "across splits"
            )
            yield Finding(severity, kind, text)
    if labels is not None:
        equal = [item.pair for item in pairs if item.pair.exact]
        two = [labels.targets[[pair.first, pair.second]].tolist() for pair in equal]
        # Without a label there is nothing to contradict.
        two = [codes for codes in two if -1 not in codes and codes[0] != codes[1]]
        if two:
            first, second = (labels.classes[code] for code in two[0])
            number = counted(len(two), "pair of equal images has", "pairs of equal images have")
            text = f"{number} two labels (first: {first}, {second})"
            yield Finding("warning", "contradicting labels", text)


def uncompared_findings(duplicates: Duplicates) -> Iterator[Finding]:
    """Yield how many pairs the hashes proposed that no pixel was compared of."""
    if duplicates.not_compared:
        text = (
            f"{duplicates.not_compared} further pairs are alike by their hashes and were not "
            f"compared pixel by pixel (the nearest {MOST_COMPARED} were): pictures this simple "
            "are alike without being copies"
        )
        yield Finding("note", "near-duplicates", text)


def baseline_findings(baselines: Sequence[Baseline]) -> Iterator[Finding]:
    """Yield what the metadata tell together, or which of them are missing."""
    for baseline in baselines:
        few = "" if baseline.sure else FEW
        # Classes that are too small to decide are in the figure, as in a run's.
        is_leak = baseline.sure and baseline.large_auroc >= MISSING_AUROC
        figure = f"test AUROC {baseline.auroc:.3f} from {counted(baseline.columns, 'column')}{few}"
        if baseline.name == "missingness" and baseline.auroc >= MISSING_AUROC:
            yield Finding(
                "leak" if is_leak else "warning", "missingness baseline",
                f"which cells are empty tells the label: {figure}; impute without an indicator, or "
                "use complete rows",
            )  # fmt: skip
        if baseline.name == "metadata" and baseline.auroc >= HIGH_AUROC:
            text = f"the columns together tell the label without the image: {figure}"
            yield Finding("warning", "metadata baseline", f"{text}; were they known before it?")


def _across_splits(sides: tuple[str, str]) -> bool:
    """Whether two images lie on two sides of the splits; one that is in none is on no side."""
    return sides[0] != sides[1] and NO_SPLIT not in sides
