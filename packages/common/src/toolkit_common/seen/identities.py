"""Who and what a row is, as keyed digests: rows that share one may be of one person.

The digests are those of `toolkit_common.seen.record` (a patient, a lesion, a group, an image by the
content of its file, its id in the ISIC archive), row by row and not as one set. To leave somebody
out costs little, so that a bare number counts wherever it stands, but for a lesion's beside a named
patient: it tells lesions of that patient apart, and others have lesions of that number too.
"""

import numpy as np
from jaxtyping import UInt64

from toolkit_common.images.content import UNREADABLE
from toolkit_common.seen.compare import BARE
from toolkit_common.seen.record import ARCHIVE, IMAGES, PEOPLE, Contents, archive_ids, names_of
from toolkit_common.seen.secret import keyed_digests


def identities(
    contents: Contents, rows: np.ndarray, *, secret: bytes
) -> list[UInt64[np.ndarray, " _"]]:
    """Return the digests of each row, of whatever names it.

    Args:
        contents: The data set; image files are read, unless they come from a stream.
        rows: Which rows.
        secret: Of this site.
    """
    data = contents.data
    named = {kind: names[rows] for kind, names in names_of(data).items()}
    patients = named.get("patients", np.full(len(rows), None, object))
    if "lesions" in named:
        is_inner = [
            lesion is not None and patient is not None and bool(BARE.fullmatch(lesion))
            for lesion, patient in zip(named["lesions"], patients, strict=True)
        ]
        named["lesions"] = named["lesions"].copy()
        named["lesions"][np.array(is_inner, bool)] = None
    if "groups" in named:  # what one data set calls a group another may call a patient
        others = [name for name in PEOPLE if name not in named]
        named |= dict.fromkeys(others, named["groups"])
    named[ARCHIVE] = archive_ids(data)[rows]
    if not data.is_streamed:
        hashes = np.array(contents.of(rows), object)
        hashes[hashes == UNREADABLE] = None
        named[IMAGES] = hashes
    digests: list[list[int]] = [[] for _ in rows]
    for kind, names in named.items():
        known = [place for place, name in enumerate(names) if name]
        values = keyed_digests(secret, kind, [str(names[place]) for place in known])
        for place, value in zip(known, values.tolist(), strict=True):
            digests[place].append(value)
    return [np.array(sorted(item), np.uint64) for item in digests]
