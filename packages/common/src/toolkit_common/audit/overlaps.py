"""Who and what is on two sides: of the splits, of two data sets, of pre-training and test.

Unlike a run, an audit takes splits that share groups, and reports them. People and lesions are
compared by their names, whatever column holds them; images by what they show, and by the ISIC
archive's ids, which stand for one image everywhere. Names of files do not: two folders may both
have an `a/1.jpg`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations, product
from pathlib import Path

import numpy as np

from toolkit_common.audit.alike import read_greys
from toolkit_common.audit.duplicates import (
    Hashes,
    find_duplicates,
    hash_images,
    join_hashes,
)
from toolkit_common.audit.findings import Finding, uncompared_findings
from toolkit_common.data.dataset import SPLITS, ImageData
from toolkit_common.data.settings import SplitSettings
from toolkit_common.data.splits import Splits, make_splits, read_splits
from toolkit_common.errors import InputError
from toolkit_common.printable import counted
from toolkit_common.seen.check import JUDGED
from toolkit_common.seen.compare import BARE, compare_rows
from toolkit_common.seen.record import (
    NO_KEY,
    Contents,
    Record,
    archive_ids,
    name_of,
    read_seen,
)
from toolkit_common.sources.load import load_data

KEYS = ("patient_id", "lesion_id", "group")


@dataclass(frozen=True)
class TrainedEncoder:
    """An exported encoder, and what it keeps of whom it was trained on."""

    path: Path
    records: tuple[Record, ...]


def load_other(against: str) -> ImageData | TrainedEncoder:
    """Return what a data set is compared with: an exported encoder, or another data set.

    Raises:
        InputError: If there is no such thing, or the encoder does not say whom it has seen.
    """
    if not Path(against).is_dir():
        return load_data(against)
    records = read_seen(Path(against))
    if all(record.key_id == NO_KEY for record in records):
        raise InputError(f"encoder {against} does not say which patients it has seen")
    return TrainedEncoder(Path(against), records)


def find_overlaps(
    data: ImageData,
    other: ImageData | TrainedEncoder,
    *,
    hashes: Hashes | None,
    splits: Splits | None = None,
) -> list[Finding]:
    """Compare a data set with what `load_other` returned.

    Args:
        data: The data set.
        other: The other one.
        hashes: Of its images; without them no images of two data sets are compared.
        splits: Those of the data set: an encoder may have seen the training rows, not others.
    """
    if isinstance(other, TrainedEncoder):
        return list(_seen_rows(data, other, splits))
    shared = [*_shared_names(data, other), *_shared_archive_ids(data, other)]
    if hashes is not None:
        shared += _shared_images(data, hashes, other)
    elif not any(key in data.table for key in KEYS) or not any(key in other.table for key in KEYS):
        text = "only ISIC ids were compared: one of both names no groups, and no image was decoded"
        shared.append(_shared(other.id, text, leak=False))
    return shared


def find_splits(data: ImageData, settings: SplitSettings) -> tuple[Splits | None, list[Finding]]:
    """Return the splits that a run would use (`make_splits`), or those it would refuse, and why.

    Raises:
        InputError: If the file of splits does not fit.
    """
    given = None
    if settings.splits is not None:
        given = read_splits(settings.splits, data)
    elif "split" in data.table and settings.folds is None:
        column = data.table["split"].to_numpy()
        train, val, test = (np.flatnonzero(column == name) for name in SPLITS)
        given = Splits(train, val, test, "given")
    try:
        splits: Splits | None = make_splits(data, settings)
    # A run would refuse these; an audit goes on to say who is on two sides.
    except InputError as error:
        splits, problem = given, [Finding("warning", "splits", str(error))]
    else:
        problem = []
    shared = [] if splits is None else list(_shared_keys(data, splits))
    return splits, shared or problem  # what is shared is the problem, in more words


def _shared_keys(data: ImageData, splits: Splits) -> Iterator[Finding]:
    """Yield the patients, lesions and groups that lie in two splits, each name once."""
    for first, second in combinations(SPLITS, 2):
        reported: set[str] = set()
        for key in (key for key in KEYS if key in data.table):
            names = data.table[key]
            sides = [set(names.iloc[splits[side]].dropna().map(str)) for side in (first, second)]
            shared = sorted((sides[0] & sides[1]) - reported)
            reported |= set(shared)
            if shared:
                mend = "" if "group" in data.table else f" (csv:FILE?group={key} splits by them)"
                yield Finding(
                    "leak", "group overlap",
                    f"{counted(len(shared), f'{key} value is', f'{key} values are')} in {first} "
                    f"and in {second} "
                    f"(first: {shared[0]}): keep each on one side{mend}",
                )  # fmt: skip


def _shared_names(data: ImageData, other: ImageData) -> Iterator[Finding]:
    """Yield people and lesions in both; a `group` may be either, under that name or another's."""
    reported = np.array([], dtype=object)
    # Columns of one name first, so that a name is reported under the plainest pair.
    pairs = sorted(product(KEYS, KEYS), key=lambda pair: pair[0] != pair[1])
    for own, theirs in pairs:
        if (own != theirs and "group" not in (own, theirs)) or own not in data.table:
            continue
        if theirs not in other.table:
            continue
        # A name counts once, however many columns hold it.
        shared = np.setdiff1d(np.intersect1d(_words(data, own), _words(other, theirs)), reported)
        reported = np.union1d(reported, shared)
        if shared.size:
            what = f"{counted(shared.size, f'{own} value is', f'{own} values are')} "
            where = "in both" if own == theirs else f"{theirs} values there"
            yield _named(other.id, f"{what}{where} (first: {shared[0]})", shared)


def _shared_archive_ids(data: ImageData, other: ImageData) -> Iterator[Finding]:
    own, theirs = ([name for name in archive_ids(item) if name] for item in (data, other))
    shared = np.intersect1d(own, theirs)
    if shared.size:
        images = counted(
            shared.size, "image of the ISIC archive is", "images of the ISIC archive are"
        )
        text = f"{images} in both by their id"
        yield _shared(other.id, f"{text} (first: {shared[0]})", leak=True)


def _seen_rows(data: ImageData, other: TrainedEncoder, splits: Splits | None) -> Iterator[Finding]:
    """Yield who of test and validation an encoder has seen; without splits, of all rows."""
    contents, name = Contents(data), str(other.path)
    if splits is None:
        sides, train = {"all": np.arange(len(data))}, None
    else:
        sides, train = {side: splits[side] for side in JUDGED}, splits.train
    overlap = compare_rows(
        other.records, contents, sides, train=None if train is None else lambda: train
    )
    if overlap.num_seen:
        text = f"it was pre-trained on patients or images of {overlap.counted()}"
        yield _shared(name, text, leak=True)
    for doubt in overlap.doubts:
        yield _shared(name, doubt, leak=overlap.is_refused and not overlap.num_seen)
    for note in overlap.notes:
        yield _shared(name, note, leak=False)
    if train is not None and not overlap.is_refused and not overlap.doubts:
        learned = compare_rows(other.records, contents, {"train": train}).num_seen
        text = (
            f"it has seen {learned} of {len(train)} train images and none of the others: under "
            f"these splits ({splits.origin if splits else ''}) no test patient was seen"
        )
        yield Finding("note", f"shared with {name}", text)


def _named(other: str, text: str, names: Iterable[str]) -> Finding:
    if all(BARE.fullmatch(name) for name in names):
        why = "they are bare numbers, which may stand for others there: look"
        return _shared(other, f"{text}; {why}", leak=False)
    return _shared(other, text, leak=True)


def _words(data: ImageData, key: str) -> np.ndarray:
    """Return the different names in a column, however they are spelled."""
    names = map(name_of, data.table[key].drop_duplicates())
    return np.unique([name for name in names if name is not None]).astype(object)


def _shared_images(data: ImageData, own: Hashes, theirs: ImageData) -> Iterator[Finding]:
    other, name = hash_images(theirs), theirs.id
    kept = own.exact[own.exact != ""]
    exact = np.intersect1d(kept, other.exact)
    if exact.size:
        yield _shared(
            name,
            (f"{counted(exact.size, 'image is', 'images are')} pixel by pixel in both"),
            leak=True,
        )
    found = find_duplicates(
        join_hashes(own, other), partial(_greys_of_both, data, theirs), border=len(own.exact)
    )
    near = [pair for pair in found.pairs if not pair.exact]  # exact ones are told above
    if near:
        turned = sum(pair.turned for pair in near)
        text = f"{counted(len(near), 'pair')} of near-duplicates, one image in each (by pixels)"
        text += f", {turned} of them mirrored or turned" if turned else ""
        yield _shared(name, text, leak=False)
    for finding in uncompared_findings(found):
        yield replace(finding, kind=f"shared with {name}")


def _greys_of_both(
    own: ImageData, other: ImageData, rows: np.ndarray
) -> Iterator[tuple[int, np.ndarray]]:
    """Read grey images of rows, those of the other data set numbered behind one's own."""
    border = len(own)
    yield from read_greys(own, rows[rows < border])
    for row, grey in read_greys(other, rows[rows >= border] - border):
        yield row + border, grey


def _shared(other: str, text: str, *, leak: bool) -> Finding:
    """Report what is shared with `other`: a leak if both cannot be pre-training and test."""
    return Finding("leak" if leak else "warning", f"shared with {other}", text)
