"""`toolkit data audit`: what could make a result on this data look better than it is.

A finding is a `leak` (a result would be inflated, or a column must not be read), a `warning` (look
at it) or a `note`; `toolkit_common.audit.findings` words them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from toolkit_common.audit.alike import read_greys
from toolkit_common.audit.baselines import Baseline, metadata_baselines
from toolkit_common.audit.duplicates import find_duplicates, hash_images
from toolkit_common.audit.findings import (
    Finding,
    ImagePair,
    baseline_findings,
    broken_findings,
    class_findings,
    column_findings,
    listed_findings,
    pair_findings,
    place_pairs,
    size_findings,
    uncompared_findings,
)
from toolkit_common.audit.overlaps import KEYS, find_overlaps, find_splits, load_other
from toolkit_common.audit.pixels import pixel_findings
from toolkit_common.audit.proxies import ColumnFacts, describe_column
from toolkit_common.audit.settings import AuditSettings
from toolkit_common.data.dataset import ImageData, Labels
from toolkit_common.data.sheet import Column
from toolkit_common.data.splits import Splits, keep_labelled
from toolkit_common.errors import InputError


@dataclass(frozen=True)
class Audit:
    """All that is known about a data set; `labels` is None where it has none to score against.

    `has_images` is whether its images were decoded.
    """

    data: ImageData
    labels: Labels | None
    splits: str
    columns: list[ColumnFacts]
    withheld: list[ColumnFacts]
    pairs: list[ImagePair]
    baselines: list[Baseline]
    findings: list[Finding]
    has_images: bool = True

    @property
    def has_leak(self) -> bool:
        """Whether any finding is a leak."""
        return any(finding.severity == "leak" for finding in self.findings)


def audit_data(data: ImageData, settings: AuditSettings) -> Audit:
    """Audit a data set.

    Args:
        data: The data set.
        settings: Without a label columns are scored against the first of the sheet's that is
            there, if any is.

    Raises:
        InputError: If there is no such label or other data, or the file of splits does not fit.
    """
    # What the user may have mistyped is looked at before any image is.
    labels, findings = _find_labels(data, settings.label)
    splits, shared = find_splits(data, settings)
    findings += shared
    other = load_other(settings.against) if settings.against else None
    hashes = hash_images(data) if settings.images else None
    if other is not None:
        findings += find_overlaps(data, other, hashes=hashes, splits=splits)
    columns = _score(data.table[_inputs(data, labels)], data, labels)
    # Columns that must never be read are scored too: a reader sees by how much they would cheat.
    withheld = _score(data.withheld, data, labels)
    findings += class_findings(labels) if labels is not None else ()
    findings += column_findings(columns, data.sheet.acquisition)
    findings += listed_findings(data, labels, columns=columns, withheld=withheld)
    pairs: list[ImagePair] = []
    sizes: list[ColumnFacts] = []
    if hashes is not None:
        duplicates = find_duplicates(hashes, partial(read_greys, data))
        pairs = place_pairs(duplicates.pairs, data, splits)
        names = ["picture's width in pixels", "picture's height in pixels"]
        # What does not decode has none.
        known = pd.DataFrame(hashes.sizes, columns=names).where(hashes.sizes > 0)
        sizes = _score(known, data, labels)
        findings += [*broken_findings(hashes, len(data)), *pair_findings(pairs, labels)]
        findings += uncompared_findings(duplicates)
        findings += [*size_findings(sizes), *pixel_findings(data)]
    baselines, problems = _baselines(data, labels, splits, columns=columns)
    # What inflates a result first.
    order = ("leak", "warning", "note")
    findings = sorted(findings + problems, key=lambda finding: order.index(finding.severity))
    origin = "none" if splits is None else splits.origin
    return Audit(
        data, labels, origin, columns + sizes, withheld, pairs, baselines, findings,
        has_images=hashes is not None,
    )  # fmt: skip


def _find_labels(data: ImageData, name: str | None) -> tuple[Labels | None, list[Finding]]:
    """Return the label of that name, else the first that can be scored against, else none: why."""
    if name is not None:
        return data.labels(name), []
    reason = f"no label: {data.id!r} has no column {' or '.join(map(repr, data.sheet.labels))}"
    for candidate in (item for item in data.sheet.labels if item in data.table):
        try:
            return data.labels(candidate), []
        except InputError as error:
            reason = str(error)
    text = (f"{reason}; columns were not scored and no baseline was fitted: name a label's column "
            "with --label")  # fmt: skip
    return None, [Finding("warning", "no label", text)]


def _inputs(data: ImageData, labels: Labels | None) -> list[str]:
    """Return the columns that somebody could read: all but keys and labels."""
    apart = {"image_id", "split", *KEYS, *data.sheet.labels}
    apart |= {labels.name} if labels is not None else set()
    return [str(name) for name in data.table.columns if name not in apart]


def _score(table: pd.DataFrame, data: ImageData, labels: Labels | None) -> list[ColumnFacts]:
    return [describe_column(table[name], labels, groups=data.groups) for name in table]


def _baselines(
    data: ImageData,
    labels: Labels | None,
    splits: Splits | None,
    *,
    columns: Sequence[ColumnFacts],
) -> tuple[list[Baseline], list[Finding]]:
    """Fit the baselines on the sheet's columns, or on what a table without a sheet shows."""
    if splits is None or labels is None:
        return [], []
    shown = None
    if not data.sheet.columns:
        shown = [
            Column(facts.name, "lesion", "numeric" if facts.numbers else "categorical")
            for facts in columns
            if facts.name not in data.sheet.acquisition
        ]
    frequent, left_out = _leave_out_rare(labels, splits)
    try:
        kept = keep_labelled(splits, data, frequent)
        baselines = metadata_baselines(data, frequent, kept, columns=shown)
    except InputError as error:
        return [], [Finding("warning", "baselines", str(error))]
    return baselines, [*left_out, *baseline_findings(baselines)]


def _leave_out_rare(labels: Labels, splits: Splits) -> tuple[Labels, list[Finding]]:
    """Return the label without classes that cannot be both learned and tested; a run refuses them.

    With fewer than two classes left all stay, and the refusal says why.
    """
    count = len(labels.classes)
    total = np.bincount(labels.targets[labels.targets >= 0], minlength=count)
    learned = labels.targets[splits.train]
    is_kept = (total > 1) & (np.bincount(learned[learned >= 0], minlength=count) > 0)
    if is_kept.all() or is_kept.sum() < 2:
        return labels, []
    codes = np.append(np.where(is_kept, np.cumsum(is_kept) - 1, -1), -1)  # -1 stays -1
    kept = tuple(name for name, keep in zip(labels.classes, is_kept, strict=True) if keep)
    rare = ", ".join(name for name in labels.classes if name not in kept)
    left_out = Finding("note", "baselines", f"classes of too few images were left out: {rare}")
    return Labels(labels.name, kept, codes[labels.targets]), [left_out]
