"""What the challenges of the ISIC share: answers with a column a class, tables to join, parts.

A challenge gives each part (training, validation, test) a folder `NAME_Input` of images, a table
`NAME_GroundTruth.csv` with 1 in the column of the right class and 0 in all others, and tables with
more columns, all keyed by image or lesion. They are found in the data set's folder or one below it,
as archives unpack. A part without its answers, or without any image, is not read, which is printed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from toolkit_common.data.cells import parse_numbers
from toolkit_common.data.dataset import ImageData
from toolkit_common.data.sheet import Sheet
from toolkit_common.data.tables import read_table, require_columns, row_number
from toolkit_common.errors import InputError
from toolkit_common.sources.lesions.folder import (
    Request,
    add_images,
    find_images,
    finish,
    missing_table,
)
from toolkit_common.sources.lesions.isic_export import add_lesions_

Names = tuple[str, ...]  # that one table may have, the first that is there


@dataclass(frozen=True)
class Part:
    """A part of a challenge.

    Attributes:
        split: Which split it is.
        truth: Names of the table of its answers.
        more: Names of each table with more columns.
        counts: Expected numbers of images of a class.
    """

    split: Literal["train", "val", "test"]
    truth: Names
    more: tuple[Names, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Challenge:
    """The rows of a challenge.

    Attributes:
        frame: The columns of all tables, `image_id`, `lesion_id`, `diagnosis`, and `split` where
            there are several parts.
        path: The table of the first part's answers.
        parts: Those that are read.
        places: Image id -> its file.
        choices: Which parts are read, and which are not.
        notes: What is missing.
    """

    frame: pd.DataFrame
    path: Path
    parts: tuple[Part, ...]
    places: Mapping[str, Path]
    choices: tuple[str, ...]
    notes: tuple[str, ...]


def find_table(root: Path, names: Names) -> Path | None:
    """Return the table of one of the names, in the folder or one below it.

    Raises:
        InputError: If two folders have one.
    """
    for name in names:
        if (root / name).is_file():
            return root / name
        below = sorted(path for path in root.glob(f"*/{name}") if path.is_file())
        if len(below) > 1:
            raise InputError(f"{below[0]} and {below[1]}: which one is meant? give its folder")
        if below:
            return below[0]
    return None


def read_answers(path: Path, classes: Sequence[str], *, key: str) -> pd.DataFrame:
    """Read answers: the table with the column `diagnosis` in the place of one a class.

    Args:
        path: The table.
        classes: Names of columns; a class that a table lacks has no row in it.
        key: The column that names the image or the lesion.

    Raises:
        InputError: If it is no such table: a cell is neither 0 nor 1, as in submissions, two
            classes are marked in a row, or a key is empty or occurs twice.
    """
    table = _read_once(path, key)
    present = [name for name in classes if name in table]
    if len(present) < 2:
        require_columns(table, tuple(classes), path=path)
    cells = table[present].apply(parse_numbers)
    strange = ~cells.isin([0, 1]).to_numpy()
    if strange.any():
        row, column = np.argwhere(strange)[0]
        raise InputError(
            f"{path}: row {row_number(table, int(row))}, column {present[column]!r}: "
            f"{table[present[column]].iloc[row]!r} is neither 0 nor 1: is it a submission?"
        )
    marked = cells.to_numpy() == 1
    doubled = marked.sum(axis=1) > 1
    if doubled.any():
        row = int(doubled.argmax())
        both = " and ".join(name for name, mark in zip(present, marked[row], strict=True) if mark)
        raise InputError(f"{path}: row {row_number(table, row)} is marked as {both}")
    answers = pd.Series(np.array(present, object)[marked.argmax(axis=1)], table.index)
    rest = table.drop(columns=present)
    return rest.assign(diagnosis=answers.where(marked.any(axis=1), None))


def join_table(frame: pd.DataFrame, path: Path, *, key: str) -> pd.DataFrame:
    """Add the columns of a table that are not there yet, by image or lesion.

    Raises:
        InputError: If the table lacks the key, names a row twice, or none of these rows.
    """
    table = _read_once(path, key)
    new = [name for name in table if name == key or name not in frame]
    if not frame[key].isin(table[key]).any():
        raise InputError(f"{path} has none of the {len(frame):,} rows beside it, such as "
                         f"{frame[key].iloc[0]}: is it of another release?")  # fmt: skip
    # To one order of rows: that of the answers.
    return frame.merge(table[new], on=key, how="left")


def read_parts(request: Request, sheet: Sheet, parts: Sequence[Part]) -> Challenge:
    """Read the parts of a challenge whose rows are images, key `image`.

    Raises:
        InputError: If there is no table of answers, or a table is at fault.
    """
    choices: list[str] = []
    found: dict[Path, tuple[Part, pd.DataFrame]] = {}
    for part in parts:
        path = find_table(request.root, part.truth)
        more = [at for names in part.more if (at := find_table(request.root, names))]
        if path is None:
            choices += [f"{at.name} is not read: its answers, {part.truth[0]}, are not there"
                        for at in more]  # fmt: skip
            continue
        frame = _read_truth(path, tuple(sheet.classes))
        for at in more:
            frame = join_table(frame, at, key="image")
        found[path] = (part, frame.assign(image_id=frame["image"], split=part.split))
    if not found:
        raise missing_table(request, parts[0].truth[0], sheet)
    places = find_images(request.root, pd.concat(frame["image_id"] for _, frame in found.values()))
    there = {path: item for path, item in found.items()
             if item[1]["image_id"].isin(places.keys()).any()}  # fmt: skip
    if there:  # else it is for `add_images` to say what is missing
        choices += [f"{path.name} is not read: none of its images is in {request.root}"
                    for path in found.keys() - there.keys()]  # fmt: skip
    read = there or found
    whole = pd.concat([frame for _, frame in read.values()], ignore_index=True)
    path = next(iter(read))
    if len(read) == 1:
        choices.append(f"{path.name} alone is read: splits are made")
        whole = whole.drop(columns="split")
    notes = add_lesions_(whole)
    used = tuple(part for part, _ in read.values())
    return Challenge(whole, path, used, places, tuple(choices), notes)


def finish_challenge(challenge: Challenge, sheet: Sheet, request: Request) -> ImageData:
    """Find the images and build the data set; expected are the counts of the parts that are read.

    Raises:
        InputError: If images are absent.
    """
    hint = f"unpack the images of {challenge.path.name} into {request.root}"
    frame, left_out = add_images(challenge.frame, challenge.places, request, hint=hint)
    counts: dict[str, int] = {part.split: sheet.counts[part.split] for part in challenge.parts}
    only = challenge.parts[0].counts if len(counts) == 1 else {}
    sheet = replace(sheet, counts={"images": sum(counts.values()), **counts, **only})
    notes = (*left_out, *challenge.notes)
    data = finish(frame, sheet, request, path=challenge.path, notes=notes)
    return replace(data, choices=challenge.choices)


def _read_truth(path: Path, classes: Names) -> pd.DataFrame:
    """Read answers with a column a class, or as HAM10000 has them: the class in `dx`."""
    table = _read_once(path, "image")
    if "dx" not in table:
        return read_answers(path, classes, key="image")
    diagnosis = table["dx"].str.upper()
    strange = diagnosis.notna() & ~diagnosis.isin(classes)
    if strange.any():
        raise InputError(f"{path}: diagnosis {table['dx'][strange].iloc[0]!r} is none of "
                         f"{', '.join(classes)}")  # fmt: skip
    return table.assign(diagnosis=diagnosis)


def _read_once(path: Path, key: str) -> pd.DataFrame:
    """Read a table that names no image or lesion twice; HAM10000 calls an image `image_id`."""
    table = read_table(path)
    if key == "image" and key not in table:
        table = table.rename(columns={"image_id": key})
    require_columns(table, (key,), path=path)
    if table.empty:
        raise InputError(f"{path} has a header and no rows")
    empty = table[key].isna().to_numpy()
    if empty.any():
        raise InputError(f"{path}: row {row_number(table, int(empty.argmax()))} has no {key}")
    doubled = table[key].duplicated()
    if doubled.any():
        raise InputError(f"{path}: {key} {table[key][doubled].iloc[0]!r} has two rows: keep one")
    return table
