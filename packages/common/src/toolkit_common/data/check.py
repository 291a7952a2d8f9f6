"""Looks at every image before long work begins: what does not decode is named now, not hours later.

JPEGs are decoded at an eighth of their size, which reads all of the file at a fraction of the cost.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count
from typing import Literal

import numpy as np
import pandas as pd
from PIL import Image

from toolkit_common.data.base import ImageData
from toolkit_common.data.images import BadImageError, Place, open_image
from toolkit_common.errors import InputError
from toolkit_common.training.progress import console, progress

BadFilePolicy = Literal["error", "skip"]


def check_images(
    data: ImageData, rows: np.ndarray, *, policy: BadFilePolicy = "error"
) -> pd.DataFrame:
    """Decode the images of `rows` once.

    Args:
        data: The data set.
        rows: Which rows to look at.
        policy: `error` stops at bad files; `skip` returns them.

    Returns:
        A table `row, image_id, problem` of the bad files, to be left out and saved.

    Raises:
        InputError: If the policy is `error` and there is a bad file, or if all are bad.
    """
    problems: dict[int, str] = {}
    with (
        progress("checking images", len(rows)) as advance,
        ThreadPoolExecutor(cpu_count()) as pool,
    ):
        # Workers fetch the images: a pool takes in all its arguments at once.
        found = pool.map(lambda row: _problem_of(data.images[int(row)]["image"]), rows)
        for row, problem in zip(rows, found, strict=True):
            if problem:
                problems[int(row)] = problem
            advance()
    ids = data.table["image_id"]
    table = pd.DataFrame(
        {
            "row": list(problems),
            "image_id": [ids.iloc[row] for row in problems],
            "problem": list(problems.values()),
        }
    )
    if problems and (policy == "error" or len(problems) == len(rows)):
        raise InputError(_tell(table["problem"].tolist(), len(rows)))
    if problems:
        console.print(f"leaving out {len(problems)} bad files of {len(rows)} (see bad_files.csv)")
    return table


def _problem_of(place: Place) -> str | None:
    try:
        if not _is_sound_jpeg(place):
            open_image(place)
    except BadImageError as error:
        return str(error)
    return None


def _is_sound_jpeg(place: Place) -> bool:
    """Read all of a JPEG's coefficients at an eighth of its size."""
    if place["bytes"] is not None or "#" in str(place["path"]):
        return False
    try:
        with Image.open(place["path"]) as image:
            if image.format != "JPEG":
                return False
            image.draft("RGB", (image.width // 8 or 1, image.height // 8 or 1))
            image.load()
    except Exception:  # open_image tells why
        return False
    return True


def _tell(problems: Sequence[str], total: int) -> str:
    more = f" (and {len(problems) - 1} more bad files of {total})" if len(problems) > 1 else ""
    hint = "" if len(problems) == total else ": mend or remove it, or add --bad-files skip"
    return f"bad image {problems[0]}{more}{hint}"
