"""Hugging Face data sets: of the Hub, saved folders, parquet files; streamed if requested."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit_common.data.dataset import ImageData
from toolkit_common.data.labels import NO_CLASS, is_no_class
from toolkit_common.errors import InputError
from toolkit_common.ids import refuse_options
from toolkit_common.images.streams import open_builder, parquet_files, stream_path
from toolkit_common.sources.bare import bare_sheet
from toolkit_common.sources.roles import IMAGES, LABELS, NONE, OWNERS, plain_name
from toolkit_common.split_names import normal_split

if TYPE_CHECKING:
    from datasets import Dataset


def load_hf(identifier: str, name: str, options: Mapping[str, str]) -> ImageData:
    """Read a Hugging Face data set: a Hub id, a `save_to_disk` folder, or parquet files.

    The image and label columns are known by their types and, of several, by their names; a column
    called patient or lesion id is the group. `?config=`, `?image=`, `?label=` and `?group=`
    override. With `?streaming=1` nothing is copied to this machine: the images of a Hub id or of
    parquet files are read where they are, in order.

    Raises:
        InputError: If it is neither a folder nor to be had from the Hub, has no image column or
            no column of a given name, several columns could be the image or the label, parts of it
            do not fit together, or a split's name is unknown.
    """
    from datasets import Dataset, Image, concatenate_datasets

    refuse_options(identifier, options, ("config", "image", "label", "group", "streaming"))
    is_streamed = _is_streamed(identifier, options)
    parts = _hf_splits(name, options.get("config"), is_streamed=is_streamed)
    first = next(iter(parts.values()))
    roles, choices = _choose_roles(first, options, identifier)
    renamed = {role: column for role, column in roles.items() if role != "label"}
    parts = _unite_class_names(parts)
    pieces = []
    for split, part in parts.items():
        piece = _rename(part, renamed, identifier)
        if len(parts) > 1:
            given = [normal_split(split, repr(identifier))] * len(piece)
        elif "split" in piece.column_names:
            given = [normal_split(value, repr(identifier)) for value in piece["split"]]
        else:
            given = []
        piece = piece.remove_columns([item for item in piece.column_names if item == "split"])
        pieces.append(piece.add_column("split", given) if given else piece)
    try:
        whole: Dataset = concatenate_datasets(pieces)
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"the parts of {identifier!r} do not fit together: {reason}") from error
    # Undecoded: a broken file is found before long work begins (docs/traps.md 8).
    rows = whole.cast_column("image", Image(decode=False))
    if "image_id" not in rows.column_names:
        rows = rows.add_column("image_id", [str(index) for index in range(len(rows))])
    sheet = bare_sheet(name, licence=first.info.license or "unknown")
    label = roles.get("label")
    if label is not None:
        sheet = replace(sheet, labels=(label,))
        rows, more = _without_label(rows, label)
        choices = (*choices, *more)
    return ImageData(identifier, rows, sheet, choices=choices)


def _without_label(rows: "Dataset", label: str) -> tuple["Dataset", tuple[str, ...]]:
    """Empty the cells where -1 says that there is no label; take splits without any out of all."""
    from datasets import ClassLabel

    values = rows[label][:]
    is_coded = isinstance(rows.features[label], ClassLabel)
    # -1 is a class beside words, and beside 1 alone.
    if is_coded or is_no_class({str(value) for value in values if value is not None}):
        values = [None if str(value) == NO_CLASS else value for value in values]
    empty = sum(value is None for value in values)
    if not empty:
        return rows, ()
    kind = rows.features[label]
    rows = rows.remove_columns(label).add_column(label, values, feature=kind)
    lines = [f"{empty:,} of {len(rows):,} rows have no {label}"]
    if "split" in rows.column_names:
        splits = rows["split"][:]
        known = {split for split, value in zip(splits, values, strict=True) if value is not None}
        unknown = sorted(set(splits) - known)
        if unknown and known:  # a test set whose answers are kept back
            kept = [split if split in known else None for split in splits]
            kind = rows.features["split"]
            rows = rows.remove_columns("split").add_column("split", kept, feature=kind)
            lines.append(f"no row of {', '.join(unknown)} has a {label}: left out of all splits")
    return rows, tuple(lines)


def _choose_roles(
    part: "Dataset", options: Mapping[str, str], identifier: str
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the column of each role, and a line on those that were chosen."""
    names = list(part.column_names)
    roles = {role: options[role] for role in ("image", "label", "group") if role in options}
    said = []
    for role, kind, known in (("image", "Image", IMAGES), ("label", "ClassLabel", LABELS)):
        if role in roles:
            continue
        typed = [item for item in names if type(part.features[item]).__name__ == kind]
        chosen = _choose_of(typed, known, role=role, identifier=identifier)
        if chosen is None and role == "label":  # none has names of classes: words, by their names
            plain = [item for item in names if item not in roles.values()]
            chosen = next((item for item in known if item in plain), None)
        if chosen is not None:
            roles[role] = chosen
            others = [item for item in typed if item != chosen]
            beside = f" (of {', '.join(map(repr, typed))})" if others else ""
            said += [f"{role} {chosen!r}{beside}"] if others or chosen != role else []
    if "image" not in roles:
        raise InputError(f"{identifier!r} has no image column; it has: {', '.join(names)}")
    _refuse_absent(roles, names, identifier)
    if roles.get("group") == NONE and NONE not in names:
        del roles["group"]
    elif "group" not in roles and "group" not in names:
        owner = _owner([item for item in names if item not in roles.values()])
        if owner is not None:
            roles["group"] = owner
            said.append(f"group {owner!r} (?group=COLUMN names another, ?group={NONE} none)")
    return roles, (f"columns: {', '.join(said)}",) if said else ()


def _choose_of(
    typed: Sequence[str], known: Sequence[str], *, role: str, identifier: str
) -> str | None:
    """Return the one column of a type, or of several the one that is called so."""
    if len(typed) < 2:
        return typed[0] if typed else None
    called = [item for name in known for item in typed if plain_name(item) == name]
    if called:
        return called[0]
    raise InputError(
        f"{identifier!r} has several columns that could be the {role}: {', '.join(typed)}; name "
        f"one, as in ?{role}={typed[0]}"
    )


def _owner(names: Sequence[str]) -> str | None:
    """Return the column that is called as a patient's id is, else a lesion's."""
    for pattern in OWNERS.values():
        for name in names:
            if pattern.fullmatch(plain_name(name)):
                return name
    return None


def _refuse_absent(roles: Mapping[str, str], names: Sequence[str], identifier: str) -> None:
    for role, name in roles.items():
        if name not in names and (role, name) != ("group", NONE):
            raise InputError(f"{identifier!r} has no column {name!r}; it has: {', '.join(names)}")


def _unite_class_names(parts: "Mapping[str, Dataset]") -> "dict[str, Dataset]":
    """Give classes one order in all parts: splits may number the same names differently."""
    from datasets import ClassLabel

    united = dict(parts)
    first = next(iter(parts.values()))
    for column in first.column_names:
        kinds = [part.features.get(column) for part in parts.values()]
        lists = [tuple(kind.names) for kind in kinds if isinstance(kind, ClassLabel)]
        if len(lists) < len(parts) or len(set(lists)) == 1:
            continue
        names = list(dict.fromkeys(name for names in lists for name in names))
        for split, own in zip(parts, lists, strict=True):
            codes = {code: names.index(name) for code, name in enumerate(own)}
            # No class, which is None or -1, stays none.
            values = [codes.get(code, code) for code in united[split][column]]
            feature = ClassLabel(names=names)
            rest = united[split].remove_columns(column)
            united[split] = rest.add_column(column, values, feature=feature)
    return united


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
    _refuse_absent(roles, part.column_names, identifier)
    in_the_way = [role for role, name in roles.items() if name != role]
    # A column that bears a role's name and is not meant makes room for the one that is.
    part = part.remove_columns([role for role in in_the_way if role in part.column_names])
    return part.rename_columns({roles[role]: role for role in in_the_way})
