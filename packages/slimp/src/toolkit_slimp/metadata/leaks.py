"""Metadata columns that `toolkit data audit` calls leaks: pre-training must not read them either.

An encoder that was aligned with a column that gives the label away has been trained on the label.
The audit's own thresholds and sentences decide. Missing cells that tell the label make no column a
leak: that is said, and the columns are read.
"""

from collections.abc import Sequence

from toolkit_common.audit.findings import Finding, column_findings, listed_findings
from toolkit_common.audit.proxies import ColumnFacts, describe_column
from toolkit_common.console import console
from toolkit_common.data.dataset import ImageData, Labels
from toolkit_common.errors import InputError
from toolkit_slimp.metadata.schema import Schema

TAIL = "; it is among the columns that are read: take it out"  # of what the audit advises
KINDS = ("label proxy", "post-dates the diagnosis")  # findings about one column


def find_leaks(data: ImageData, names: Sequence[str]) -> dict[str, str]:
    """Return those of some columns that the audit calls a leak for any label, and why.

    Labels are read for this, to refuse a column and for nothing else.
    """
    return _leaks_among(_score(data, names), data)


def refuse_leaks(data: ImageData, schema: Schema, *, accepted: Sequence[str] = ()) -> None:
    """Refuse a schema that reads a leak; prints whether empty cells tell a label.

    Args:
        data: The data set.
        schema: What is to be read of it.
        accepted: Columns that are read whatever the audit says of them.

    Raises:
        InputError: If it reads one, or a column is accepted that it does not read.
    """
    names = [column.name for column in schema.columns]
    if unread := [name for name in accepted if name not in names]:
        raise InputError(
            f"allow_leaks {', '.join(unread)}: no such column is read; read are {', '.join(names)}"
        )
    scored = _score(data, [name for name in names if name not in accepted])
    leaks = _leaks_among(scored, data)
    if leaks:
        first = next(iter(leaks.values()))
        raise InputError(
            f"the audit calls {', '.join(leaks)} of {data.id!r} a leak of the label ({first}): "
            "give a --schema without it, as toolkit data schema writes it, or accept it with "
            f"--allow-leaks {','.join(leaks)}"
        )
    for labels, columns in scored:
        for finding in column_findings(columns, data.sheet.acquisition):
            if finding.severity == "leak" and finding.kind == "missingness" and labels is not None:
                console.print(f"label {labels.name!r}: {finding.text}", markup=False)


def drop_leaks(data: ImageData, schema: Schema) -> Schema:
    """Return a schema without leaks; prints which were left out, and why.

    Raises:
        InputError: If nothing is left.
    """
    leaks = find_leaks(data, [column.name for column in schema.columns])
    for reason in leaks.values():
        console.print(f"left out: {reason}", markup=False)
    kept = tuple(column for column in schema.columns if column.name not in leaks)
    if not kept:
        raise InputError(
            f"all metadata columns of {data.id!r} are leaks of the label: {', '.join(leaks)}"
        )
    return Schema(kept)


def _score(data: ImageData, names: Sequence[str]) -> list[tuple[Labels | None, list[ColumnFacts]]]:
    """Score columns against every label of the sheet; against none where none can be read."""
    labels = [_labels(data, name) for name in data.sheet.labels]
    known: list[Labels | None] = [item for item in labels if item is not None]
    return [
        (item, [describe_column(data.table[name], item, groups=data.groups) for name in names])
        for item in known or [None]
    ]


def _labels(data: ImageData, name: str) -> Labels | None:
    if name not in data.table:
        return None
    try:
        return data.labels(name)
    except InputError:  # of one class: nothing to give away
        return None


def _leaks_among(
    scored: Sequence[tuple[Labels | None, list[ColumnFacts]]], data: ImageData
) -> dict[str, str]:
    leaks: dict[str, str] = {}
    for labels, columns in scored:
        for facts in columns:
            if (reason := _reason(facts, data, labels)) is not None:
                leaks.setdefault(facts.name, reason)
    return leaks


def _reason(facts: ColumnFacts, data: ImageData, labels: Labels | None) -> str | None:
    """Return the audit's sentence about one column, None where it has none that counts."""
    findings = [
        # A listed name without a label is a warning to the audit, as it may be the label that
        # nobody has named: all the more reason not to train on it.
        *listed_findings(data, labels, columns=[facts], withheld=[]),
        *(item for item in column_findings([facts], data.sheet.acquisition) if _is_leak(item)),
    ]
    texts = (item.text.removesuffix(TAIL) for item in findings if item.kind in KINDS)
    return next(texts, None)


def _is_leak(finding: Finding) -> bool:
    return finding.severity == "leak"
