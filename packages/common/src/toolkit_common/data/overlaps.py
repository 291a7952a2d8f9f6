"""What two data sets, or a data set and a pre-trained encoder, have in common."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from toolkit_common.data.base import ImageData
from toolkit_common.data.duplicates import Hashes, find_duplicates, hash_images
from toolkit_common.data.load import load_data
from toolkit_common.errors import InputError

KEYS = ("patient_id", "lesion_id", "image_id")
HASHED = 12  # hexadecimal digits of a group's hash in an exported encoder


@dataclass(frozen=True)
class Overlap:
    """Something shared with `other`; a `leak` if both cannot be pre-training and test."""

    other: str
    text: str
    leak: bool


def hash_group(group: object) -> str:
    """Return a short hash of a patient's id: enough to tell that a test patient was seen."""
    return hashlib.sha256(str(group).encode()).hexdigest()[:HASHED]


def find_overlaps(data: ImageData, against: str, *, hashes: Hashes | None) -> list[Overlap]:
    """Compare with an exported encoder, if `against` is a folder, else with a data set's id.

    Args:
        data: The data set.
        against: The folder or the id.
        hashes: Of the data set's images, or None to leave images out.
    """
    if Path(against).is_dir():
        return list(overlaps_with_encoder(data, Path(against)))
    return list(overlaps_with_data(data, load_data(against), hashes=hashes))


def overlaps_with_data(
    data: ImageData, other: ImageData, *, hashes: Hashes | None
) -> Iterator[Overlap]:
    """Yield shared patients, lesions, image ids and, given `hashes` of its own images, images."""
    for key in KEYS:
        if key in data.table and key in other.table:
            shared = np.intersect1d(_words(data, key), _words(other, key))
            if shared.size:
                text = f"{shared.size} {key} values are in both (first: {shared[0]})"
                yield Overlap(other.id, text, leak=True)
    if hashes is not None:
        yield from _shared_images(hashes, hash_images(other), other.id)


def overlaps_with_encoder(data: ImageData, path: Path) -> Iterator[Overlap]:
    """Yield the groups that an exported encoder has seen in pre-training.

    Raises:
        InputError: If the encoder does not say what it has seen, or the data set has no groups.
    """
    from toolkit_common.backbones.exported import find_export, read_description

    seen = read_description(find_export(path)).provenance.get("groups_seen")
    if seen is None:
        raise InputError(f"encoder {path} does not say which patients it has seen")
    if data.groups is None:
        raise InputError(f"data set {data.id!r} has no groups to look for in {path}")
    shared = sorted(group for group in set(data.groups) if hash_group(group) in set(seen))
    if shared:
        text = f"it was pre-trained on {len(shared)} groups of this set (first: {shared[0]})"
        yield Overlap(str(path), text, leak=True)


def _words(data: ImageData, key: str) -> np.ndarray:
    return data.table[key].dropna().astype(str).to_numpy()


def _shared_images(own: Hashes, other: Hashes, name: str) -> Iterator[Overlap]:
    kept = own.exact[own.exact != ""]
    exact = np.intersect1d(kept, other.exact)
    if exact.size:
        yield Overlap(name, f"{exact.size} images are pixel by pixel in both", leak=True)
    both = replace(
        own,
        exact=np.concatenate([own.exact, other.exact]),
        perceptual=np.concatenate([own.perceptual, other.perceptual]),
    )
    border = len(own.exact)
    near = sum(
        pair.first < border <= pair.second for pair in find_duplicates(both) if not pair.exact
    )
    if near:
        text = f"{near} pairs of near-duplicates, one image in each (perceptual hash)"
        yield Overlap(name, text, leak=False)
