"""A table of the user's own: image paths, labels, and whatever else it knows."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from toolkit_common.data.dataset import ImageData, build_image_data
from toolkit_common.data.tables import read_table, require_columns, row_number
from toolkit_common.errors import InputError
from toolkit_common.ids import refuse_options
from toolkit_common.sources.bare import bare_sheet
from toolkit_common.split_names import normal_split


def load_csv(identifier: str, name: str, options: Mapping[str, str]) -> ImageData:
    """Read a table of image paths (relative to the table, or absolute) and labels.

    Its columns `image`, `label`, `split`, `group` are used under these names, or those given as in
    `csv:FILE?image=path&label=dx&group=patient`; all others are metadata.

    Raises:
        InputError: If a column or cell is missing, a split's name is unknown, or an image id occurs
            twice.
    """
    wanted = ("image", "label", "split", "group", "image_id")
    refuse_options(identifier, options, wanted)
    path = Path(name).expanduser()
    frame = read_table(path)
    require_columns(frame, tuple(options.values()), path=path)
    # From the frame as it was read: a column may play two roles, and two may trade names.
    chosen = {role: frame[column] for role, column in options.items()}
    renamed = set(options.values()) - set(wanted)
    frame = frame.assign(**chosen).drop(columns=list(renamed))
    require_columns(frame, ("image",), path=path)
    if frame.empty:
        raise InputError(f"{path} has a header and no rows")
    for column in ("image", "label", "group", "image_id"):
        if column in frame:
            _refuse_missing(frame[column], path)
    if "split" in frame:
        frame["split"] = [
            normal_split(value, f"{path}: row {row_number(frame, position)}")
            for position, value in enumerate(frame["split"])
        ]
    if "image_id" not in frame:
        # Before the folder is put in front: ids do not depend on where the table lies.
        frame["image_id"] = frame["image"]
    frame["image"] = [str(path.parent / item) for item in frame["image"]]
    return build_image_data(identifier, frame, bare_sheet(path.stem))


def _refuse_missing(column: "pd.Series[Any]", path: Path) -> None:
    missing = np.flatnonzero(column.isna().to_numpy())
    if missing.size:
        raise InputError(
            f"{path}: row {row_number(column, int(missing[0]))} has no {column.name} "
            f"({missing.size} such row{'s' if missing.size > 1 else ''}): fill it, or drop the row"
        )
