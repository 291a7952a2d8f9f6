"""Hugging Face data sets: of the Hub, saved folders, parquet files; streamed if requested."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit_common.data.dataset import ImageData
from toolkit_common.errors import InputError
from toolkit_common.ids import refuse_options
from toolkit_common.images.streams import open_builder, parquet_files, stream_path
from toolkit_common.sources.bare import bare_sheet
from toolkit_common.split_names import normal_split

if TYPE_CHECKING:
    from datasets import Dataset


def load_hf(identifier: str, name: str, options: Mapping[str, str]) -> ImageData:
    """Read a Hugging Face data set: a Hub id, a `save_to_disk` folder, or parquet files.

    The image and label columns are known by their types; `?config=`, `?image=`, `?label=` and
    `?group=` override. With `?streaming=1` nothing is copied to this machine: the images of a Hub
    id or of parquet files are read where they are, in order.

    Raises:
        InputError: If it is neither a folder nor to be had from the Hub, has no image column or
            no column of a given name, or a split's name is unknown.
    """
    from datasets import Dataset, Image, concatenate_datasets

    refuse_options(identifier, options, ("config", "image", "label", "group", "streaming"))
    is_streamed = _is_streamed(identifier, options)
    parts = _hf_splits(name, options.get("config"), is_streamed=is_streamed)
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
            given = [normal_split(split, repr(identifier))] * len(piece)
        elif "split" in piece.column_names:
            given = [normal_split(value, repr(identifier)) for value in piece["split"]]
        else:
            given = []
        piece = piece.remove_columns([item for item in piece.column_names if item == "split"])
        pieces.append(piece.add_column("split", given) if given else piece)
    # Undecoded: a broken file is found before long work begins (docs/traps.md 8).
    rows: Dataset = concatenate_datasets(pieces).cast_column("image", Image(decode=False))
    if "image_id" not in rows.column_names:
        rows = rows.add_column("image_id", [str(index) for index in range(len(rows))])
    return ImageData(identifier, rows, bare_sheet(name, licence=first.info.license or "unknown"))


def _is_streamed(identifier: str, options: Mapping[str, str]) -> bool:
    given = options.get("streaming", "0")
    if given not in ("0", "1"):
        raise InputError(f"streaming must be 0 or 1, got {given!r} in {identifier!r}")
    return given == "1"


def _hf_splits(name: str, config: str | None, *, is_streamed: bool) -> "dict[str, Dataset]":
    from datasets import Dataset, DatasetDict, load_dataset, load_from_disk

    folder = Path(name).expanduser()
    is_saved = any((folder / mark).exists() for mark in ("dataset_dict.json", "dataset_info.json"))
    if is_saved and is_streamed:
        raise InputError(
            f"{folder} is a saved data set, which is read in place: leave out ?streaming=1"
        )
    try:
        if is_streamed:
            return _stream_splits(name, config)
        if not folder.exists():
            loaded = load_dataset(name, config)
        elif is_saved:
            loaded = load_from_disk(str(folder))
        else:
            files = parquet_files(folder)
            loaded = DatasetDict({split: Dataset.from_parquet(paths, keep_in_memory=True)
                                  for split, paths in files.items()})  # fmt: skip
    except InputError:
        raise
    except (ConnectionError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"cannot load hf:{name}: {reason}; without a network give a folder instead: "
            "hf:FOLDER with what `save_to_disk` wrote, or with parquet files"
        ) from error
    return {"train": loaded} if isinstance(loaded, Dataset) else dict(loaded)


def _stream_splits(name: str, config: str | None) -> "dict[str, Dataset]":
    """Return the rows of every split, read in one pass without images; those are places."""
    from datasets import Dataset, Features

    builder = open_builder(name, config)
    splits: dict[str, Dataset] = {}
    for split, stream in builder.as_streaming_dataset().items():
        images = [key for key, kind in stream.features.items() if type(kind).__name__ == "Image"]
        others = [key for key in stream.features if key not in images]
        # Of parquet files the other columns alone are read: images are what is large.
        rest = open_builder(name, config, columns=others).as_streaming_dataset(split=split)
        kinds = Features({key: stream.features[key] for key in others})
        rows = Dataset.from_list(list(rest.select_columns(others)), features=kinds)
        for column in images:
            place = stream_path(name, config, split=split, column=column, builder=builder)
            rows = _add_places(rows, column, place)
        splits[split] = rows
    return splits


def _add_places(rows: "Dataset", column: str, place: str) -> "Dataset":
    from datasets import Image

    places = [{"bytes": None, "path": f"{place}#{index}"} for index in range(len(rows))]
    return rows.add_column(column, places, feature=Image(decode=False))


def _rename(part: "Dataset", roles: Mapping[str, str], identifier: str) -> "Dataset":
    """Give columns the names of their roles; a column that bears such a name makes room."""
    for name in roles.values():
        if name not in part.column_names:
            raise InputError(
                f"{identifier!r} has no column {name!r}; it has: {', '.join(part.column_names)}"
            )
    in_the_way = [role for role, name in roles.items() if name != role]
    # A column that bears a role's name and is not meant makes room for the one that is.
    part = part.remove_columns([role for role in in_the_way if role in part.column_names])
    return part.rename_columns({roles[role]: role for role in in_the_way})


def _column_of_type(rows: "Dataset", kind: str) -> str | None:
    """Return the first column of a feature type, the one of that name if there are several."""
    names = [str(name) for name, item in rows.features.items() if type(item).__name__ == kind]
    # False sorts first: the plain name, else the first of its type.
    return next(iter(sorted(names, key=lambda name: name not in ("image", "label"))), None)
