"""What an exported encoder keeps of whom it was trained on: keyed digests, a record a data set.

```
encoder/
  seen.safetensors   N/KIND (m,) uint64: sorted digests of record N, see `KINDS`
  encoder.json       provenance.seen: the records' keys and fingerprints, sha256 of that file
```
Records of what an encoder was continued from come first, as they were: those under another site's
secret are kept for that site. Ids stand for the same person whatever data set names them, so that
they are compared across data sets.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from toolkit_common.backbones.exported import find_export, read_description
from toolkit_common.data.cells import known_cell, same_word
from toolkit_common.data.dataset import ImageData
from toolkit_common.data.loaders import map_images
from toolkit_common.errors import InputError
from toolkit_common.images.content import UNREADABLE, content_hash
from toolkit_common.outside import reason_of
from toolkit_common.runs.files import atomic_path, sha256_of
from toolkit_common.seen.secret import Digests, key_id, keyed_digests

SEEN = "seen.safetensors"
PEOPLE = {"patients": "patient_id", "lesions": "lesion_id", "groups": "group"}
IMAGES, ARCHIVE, UNSALTED = "images", "archive", "unsalted"
KINDS = (*PEOPLE, IMAGES, ARCHIVE, UNSALTED)
NO_KEY, OLD_KEY = "", "unsalted"  # key ids: nobody knows who was seen; exports of before
ARCHIVE_ID = re.compile(r"ISIC_\d{7}")
HASHED = 12  # hexadecimal digits of the hashes in exports of before

Names = np.ndarray  # a name a row, None where it has none


@dataclass(frozen=True)
class Record:
    """One data set that an encoder was trained on.

    Attributes:
        key_id: Of the secret behind the digests; `NO_KEY` where nobody knows whom it has seen,
            `OLD_KEY` where hashes were not keyed.
        digests: Kind -> digests of the training rows, sorted.
        data: What reader made the data set.
        num_images: Rows of the whole data set.
        fingerprint: Of the contents of all its images; empty if they were not looked at. Of
            `OLD_KEY` that of the whole data set.
        train_fingerprint: Of those of the training rows, as the splits were made.
    """

    key_id: str
    digests: Mapping[str, Digests] = field(default_factory=dict)
    data: str = ""
    num_images: int = 0
    fingerprint: str = ""
    train_fingerprint: str = ""

    def of(self, kind: str) -> Digests:
        """Return the digests of a kind."""
        return self.digests.get(kind, np.empty(0, np.uint64))

    def to_json(self) -> dict[str, Any]:
        """Return what `encoder.json` says of it."""
        return {
            "key_id": self.key_id,
            "data": self.data,
            "num_images": self.num_images,
            "fingerprint": self.fingerprint,
            "train_fingerprint": self.train_fingerprint,
            "counts": {kind: len(values) for kind, values in self.digests.items() if len(values)},
        }


class Contents:
    """Hashes of what the image files of a data set hold, each read once."""

    def __init__(self, data: ImageData) -> None:
        self.data = data
        self._hashes: dict[int, str] = {}

    def of(self, rows: np.ndarray) -> list[str]:
        """Return the hash of each row's image, `UNREADABLE` where there is none."""
        missing = np.array([row for row in rows.tolist() if row not in self._hashes], np.int64)
        if missing.size:
            self._hashes |= map_images(
                self.data, np.sort(missing), content_hash, title="comparing image files"
            )
        return [self._hashes[row] for row in rows.tolist()]

    def fingerprint(self, rows: np.ndarray) -> str:
        """Return a hash of some rows' images, whatever their order and names."""
        return hashlib.sha256("\n".join(sorted(self.of(rows))).encode()).hexdigest()


def names_of(data: ImageData) -> dict[str, Names]:
    """Return the people and lesions of each row by kind; a group that repeats one is left out."""
    names = {
        kind: np.array([name_of(value) for value in data.table[column]], object)
        for kind, column in PEOPLE.items()
        if column in data.table
    }
    others = [names[kind] for kind in ("patients", "lesions") if kind in names]
    if "groups" in names and any(np.array_equal(names["groups"], other) for other in others):
        del names["groups"]
    return names


def name_of(value: object) -> str | None:
    """Return what all spellings of an id share, None where there is none.

    A reader of tables has evened them out; others have 7.0, which is how pandas holds a 7 in a
    column that has an empty cell.
    """
    word = known_cell(str(value))
    return None if word is None else same_word(word)


def archive_ids(data: ImageData) -> Names:
    """Return the ISIC archive's id of each row's image, which stands for one image everywhere."""
    matches = map(ARCHIVE_ID.search, data.table["image_id"].astype(str))
    return np.array([match and match.group() for match in matches], object)


def unsalted_hash(name: object) -> str:
    """Return the hash that exports of before hold of a group: read, and never written again."""
    return hashlib.sha256(str(name).encode()).hexdigest()[:HASHED]


def build_record(
    data: ImageData, rows: np.ndarray, train: np.ndarray, *, secret: bytes, reader: str
) -> Record:
    """Record the rows that an encoder was trained on; reads all image files but those of a stream.

    Args:
        data: The data set.
        rows: Those it was trained on.
        train: The training split as it was made, bad files included.
        secret: Of this site.
        reader: What reader made the data set.
    """
    named = {**names_of(data), ARCHIVE: archive_ids(data)}
    fingerprints = {"fingerprint": "", "train_fingerprint": ""}
    hashed: list[str] = []
    if not data.is_streamed:  # which would be read over the network once more
        contents, everything = Contents(data), np.arange(len(data))
        fingerprints["fingerprint"] = contents.fingerprint(everything)
        fingerprints["train_fingerprint"] = contents.fingerprint(train)
        hashed = [name for name in contents.of(rows) if name != UNREADABLE]
    digests = {kind: _digested(secret, kind, names[rows]) for kind, names in named.items()}
    digests[IMAGES] = _digested(secret, IMAGES, hashed)
    return Record(key_id(secret), digests, data=reader, num_images=len(data), **fingerprints)


def write_seen(folder: Path, records: Iterable[Record]) -> dict[str, Any]:
    """Write the digests of some records; returns what `provenance.seen` is to hold."""
    listed = list(records)
    tensors = {
        f"{number}/{kind}": values
        for number, record in enumerate(listed)
        for kind, values in record.digests.items()
    }
    with atomic_path(folder / SEEN) as temporary:
        save_file(tensors, temporary)
    return {
        "sha256": sha256_of(folder / SEEN),
        "records": [record.to_json() for record in listed],
    }


def read_seen(path: Path) -> tuple[Record, ...]:
    """Return the records of an exported encoder; of one that says nothing a record without a key.

    Args:
        path: The exported folder, or the run's.

    Raises:
        InputError: If it is no export, or its file of digests is missing or damaged.
    """
    folder = find_export(path)
    provenance = read_description(folder).provenance
    if "seen" not in provenance:
        old = provenance.get("groups_seen")
        if old is None:
            return (Record(NO_KEY),)
        values = np.array(sorted(int(str(name), 16) for name in old), np.uint64)
        fingerprint = str(provenance.get("data_fingerprint", ""))
        return (Record(OLD_KEY, {UNSALTED: values}, fingerprint=fingerprint),)
    file, said = folder / SEEN, provenance["seen"]
    try:
        if sha256_of(file) != said["sha256"]:
            raise InputError(f"{file} is damaged: its sha256 differs from the one in encoder.json")
        tensors = load_file(file)
        return tuple(
            Record(
                key_id=item["key_id"],
                digests={
                    kind: tensors[f"{number}/{kind}"]
                    for kind in KINDS
                    if f"{number}/{kind}" in tensors
                },
                data=item["data"],
                num_images=item["num_images"],
                fingerprint=item["fingerprint"],
                train_fingerprint=item["train_fingerprint"],
            )
            for number, item in enumerate(said["records"])
        )
    except (OSError, SafetensorError, KeyError, TypeError) as error:
        raise InputError(
            f"cannot tell whom encoder {folder} has seen: {file} is missing or damaged "
            f"({reason_of(error)})"
        ) from None


def rekeyed(record: Record, secret: bytes) -> Record:
    """Return a record as a new export holds it: plain hashes are put under the key."""
    if record.key_id != OLD_KEY:
        return record
    names = [f"{value:0{HASHED}x}" for value in record.of(UNSALTED).tolist()]
    return Record(key_id(secret), {UNSALTED: _digested(secret, UNSALTED, names)}, data=record.data)


def _digested(secret: bytes, kind: str, names: Iterable[str | None]) -> Digests:
    return np.sort(keyed_digests(secret, kind, sorted({name for name in names if name})))
