"""Looks at every image before long work begins: what does not decode is named now, not hours later.

JPEGs are decoded at an eighth of their size, which reads all of the file at a fraction of the cost.
Of more than `MAX_LOOKED_AT` images a part is decoded, evenly spread, which is printed; that the
others' files are there is checked all the same, and a bad one ends a run when it is read.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from PIL import Image

from toolkit_common.console import console
from toolkit_common.data.dataset import ImageData
from toolkit_common.data.loaders import map_images
from toolkit_common.errors import InputError
from toolkit_common.foreign.values import is_endless
from toolkit_common.images.keys import ABSENT
from toolkit_common.images.open import BadImageError, Place, open_image, remedy

BadFilePolicy = Literal["error", "skip"]

MAX_LOOKED_AT = 50_000  # images up to which every one is decoded
SPREAD = 5000  # decoded of more than that


def check_images(
    data: ImageData,
    rows: np.ndarray,
    *,
    policy: BadFilePolicy = "error",
    listed: str = "bad_files.csv",
) -> pd.DataFrame:
    """Decode the images of `rows` once; of very many only a part, unless bad ones are skipped.

    Args:
        data: The data set.
        rows: Which rows to look at.
        policy: `error` stops at bad files; `skip` returns them.
        listed: Where the caller lists them, for the message.

    Returns:
        A table `row, image_id, problem` of the bad files, to be left out and saved.

    Raises:
        InputError: If the policy is `error` and there is a bad file, or if all are bad.
    """
    looked_at = _looked_at(data, rows, policy)
    outcomes = map_images(data, looked_at, _problem_of, title="checking images")
    problems = {row: problem for row, problem in outcomes if problem} if len(looked_at) else {}
    ids = data.table["image_id"]
    table = pd.DataFrame(
        {
            "row": list(problems),
            "image_id": [ids.iloc[row] for row in problems],
            "problem": list(problems.values()),
        }
    )
    # All bad is an error under `skip` too: nothing would be left to train on.
    if problems and (policy == "error" or len(problems) == len(rows)):
        raise InputError(_describe(table["problem"].tolist(), len(looked_at)))
    if problems:
        console.print(f"leaving out {len(problems)} bad files of {len(rows)} (see {listed})")
    return table


def _looked_at(data: ImageData, rows: np.ndarray, policy: BadFilePolicy) -> np.ndarray:
    """Return the rows to decode: all, or of very many a part and those whose file is absent.

    A stream is read once, by whoever uses its images.
    """
    if data.is_streamed:
        return rows[:0]
    if policy == "skip" or len(rows) <= MAX_LOOKED_AT:
        return rows
    console.print(
        f"decoding {SPREAD:,} of {len(rows):,} images to find bad files; --bad-files skip decodes "
        "all of them first"
    )
    spread = rows[np.linspace(0, len(rows) - 1, SPREAD).astype(int)]
    return np.union1d(spread, absent_rows(data, rows))


def absent_rows(data: ImageData, rows: np.ndarray) -> np.ndarray:
    """Return those of some rows whose file is not there, which costs no decoding."""
    # In its key already.
    absent = [row for row in rows if data.image_keys[row].endswith(ABSENT)]
    return np.asarray(absent, rows.dtype)


def _problem_of(place: Place) -> str | None:
    try:
        if not _is_sound_jpeg(place):
            open_image(place)
    except BadImageError as error:
        return str(error)
    return None


def _is_sound_jpeg(place: Place) -> bool:
    """Read all of a JPEG's coefficients at an eighth of its size."""
    # Bytes in memory, entries of HDF5 and streams go through `open_image`, which knows them.
    if place["bytes"] is not None or "#" in str(place["path"]):
        return False
    try:
        if is_endless(Path(place["path"])):
            return False
        with Image.open(place["path"], formats=("JPEG",)) as image:
            if image.format != "JPEG":
                return False
            image.draft("RGB", (image.width // 8 or 1, image.height // 8 or 1))
            image.load()
    except Exception:  # open_image says why
        return False
    return True


def _describe(problems: Sequence[str], total: int) -> str:
    more = f" (and {len(problems) - 1} more bad files of {total})" if len(problems) > 1 else ""
    hint = f": {remedy(problems[0])}, or add --bad-files skip"
    return f"bad image {problems[0]}{more}{hint if len(problems) < total else ''}"
