"""Who and what is on two sides: of the splits, of two data sets, of pre-training and test.

Unlike a run, an audit takes splits that share groups, and reports them. People and lesions are
compared by their names, whatever column holds them; images by what they show, and by the ISIC
archive's ids, which stand for one image everywhere. Names of files do not: two folders may both
have an `a/1.jpg`.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations, product
from pathlib import Path

import numpy as np

from toolkit_common.audit.duplicates import Hashes, find_duplicates, hash_images
from toolkit_common.audit.findings import Finding
from toolkit_common.data.dataset import SPLITS, ImageData
from toolkit_common.data.settings import SplitSettings
from toolkit_common.data.splits import Splits, make_splits, read_splits
from toolkit_common.errors import InputError
from toolkit_common.sources.load import load_data

KEYS = ("patient_id", "lesion_id", "group")
ARCHIVE_ID = re.compile(r"ISIC_\d{7}")
HASHED = 12  # hexadecimal digits of a group's hash in an exported encoder
WHOLE = re.compile(r"^(\d+)\.0$")
BARE = re.compile(r"\d{1,4}")  # says little: two data sets may number different people alike


@dataclass(frozen=True)
class SeenGroups:
    """The groups that an exported encoder has seen in pre-training, as `hash_group` gives them."""

    path: Path
    hashes: frozenset[str]


def hash_group(group: object) -> str:
    """Return a short hash of a patient's id: enough to tell that a test patient was seen."""
    # Without salt, whoever can list the ids can reverse it: open (docs/traps.md 25).
    return hashlib.sha256(str(group).encode()).hexdigest()[:HASHED]


def load_other(against: str, data: ImageData) -> ImageData | SeenGroups:
    """Return what a data set is compared with: an exported encoder's groups, or another data set.

    Raises:
        InputError: If there is no such thing, the encoder does not say what it has seen, or the
            data set has no groups to look for.
    """
    if not Path(against).is_dir():
        return load_data(against)
    from toolkit_common.backbones.exported import find_export, read_description

    path = Path(against)
    seen = read_description(find_export(path)).provenance.get("groups_seen")
    if seen is None:
        raise InputError(f"encoder {path} does not say which patients it has seen")
    if not any(key in data.table for key in KEYS):
        raise InputError(f"data set {data.id!r} has no groups to look for in {path}")
    return SeenGroups(path, frozenset(seen))


def find_overlaps(
    data: ImageData, other: ImageData | SeenGroups, *, hashes: Hashes | None
) -> list[Finding]:
    """Compare a data set with what `load_other` returned; without hashes images are left out."""
    if isinstance(other, SeenGroups):
        return list(_seen_groups(data, other))
    shared = [*_shared_names(data, other), *_shared_archive_ids(data, other)]
    if hashes is not None:
        shared += _shared_images(hashes, hash_images(other), other.id)
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
                    f"{len(shared)} {key} values are in {first} and in {second} "
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
            what = f"{shared.size} {own} values are "
            where = "in both" if own == theirs else f"{theirs} values there"
            yield _named(other.id, f"{what}{where} (first: {shared[0]})", shared)


def _shared_archive_ids(data: ImageData, other: ImageData) -> Iterator[Finding]:
    shared = np.intersect1d(_archive_ids(data), _archive_ids(other))
    if shared.size:
        text = f"{shared.size} images of the ISIC archive are in both by their id"
        yield _shared(other.id, f"{text} (first: {shared[0]})", leak=True)


def _seen_groups(data: ImageData, other: SeenGroups) -> Iterator[Finding]:
    columns = [data.table[key].dropna().drop_duplicates() for key in KEYS if key in data.table]
    names = {str(name) for column in columns for name in column}
    shared = sorted(name for name in names if hash_group(name) in other.hashes)
    if shared:
        text = f"it was pre-trained on {len(shared)} groups of this set (first: {shared[0]})"
        yield _named(str(other.path), text, shared)


def _named(other: str, text: str, names: Iterable[str]) -> Finding:
    if all(BARE.fullmatch(name) for name in names):
        why = "they are bare numbers, which may stand for others there: look"
        return _shared(other, f"{text}; {why}", leak=False)
    return _shared(other, text, leak=True)


def _words(data: ImageData, key: str) -> np.ndarray:
    """Return the different names in a column, `7` where it holds 7.0."""
    values = data.table[key].dropna().drop_duplicates()
    # 7.0 is how pandas holds a 7 in a column that has an empty cell.
    return np.unique([WHOLE.sub(r"\1", str(value)) for value in values]).astype(object)


def _archive_ids(data: ImageData) -> list[str]:
    matches = map(ARCHIVE_ID.search, data.table["image_id"].astype(str))
    return [match.group() for match in matches if match]


def _shared_images(own: Hashes, other: Hashes, name: str) -> Iterator[Finding]:
    kept = own.exact[own.exact != ""]
    exact = np.intersect1d(kept, other.exact)
    if exact.size:
        yield _shared(name, f"{exact.size} images are pixel by pixel in both", leak=True)
    both = replace(
        own,
        exact=np.concatenate([own.exact, other.exact]),
        perceptual=np.concatenate([own.perceptual, other.perceptual]),
        turned=np.concatenate([own.turned, other.turned]),
        sizes=np.concatenate([own.sizes, other.sizes]),
    )
    border = len(own.exact)
    near = [
        pair for pair in find_duplicates(both)
        # Exact ones are told above, more surely.
        if pair.first < border <= pair.second and not pair.exact
    ]  # fmt: skip
    if near:
        turned = sum(pair.turned for pair in near)
        text = f"{len(near)} pairs of near-duplicates, one image in each (perceptual hash)"
        text += f", {turned} of them mirrored or turned" if turned else ""
        yield _shared(name, text, leak=False)


def _shared(other: str, text: str, *, leak: bool) -> Finding:
    """Report what is shared with `other`: a leak if both cannot be pre-training and test."""
    return Finding("leak" if leak else "warning", f"shared with {other}", text)
