"""A user's own table of images, labels and metadata: `csv:FILE`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
import pandas as pd

from toolkit_common.data.cells import MISSING, Merge, unify
from toolkit_common.data.dataset import SPLITS, ImageData, build_image_data
from toolkit_common.data.labels import NO_CLASS, is_no_class
from toolkit_common.data.sheet import Sheet
from toolkit_common.data.tables import EMPTY_WORDS, NOTES, read_table, require_columns, row_number
from toolkit_common.errors import InputError
from toolkit_common.ids import refuse_options
from toolkit_common.printable import counted
from toolkit_common.sources.bare import bare_sheet
from toolkit_common.sources.columns import Typed, type_columns
from toolkit_common.sources.places import find_places, with_slashes
from toolkit_common.sources.roles import NONE, ROLES, Roles, choose_roles
from toolkit_common.split_names import normal_split

OPTIONS = (*ROLES, "label", "columns", "drop", "merge", "missing", "sheet")
WHOLE = ("image", "group", "image_id")  # roles that every row must have
COLUMNS = {"patient": "patient_id", "lesion": "lesion_id"}  # role -> column of the rows
EMPTY = "empty"  # as in ?missing=empty: empty cells alone
FEW_NAMES = 5  # columns in a line
NOT_REQUESTED = "not among ?columns="


def load_csv(identifier: str, name: str, options: Mapping[str, str]) -> ImageData:
    """Read a table of image paths (relative to the table, or absolute), labels and metadata.

    The table is text in any usual dialect, Excel or parquet.

    Its columns `image`, `label`, `split`, `group`, `image_id`, `patient`, `lesion` are those given
    as in `csv:FILE?image=path&label=dx&group=patient`, else those that are called so. All others
    are metadata, or those of `?columns=a,b`; `?drop=a,b` takes some away. `?merge=spelling` makes
    spellings that may be one the most frequent, `?merge=none` keeps them apart. `?missing=NA,-`
    says which words are missing beside an empty cell, `?sheet=NAME` which sheet is read.

    Raises:
        InputError: If a column or cell is missing, a split's name is unknown, spellings may be one,
            or an image id occurs twice.
    """
    refuse_options(identifier, options, OPTIONS)
    merge = _merge(identifier, options)
    path = Path(name).expanduser()
    frame = read_table(path, missing=_missing(options), sheet=options.get("sheet", ""), guess=True)
    dropped, requested = (_listed(options, key) for key in ("drop", "columns"))
    require_columns(frame, (*dropped, *requested), path=path)
    frame = frame.drop(columns=list(dropped))
    if frame.empty:
        raise InputError(f"{path} has a header and no rows")
    roles = _choose_roles(frame, options, path=path)
    keyed = _keyed(frame, roles, merge, path=path)
    labels = tuple(name for name in keyed if name in roles.labels) or ("label",)
    # Words read as missing are in doubt until the user has said which words are.
    unlabelled = {} if "missing" in options else _drop_no_class_(keyed, labels)
    doubted = _in_doubt(frame.attrs[EMPTY_WORDS], keyed, unlabelled)
    sheet = replace(
        bare_sheet(path.stem),
        labels=labels,
        empty_words={} if "missing" in options else doubted,
        spellings_differ=merge == "none",
    )
    used = {*roles.columns.values(), *roles.labels}
    others = [str(name) for name in frame if name not in used and name not in keyed]
    unread = _apart(others, sheet, requested)
    typed = type_columns(
        frame,
        [name for name in others if name not in unread],
        patients=_patients(keyed, roles),
        merge=merge,
    )
    sheet = replace(sheet, columns=typed.columns, unread={**unread, **typed.unread})
    keyed["image"], found = find_places(keyed["image"], path.parent)
    data = build_image_data(identifier, keyed.join(typed.frame[others]), sheet)
    lines = (
        *frame.attrs[NOTES],
        *found,
        *_lines(roles, sheet),
        *_counted(typed, unlabelled, sheet),
    )
    return replace(data, choices=tuple(f"{path.name}: {line}" for line in lines))


def _merge(identifier: str, options: Mapping[str, str]) -> Merge:
    merge = options.get("merge", "error")
    if merge not in get_args(Merge):
        raise InputError(f"merge must be spelling or none, got {merge!r} in {identifier!r}")
    return cast(Merge, merge)


def _choose_roles(frame: pd.DataFrame, options: Mapping[str, str], *, path: Path) -> Roles:
    roles = choose_roles(frame, options, path=path)
    if "missing" in options and _missing(options) != {""}:
        # Who names the words for missing has said that some rows have no label.
        return replace(roles, whole_labels=())
    return roles


def _missing(options: Mapping[str, str]) -> frozenset[str]:
    if "missing" not in options:
        return MISSING
    return frozenset(("", *_listed(options, "missing"))) - {EMPTY}


def _listed(options: Mapping[str, str], key: str) -> tuple[str, ...]:
    return tuple(filter(None, (item.strip() for item in options.get(key, "").split(","))))


def _keyed(frame: pd.DataFrame, roles: Roles, merge: Merge, *, path: Path) -> pd.DataFrame:
    """Return the columns that have a role, under our names; labels keep theirs."""
    columns = roles.columns
    for name in (*(columns[role] for role in WHOLE if role in columns), *roles.whole_labels):
        hint = f", or add ?group={NONE}" if name == columns.get("group") else ""
        _refuse_missing(frame[name], path, hint)

    def words(name: str) -> pd.Series:
        return unify(frame[name], what=f"{path}: column {name!r}", merge=merge)

    images = frame[columns["image"]]
    # Ids do not depend on where the table lies, nor on the system that wrote it.
    ids = frame[columns["image_id"]] if "image_id" in columns else images.map(with_slashes)
    keyed: dict[str, Any] = {"image": images, "image_id": ids}
    if "split" in columns:
        given = frame[columns["split"]]
        keyed["split"] = [
            normal_split(value, f"{path}: row {row_number(given, position)}")
            for position, value in enumerate(given)
        ]
    for role, name in {**COLUMNS, "group": "group"}.items():
        if role in columns:
            keyed[name] = words(columns[role])
    if "patient_id" in keyed and "lesion_id" in keyed:
        keyed["lesion_id"] = _of_patients(keyed["lesion_id"], keyed["patient_id"])
    reserved = {*keyed, "split", "group", *COLUMNS.values()}
    for name in roles.labels:
        keyed["label" if name in reserved else name] = words(name)
    return pd.DataFrame(keyed)


def _drop_no_class_(keyed: pd.DataFrame, labels: Sequence[str]) -> dict[str, int]:
    """Empty the cells of labels where -1 says that a row has none; return how many they are."""
    dropped = {}
    for name in (item for item in labels if item in keyed):
        if is_no_class(keyed[name].dropna().unique()):
            is_empty = keyed[name] == NO_CLASS
            keyed[name] = keyed[name].mask(is_empty, None)
            dropped[name] = int(is_empty.sum())
    return dropped


def _in_doubt(
    words: Mapping[str, Mapping[str, int]], keyed: pd.DataFrame, unlabelled: Mapping[str, int]
) -> dict[str, Mapping[str, int]]:
    """Add -1 beside 0 and 1 alone to the words in doubt: it may be the third of three answers."""
    doubted = {
        name: {**words.get(name, {}), NO_CLASS: count}
        for name, count in unlabelled.items()
        if keyed[name].nunique() == 2
    }
    return {**words, **doubted}


def _of_patients(lesions: pd.Series, patients: pd.Series) -> pd.Series:
    """Return ids that no two patients share: lesion 1 of one is another than that of the next."""
    shared = patients.groupby(lesions).nunique() > 1
    return patients + "/" + lesions if shared.any() else lesions


def _patients(keyed: pd.DataFrame, roles: Roles) -> pd.Series | None:
    """Return whose a patient's columns are: a group that is no lesion is one."""
    if "patient_id" in keyed:
        return keyed["patient_id"]
    is_lesion = roles.columns.get("group") == roles.columns.get("lesion")
    return keyed["group"] if "group" in keyed and not is_lesion else None


def _apart(names: Sequence[str], sheet: Sheet, requested: Sequence[str]) -> dict[str, str]:
    """Return the columns that are not looked at, and why."""
    if requested:
        return {name: NOT_REQUESTED for name in names if name not in requested}
    splits = {name: "called as a split is" for name in names if name in SPLITS}
    # A leak is read only where somebody names it: ?columns= does.
    leaks = {name: f"may be a leak: {sheet.suspects[name]}" for name in names
             if name in sheet.suspects}  # fmt: skip
    return {**splits, **leaks}


def _lines(roles: Roles, sheet: Sheet) -> Iterator[str]:
    """Yield what was chosen: roles by their names, columns by what they hold, and the rest."""
    if roles.chosen:
        yield ", ".join(roles.chosen)
    levels = {
        level: [f"{column.name} [{column.unit}]" if column.unit else column.name
                for column in sheet.columns if column.level == level]
        for level in ("patient", "lesion")
    }  # fmt: skip
    read = "; ".join(f"of the {level}: {_few(names)}" for level, names in levels.items()
                     if names)  # fmt: skip
    if read:
        yield f"metadata {read}"
    unread = [f"{name} ({why})" for name, why in sheet.unread.items() if why != NOT_REQUESTED]
    if unread:
        yield f"no metadata: {', '.join(unread)}"


def _few(names: Sequence[str]) -> str:
    """Return names, of many the first ones: `toolkit data describe` has them all."""
    more = len(names) - FEW_NAMES
    return ", ".join(names) if more < 2 else f"{', '.join(names[:FEW_NAMES])} and {more} more"


def _counted(typed: Typed, unlabelled: Mapping[str, int], sheet: Sheet) -> Iterator[str]:
    """Yield what was counted on the way."""
    for name, count in typed.differing.items():
        patients = counted(count, "patient")
        yield f"{name} has two values in {patients}: it is read as the lesion's"
    settled = {name: count for name, count in unlabelled.items()
               if NO_CLASS not in sheet.empty_words.get(name, {})}  # fmt: skip
    for name, count in settled.items():
        rows = counted(count, "row")
        yield f"{name} is {NO_CLASS} in {rows}: no class (?missing=empty makes it one)"


def _refuse_missing(column: "pd.Series[Any]", path: Path, hint: str) -> None:
    missing = np.flatnonzero(column.isna().to_numpy())
    if missing.size:
        raise InputError(
            f"{path}: row {row_number(column, int(missing[0]))} has no {column.name} "
            f"({counted(missing.size, 'such row')}): fill it, or drop the row"
            f"{hint}"
        )
