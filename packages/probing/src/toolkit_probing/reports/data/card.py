"""The data card of a run: patients, splits, classes, leaks, licence, and pictures of each class."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from markupsafe import Markup

from toolkit_common.audit.records import AuditRecord, find_audit
from toolkit_common.audit.shown.card import Audited, DataCard, count_classes, render_card
from toolkit_common.audit.shown.examples import Examples, examples_of
from toolkit_common.data.dataset import SPLITS, ImageData
from toolkit_common.data.splits import Splits, read_splits
from toolkit_common.errors import InputError
from toolkit_common.printable import shell_line
from toolkit_common.runs.manifest import refuse_changed
from toolkit_common.seen.check import EXPLAINED
from toolkit_probing.reports.data.at_hand import AtHand, find_data
from toolkit_probing.results.saved import SPLITS_FILE, SavedRun

UNWANTED = "none were wanted (--no-pictures)."
STREAMED = "images come from a stream, which is not read twice."


def data_cards(
    runs: Mapping[str, SavedRun], given: ImageData | None = None, *, pictures: bool = True
) -> list[tuple[list[str], Markup]]:
    """Return data cards with the names of the runs that each is of: runs of the same share one.

    Pictures of one set of data stand in its first card alone.

    Args:
        runs: The runs of a page by name.
        given: Their data, where they are loaded already.
        pictures: Whether to show any.

    Raises:
        InputError: If vl-convert is not installed, or the splits of a run are not as it wrote
            them.
    """
    cards, first = [], dict[tuple[str, str, str], str]()
    shared: dict[Hashable, list[str]] = {}
    for name, run in runs.items():
        refuse_changed(run.path, SPLITS_FILE)  # others have other patients on each side
        of = run.recorded.get("data"), *_facts(run), *run.results.data.classes, *_seen(run)
        shared.setdefault(of, []).append(name)
    for names in shared.values():
        run = runs[names[0]]
        data = run.results.data
        key = (run.recorded.get("data") or data.id, data.label, data.splits)
        if not pictures:
            hand = AtHand(None, UNWANTED)
        elif key in first:
            hand = AtHand(None, f"they stand with {first[key]} above.")
        else:
            first[key] = names[0]
            hand = find_data(run) if given is None else AtHand(given)
        card = replace(data_card(run, hand), name=names[0])
        cards.append((names, render_card(card)))
    return cards


def data_card(run: SavedRun, hand: AtHand) -> DataCard:
    """Return what the data card of a run shows."""
    data = run.results.data
    counts: Mapping[str, Sequence[int]] = data.class_counts
    examples: list[Examples] = []
    why = hand.why
    if hand.data is not None:
        labels, splits = hand.data.labels(data.label), _splits(run, hand.data)
        if not counts and splits is not None:  # of a run of before
            parts = {name: splits[name] for name in SPLITS}
            counts = count_classes(labels.targets, parts, len(labels.classes))
        if hand.data.is_streamed:
            why = STREAMED
        else:
            rows = np.arange(len(hand.data)) if splits is None else splits.all
            examples = list(examples_of(hand.data, labels, rows))
    return DataCard(
        facts=list(_facts(run)),
        label=data.label,
        classes=[str(name) for name in data.classes],
        counts=counts,
        audited=_audited(run),
        examples=examples,
        why_no_examples=why,
    )


def _facts(run: SavedRun) -> Iterator[tuple[str, str]]:
    data = run.results.data
    yield "data set", f"{data.title} ({data.id})" if data.title else data.id
    yield "label", data.label
    yield "images", _listed(data.sizes)
    if data.grouped_by:
        yield f"{data.grouped_by}s", _listed(data.num_groups)
    else:
        yield "groups of test", str(data.num_test_groups)
    yield "splits", data.splits
    yield "licence", data.licence or "not stated"
    if data.source:
        yield "attribution", f"{data.source}{', doi ' + data.doi if data.doi else ''}"


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _audited(run: SavedRun) -> Audited:
    """Return the verdict of a recorded audit of these data, else what the run itself checked."""
    data, fingerprint = run.results.data, run.recorded.get("data")
    record = fingerprint and find_audit(fingerprint, label=data.label, splits=data.splits)
    seen = _seen(run)
    if isinstance(record, AuditRecord):
        text = f"LEAK: {', '.join(record.leaks)}." if record.leaks else "No leak found."
        return Audited(
            f"toolkit data audit, {record.made}", text, is_bad=bool(record.leaks),
            lines=[*_about(record, run), *seen],
        )  # fmt: skip
    what = data.grouped_by
    text = f"No {what} is on two sides of the splits." if what else (
        "Whether one patient is on two sides of the splits is not known: the data name no groups."
    )  # fmt: skip
    more = (
        "Doubled images and columns that tell the label were not looked for, as no audit of these "
        f"data is recorded here: toolkit data audit {shell_line([data.id])} makes one."
    )
    return Audited("checked by this run", text, is_bad=False, lines=[more, *seen])


def _about(record: AuditRecord, run: SavedRun) -> Iterator[str]:
    data = run.results.data
    if record.warnings:
        yield f"Warnings: {', '.join(dict.fromkeys(record.warnings))}."
    if record.splits != data.splits:
        yield f"The audit was of other splits than this run's: {record.splits}."
    if record.label != data.label:
        yield f"Its columns were scored against {record.label or 'no label'}."
    if not record.has_images:
        yield "It did not look at images."


def _seen(run: SavedRun) -> list[str]:
    states = {row.seen for row in run.results.rows}
    lines = [f"{text[:1].upper()}{text[1:]}." for state, text in EXPLAINED.items()
             if state in states]  # fmt: skip
    if "unseen" in states and not lines:
        lines = ["The encoder has seen none of the test rows in pre-training."]
    return lines


def _splits(run: SavedRun, data: ImageData) -> Splits | None:
    file = run.path / SPLITS_FILE
    if not file.is_file():  # of all folds
        return None
    try:
        return read_splits(file, data)
    except InputError:
        return None
