"""General data sets: a folder of images, a table, a Hugging Face data set."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from toolkit_common.data.base import ImageData, build_image_data
from toolkit_common.data.sheet import Sheet
from toolkit_common.data.tables import read_table, require_columns, row_number
from toolkit_common.errors import InputError
from toolkit_common.ids import refuse_options

if TYPE_CHECKING:
    from datasets import Dataset

IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm",
)  # fmt: skip
SPLIT_NAMES = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip


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
    for folder, split in splits.items() or [("", None)]:
        found = _class_images(root / folder)
        if not found:
            raise InputError(
                f"{root / folder} has no images in class folders: expected "
                f"{root / folder}/CLASS/IMAGE with one of {', '.join(IMAGE_SUFFIXES)}"
            )
        records += [{**record, "split": split} for record in found]
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
            _normal_split(value, f"{path}: row {row_number(position)}")
            for position, value in enumerate(frame["split"])
        ]
    if "image_id" not in frame:
        frame["image_id"] = frame["image"]
    frame["image"] = [str(path.parent / item) for item in frame["image"]]
    return build_image_data(identifier, frame, Sheet(title=path.stem))


def load_hf(identifier: str, name: str, options: Mapping[str, str]) -> ImageData:
    """Read a Hugging Face data set: a Hub id, a `save_to_disk` folder, or parquet files.

    The image and label columns are found by their types; `?config=`, `?image=`, `?label=` and
    `?group=` override.

    Raises:
        InputError: If it is neither a folder nor to be had from the Hub, has no image column or
            no column of a given name, or a split's name is unknown.
    """
    from datasets import Dataset, Image, concatenate_datasets

    refuse_options(identifier, options, ("config", "image", "label", "group"))
    parts = _hf_splits(name, options.get("config"))
    first = next(iter(parts.values()))
    image = options.get("image") or _column_of_type(first, "Image")
    if image is None:
        raise InputError(
            f"{identifier!r} has no image column; it has: {', '.join(first.column_names)}"
        )
    label = options.get("label") or _column_of_type(first, "ClassLabel")
    roles = {"image": image, "label": label, "group": options.get("group")}
    pieces = []
    for split, part in parts.items():
        piece = _rename(part, {role: name for role, name in roles.items() if name}, identifier)
        if len(parts) > 1:
            given = [_normal_split(split, repr(identifier))] * len(piece)
        elif "split" in piece.column_names:
            given = [_normal_split(value, repr(identifier)) for value in piece["split"]]
        else:
            given = []
        piece = piece.remove_columns([item for item in piece.column_names if item == "split"])
        pieces.append(piece.add_column("split", given) if given else piece)
    rows: Dataset = concatenate_datasets(pieces).cast_column("image", Image(decode=False))
    if "image_id" not in rows.column_names:
        rows = rows.add_column("image_id", [str(index) for index in range(len(rows))])
    return ImageData(identifier, rows, Sheet(title=name, licence=first.info.license or "unknown"))


def _hf_splits(name: str, config: str | None) -> "dict[str, Dataset]":
    from datasets import Dataset, DatasetDict, load_dataset, load_from_disk

    folder = Path(name).expanduser()
    try:
        if not folder.exists():
            loaded = load_dataset(name, config)
        elif any((folder / mark).exists() for mark in ("dataset_dict.json", "dataset_info.json")):
            loaded = load_from_disk(str(folder))
        else:
            files = _parquet_files(folder)
            loaded = DatasetDict({split: Dataset.from_parquet(paths, keep_in_memory=True)
                                  for split, paths in files.items()})  # fmt: skip
    except (ConnectionError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"cannot load hf:{name}: {reason}; without a network give a folder instead: "
            "hf:FOLDER with what `save_to_disk` wrote, or with parquet files"
        ) from error
    return {"train": loaded} if isinstance(loaded, Dataset) else dict(loaded)


def _parquet_files(folder: Path) -> dict[str, list[str]]:
    """Parquet files by split: `train-00000-of-00002.parquet`, or `train/0000.parquet`."""
    files: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*.parquet")):
        names = [path.stem.split("-")[0], *reversed(path.relative_to(folder).parent.parts)]
        split = next((name.lower() for name in names if name.lower() in SPLIT_NAMES), "train")
        files.setdefault(SPLIT_NAMES[split], []).append(str(path))
    if not files:
        raise InputError(f"{folder} holds neither a saved data set nor parquet files")
    return files


def _rename(part: "Dataset", roles: Mapping[str, str], identifier: str) -> "Dataset":
    """Give columns the names of their roles; a column that bears such a name makes room."""
    for name in roles.values():
        if name not in part.column_names:
            raise InputError(
                f"{identifier!r} has no column {name!r}; it has: {', '.join(part.column_names)}"
            )
    in_the_way = [role for role, name in roles.items() if name != role]
    part = part.remove_columns([role for role in in_the_way if role in part.column_names])
    return part.rename_columns({roles[role]: role for role in in_the_way})


def _column_of_type(rows: "Dataset", kind: str) -> str | None:
    """Return the first column of a feature type, the one of that name if there are several."""
    found = [str(name) for name, item in rows.features.items() if type(item).__name__ == kind]
    return next(iter(sorted(found, key=lambda name: name not in ("image", "label"))), None)


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
            f"{path}: row {row_number(int(missing[0]))} has no {column.name} "
            f"({missing.size} such row{'s' if missing.size > 1 else ''}): fill it, or drop the row"
        )


def _normal_split(name: object, where: str) -> str:
    known = SPLIT_NAMES.get(str(name).lower())
    if known is None:
        raise InputError(f"{where}: split {name!r} is none of {', '.join(SPLIT_NAMES)}")
    return known
