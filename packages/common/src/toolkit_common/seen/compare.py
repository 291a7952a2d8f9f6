"""Compares rows that are to be judged with whom an encoder was trained on.

A row was seen if its patient, its lesion, its image (by the content of the file) or its id in the
ISIC archive was. Bare numbers (patient 7) may stand for others in another data set: they count
where the data sets share an image too, and else it cannot be told.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from toolkit_common.data.dataset import ImageData
from toolkit_common.seen.record import (
    ARCHIVE,
    IMAGES,
    NO_KEY,
    OLD_KEY,
    PEOPLE,
    UNSALTED,
    Contents,
    Record,
    archive_ids,
    names_of,
    unsalted_hash,
)
from toolkit_common.seen.secret import Digests, key_id, keyed_digests, read_secret

BARE = re.compile(r"\d{1,4}")  # says little: two data sets may number different people alike
BY = {
    "patients": "patient",
    "lesions": "lesion",
    "groups": "group",
    UNSALTED: "group, by the hashes of an older export",
    IMAGES: "image",
    ARCHIVE: "ISIC id",
    "ids": "image id",
}
OLD_NOTE = (
    "the encoder was exported by an older version, whose plain hashes of patients tell who they "
    "are to whoever can list the ids: do not pass it on, export it again"
)

SILENT = "it, or an encoder that it continues, does not say whom it was trained on"
FOREIGN = (
    "whom it was trained on is recorded under the secret of another site, so that nobody can be "
    "told apart here"
)
OTHER_SPLITS = (
    "it was trained on this very data set under other splits, at a site with another secret: "
    "patients of the test split must be among those it has seen, and which cannot be told here"
)

Mask = np.ndarray


@dataclass(frozen=True)
class Overlap:
    """What some rows share with whom an encoder has seen.

    Attributes:
        seen: Side (`test`, `val`) -> its rows that were seen.
        sizes: Side -> its rows.
        people: Side -> how many of its groups (patients) were seen, of how many; none without.
        by: How many of them by which kind, each row by all kinds that tell.
        doubts: Why it cannot be told of others.
        is_refused: Whether somebody was seen, or must have been though nobody can be told apart.
        notes: What else is to be known.
    """

    seen: Mapping[str, np.ndarray]
    sizes: Mapping[str, int]
    people: Mapping[str, tuple[int, int]]
    by: Mapping[str, int]
    doubts: tuple[str, ...] = ()
    is_refused: bool = False
    notes: tuple[str, ...] = ()

    @property
    def num_seen(self) -> int:
        """Rows of all sides that were seen."""
        return sum(map(len, self.seen.values()))

    def counted(self) -> str:
        """Return how many rows of each side were seen, and by what."""
        counts = []
        for side, size in self.sizes.items():
            images = f"{len(self.seen[side])} of {size} {side} images"
            seen, total = self.people.get(side, (0, 0))
            counts.append(f"{images} ({seen} of {total} groups)" if total else images)
        by = ", ".join(f"{count} by {BY[kind]}" for kind, count in self.by.items())
        return f"{' and '.join(counts)}; {by}"


def compare_rows(
    records: Sequence[Record],
    contents: Contents,
    sides: Mapping[str, np.ndarray],
    *,
    train: Callable[[], np.ndarray] | None = None,
    secret: bytes | None = None,
) -> Overlap:
    """Compare rows of a data set with the records of an encoder.

    Args:
        records: Of whom the encoder has seen.
        contents: The data set, with what is known of its image files.
        sides: Name -> rows, such as those of `test` and `val`.
        train: Gives the training rows as the splits were made: read for records of another site.
        secret: Behind the records; this site's when not given.
    """
    rows = np.concatenate([*sides.values()])
    hits: dict[str, Mask] = {}
    doubts: list[str] = []
    is_refused = False
    secret = read_secret() if secret is None else secret
    for record in records:
        if record.key_id == NO_KEY:
            doubts.append(SILENT)
        elif record.key_id == OLD_KEY or (secret is not None and record.key_id == key_id(secret)):
            matched, unsure = _matches(record, contents, rows, secret=secret or b"")
            doubts += unsure
            for kind, mask in matched.items():
                hits[kind] = hits.get(kind, np.zeros(len(rows), bool)) | mask
        elif not _is_whole(record, contents):
            doubts.append(FOREIGN)
        # The very data it was trained on: with its splits nobody is on two sides.
        elif train is None or contents.fingerprint(train()) != record.train_fingerprint:
            is_refused = True
            doubts.insert(0, OTHER_SPLITS)
    notes = [OLD_NOTE] if any(record.key_id == OLD_KEY for record in records) else []
    once = tuple(dict.fromkeys(doubts))
    return sum_up(
        hits, sides, contents.data, doubts=once, is_refused=is_refused, notes=tuple(notes)
    )


def sum_up(
    hits: Mapping[str, Mask],
    sides: Mapping[str, np.ndarray],
    data: ImageData,
    *,
    doubts: tuple[str, ...] = (),
    is_refused: bool = False,
    notes: tuple[str, ...] = (),
) -> Overlap:
    """Count what some rows share.

    Args:
        hits: Kind (a key of `BY`) -> which of all sides' rows, one side behind the other.
        sides: Name -> rows.
        data: Whose rows they are.
        doubts: As in `Overlap`.
        is_refused: Whether somebody must have been seen though no row is known.
        notes: As in `Overlap`.
    """
    total = sum(map(len, sides.values()))
    any_hit = np.logical_or.reduce([np.zeros(total, bool), *hits.values()])
    ends = np.cumsum([len(rows) for rows in sides.values()])
    masks = np.split(any_hit, ends[:-1])
    seen = {side: rows[mask] for (side, rows), mask in zip(sides.items(), masks, strict=True)}
    groups = data.groups
    return Overlap(
        seen=seen,
        sizes={side: len(rows) for side, rows in sides.items()},
        people={
            side: (pd.Series(groups[seen[side]]).nunique(), pd.Series(groups[rows]).nunique())
            for side, rows in sides.items()
            if groups is not None
        },
        by={kind: int(hits[kind].sum()) for kind in BY if kind in hits and hits[kind].any()},
        doubts=doubts,
        is_refused=is_refused or bool(any_hit.any()),
        notes=notes,
    )


def _matches(
    record: Record, contents: Contents, rows: np.ndarray, *, secret: bytes
) -> tuple[dict[str, Mask], list[str]]:
    """Return which rows a record of this site has seen, by kind, and what cannot be told."""
    data = contents.data
    found: dict[str, Mask] = {}
    if record.of(IMAGES).size and not data.is_streamed:
        hashes = np.array(contents.of(rows), object)
        found[IMAGES] = _is_in(hashes, record.of(IMAGES), kind=IMAGES, secret=secret)
    if record.of(ARCHIVE).size:
        ids = archive_ids(data)[rows]
        found[ARCHIVE] = _is_in(ids, record.of(ARCHIVE), kind=ARCHIVE, secret=secret)
    is_same = any(mask.any() for mask in found.values())
    bare = np.zeros(len(rows), bool)
    for kind, names, mask in _people(record, contents, rows, secret=secret):
        is_bare = _are_bare(names)
        if (mask & is_bare).any() and not is_same:
            is_same = _is_whole(record, contents)
        bare |= mask & is_bare
        sure = mask if is_same else mask & ~is_bare
        found[kind] = found.get(kind, np.zeros(len(rows), bool)) | sure
    unsure = []
    if bare.any() and not is_same:
        unsure = [
            f"{int(bare.sum())} images to judge on are of patients or lesions whose bare number "
            "it has seen, perhaps as somebody else's of another data set"
        ]
    if not names_of(data) and IMAGES not in found:
        unsure.append("the data set names no patients, and images of a stream are not compared")
    return found, unsure


def _people(
    record: Record, contents: Contents, rows: np.ndarray, *, secret: bytes
) -> Iterator[tuple[str, np.ndarray, Mask]]:
    """Yield kind, names and which of them a record holds, for every kind of people that fits."""
    named = {kind: names[rows] for kind, names in names_of(contents.data).items()}
    for own, names in named.items():
        for theirs in PEOPLE:
            if not record.of(theirs).size or (own != theirs and "groups" not in (own, theirs)):
                continue
            mask = _is_in(names, record.of(theirs), kind=theirs, secret=secret)
            # A bare number of a lesion is no patient's.
            yield own, names, mask if own == theirs else mask & ~_are_bare(names)
    if record.of(UNSALTED).size:
        for column in (column for column in PEOPLE.values() if column in contents.data.table):
            # As they stood in the table when they were hashed.
            raw = contents.data.table[column].to_numpy()[rows]
            names = np.array([None if name != name or name is None else str(name) for name in raw])
            hashes = np.array([name and unsalted_hash(name) for name in names], object)
            yield UNSALTED, names, _is_unsalted(hashes, record, secret=secret)


def _is_unsalted(hashes: np.ndarray, record: Record, *, secret: bytes) -> Mask:
    """Tell which hashes a record holds: plain in an older export, under a key in one after it."""
    if record.key_id != OLD_KEY:
        return _is_in(hashes, record.of(UNSALTED), kind=UNSALTED, secret=secret)
    kept = set(record.of(UNSALTED).tolist())
    return np.array([name is not None and int(name, 16) in kept for name in hashes], bool)


def _is_in(names: np.ndarray, digests: Digests, *, kind: str, secret: bytes) -> Mask:
    unique = sorted({name for name in names if name})
    is_kept = np.isin(keyed_digests(secret, kind, unique), digests)
    kept = {name for name, hit in zip(unique, is_kept, strict=True) if hit}
    return np.array([name in kept for name in names], bool)


def _are_bare(names: np.ndarray) -> Mask:
    return np.array([name is not None and bool(BARE.fullmatch(name)) for name in names], bool)


def _is_whole(record: Record, contents: Contents) -> bool:
    """Whether the data set is the one that a record was made of: every image, and no other."""
    if record.key_id == OLD_KEY:
        return record.fingerprint == contents.data.fingerprint()
    # The number first: it costs nothing.
    if not record.fingerprint or record.num_images != len(contents.data):
        return False
    everything = np.arange(len(contents.data))
    return contents.fingerprint(everything) == record.fingerprint
