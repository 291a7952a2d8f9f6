"""`toolkit data audit`: what could make a result on this data look better than it is.

A finding is a `leak` (a result would be inflated, or a column must not be read), a `warning` (look
at it) or a `note`; `toolkit_common.data.findings` words them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from toolkit_common.data.base import SPLITS, ImageData, Labels
from toolkit_common.data.baselines import Baseline, metadata_baselines
from toolkit_common.data.duplicates import Hashes, find_duplicates
from toolkit_common.data.findings import (
    Finding,
    ImagePair,
    broken_findings,
    class_findings,
    column_findings,
    listed_findings,
    pair_findings,
    place_pairs,
)
from toolkit_common.data.overlaps import Overlap
from toolkit_common.data.proxies import ColumnFacts, describe_column
from toolkit_common.data.splits import Splits, keep_labelled, make_splits
from toolkit_common.errors import InputError

KEYS = ("group", "patient_id", "lesion_id")


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
    withheld = [
        describe_column(data.withheld[name], labels, groups=data.groups) for name in data.withheld
    ]
    found += [
        *class_findings(labels),
        *column_findings(columns, data.sheet.acquisition),
        *listed_findings(data, columns, withheld),
    ]
    pairs: list[ImagePair] = []
    if hashes is not None:
        pairs = place_pairs(find_duplicates(hashes), data, splits)
        found += [*broken_findings(hashes, len(data)), *pair_findings(pairs)]
    baselines = _baselines(data, labels, splits, found)
    order = ("leak", "warning", "note")
    found.sort(key=lambda finding: order.index(finding.severity))
    return Audit(data, labels, origin, columns, withheld, pairs, baselines, found)


def _inputs(data: ImageData, labels: Labels) -> list[str]:
    """Return the columns that somebody could read: all but keys and labels."""
    apart = {"image_id", "split", *KEYS, labels.name, *data.sheet.labels}
    return [str(name) for name in data.table.columns if name not in apart]


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
