"""General data sets: a folder of images, a table."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from toolkit_common.data.dataset import ImageData, build_image_data
from toolkit_common.data.sheet import Sheet
from toolkit_common.data.tables import read_table, require_columns, row_number
from toolkit_common.errors import InputError
from toolkit_common.ids import refuse_options
from toolkit_common.sources.bare import bare_sheet
from toolkit_common.split_names import SPLIT_NAMES, normal_split

IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm",
)  # fmt: skip


def load_imagefolder(identifier: str, name: str, options: Mapping[str, str]) -> ImageData:
    """Read `ROOT/CLASS/image.jpg`, or `ROOT/SPLIT/CLASS/image.jpg` with train, val, test.

    Raises:
        InputError: If the folder is missing or empty, has no class folders, or a split no images.
    """
    refuse_options(identifier, options, ())
    root = Path(name).expanduser()
    if not root.is_dir():
        raise InputError(f"no folder at {root}")
    splits = {item.name: SPLIT_NAMES[item.name.lower()] for item in _folders(root)
              if item.name.lower() in SPLIT_NAMES}  # fmt: skip
    records: list[dict[str, Any]] = []
    # Without folders of splits the root itself is the one part.
    for folder, split in splits.items() or [("", None)]:
        images = _class_images(root / folder)
        if not images:
            raise InputError(
                f"{root / folder} has no images in class folders: expected "
                f"{root / folder}/CLASS/IMAGE with one of {', '.join(IMAGE_SUFFIXES)}"
            )
        records += [{**record, "split": split} for record in images]
    frame = pd.DataFrame(records)
    frame["image_id"] = [str(Path(path).relative_to(root)) for path in frame["image"]]
    if not splits:
        frame = frame.drop(columns="split")
    classes = tuple(sorted(frame["label"].unique()))
    frame["label"] = frame["label"].map({label: code for code, label in enumerate(classes)})
    return build_image_data(identifier, frame, Sheet(title=root.name), class_names=classes)


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


def _folders(root: Path) -> list[Path]:
    return sorted(item for item in root.iterdir() if item.is_dir() and item.name[0] != ".")


def _class_images(root: Path) -> list[dict[str, Any]]:
    return [
        {"image": str(path), "label": folder.name}
        for folder in _folders(root)
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file() and not _is_hidden(path, root)
    ]


def _is_hidden(path: Path, root: Path) -> bool:
    """Skips what editors and macOS leave behind: `._image.jpg`, `.ipynb_checkpoints/`."""
    return any(part.startswith(".") for part in path.relative_to(root).parts)


def _refuse_missing(column: "pd.Series[Any]", path: Path) -> None:
    missing = np.flatnonzero(column.isna().to_numpy())
    if missing.size:
        raise InputError(
            f"{path}: row {row_number(column, int(missing[0]))} has no {column.name} "
            f"({missing.size} such row{'s' if missing.size > 1 else ''}): fill it, or drop the row"
        )
