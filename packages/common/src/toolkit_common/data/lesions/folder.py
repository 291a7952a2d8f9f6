"""What the readers of lesion data sets share: options, images found by id, counts, their sheets.

Every reader takes `?premalignant_as=benign|malignant|drop` and `?allow_partial=1`, which leaves out
rows whose image is absent. Counts that differ from the sheet are reported in the notes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast, get_args

import pandas as pd

from toolkit_common.data.base import ImageData
from toolkit_common.data.lesions.build import Premalignant, build_lesion_data
from toolkit_common.data.sheet import Sheet
from toolkit_common.errors import InputError
from toolkit_common.ids import refuse_options

# Lies in the folder that `toolkit data make` wrote; the data may be in a folder of it.
SYNTHETIC = "SYNTHETIC.md"
NO_PATIENTS = (
    "no patient ids: splits keep lesions on one side, a person may be on two; what is known of "
    "patients counts as the lesion's, and SLIMP has its lesion loss alone"
)
SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp"))


@dataclass(frozen=True)
class Request:
    """What the user asked of a reader.

    Attributes:
        identifier: The data set's id, as written.
        root: The folder.
        premalignant_as: How `malignant` counts premalignant diagnoses.
        allow_partial: Leave out rows whose image is absent.
        options: Those of the reader's own.
    """

    identifier: str
    root: Path
    premalignant_as: Premalignant
    allow_partial: bool
    options: Mapping[str, str]


def read_request(
    identifier: str, name: str, options: Mapping[str, str], *, own: Mapping[str, tuple[str, ...]]
) -> Request:
    """Check the folder and the options.

    Args:
        identifier: The data set's id.
        name: The folder.
        options: As the user gave them.
        own: The reader's own options with their choices, the default first.

    Raises:
        InputError: If there is no folder, or an option or its value is unknown.
    """
    choices = {"premalignant_as": get_args(Premalignant), "allow_partial": ("0", "1"), **own}
    refuse_options(identifier, options, tuple(choices))
    chosen = {key: options.get(key, values[0]) for key, values in choices.items()}
    for key, value in chosen.items():
        if value not in choices[key]:
            known = ", ".join(choices[key])
            raise InputError(f"{key} must be one of {known}, got {value!r} in {identifier!r}")
    root = Path(name).expanduser()
    premalignant = cast(Premalignant, chosen["premalignant_as"])
    return Request(identifier, root, premalignant, chosen["allow_partial"] == "1", chosen)


def find_images(root: Path, *, without: tuple[str, ...] = ()) -> dict[str, Path]:
    """Return the images anywhere under a folder by their name without suffix.

    Args:
        root: The folder.
        without: Ends of the names of folders that hold something else, such as masks.
    """
    paths = sorted(
        path
        for path in root.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and not any(part.lower().endswith(without) for part in path.relative_to(root).parts[:-1])
    )
    return {path.stem: path for path in paths}


def add_images(
    frame: pd.DataFrame, places: Mapping[str, object], request: Request, *, hint: str
) -> pd.DataFrame:
    """Add the column `image` by `image_id`.

    Args:
        frame: Rows with `image_id`.
        places: Image id -> where the image is.
        request: What the user asked; decides on rows whose image is absent.
        hint: What to download and where to put it.

    Raises:
        InputError: If a row has no id, images are absent and the request does not allow it, or
            none is there.
    """
    nameless = int(frame["image_id"].isna().sum())
    if nameless:
        raise InputError(
            f"{nameless} of {len(frame)} rows in the table of {request.identifier!r} name no "
            "image: fill them in, or delete them"
        )
    absent = ~frame["image_id"].isin(places.keys())
    if absent.any() and not (request.allow_partial and not absent.all()):
        first = frame["image_id"][absent].iloc[0]
        way_out = "" if absent.all() else ", or add ?allow_partial=1 to leave those rows out"
        raise InputError(
            f"{int(absent.sum())} of {len(frame)} images are not under {request.root} (first: "
            f"{first}): {hint}{way_out}"
        )
    if absent.any():  # a large table is not copied for nothing
        frame = frame[~absent].reset_index(drop=True)
    return frame.assign(image=frame["image_id"].map(lambda key: str(places[key])))


def refuse_strange_diagnoses(
    frame: pd.DataFrame, sheet: Sheet, *, path: Path, hint: str = ""
) -> None:
    """Check that every diagnosis there is, is one of the sheet's classes.

    Args:
        frame: Rows with `diagnosis`.
        sheet: The data set's sheet.
        path: The table's file, for messages.
        hint: What to do, appended to the message.

    Raises:
        InputError: If one is not; the message names it.
    """
    diagnoses = frame["diagnosis"].dropna()
    strange = diagnoses[~diagnoses.isin(list(sheet.classes))]
    if not strange.empty:
        known = ", ".join(sheet.classes)
        raise InputError(f"{path}: diagnosis {strange.iloc[0]!r} is none of {known}{hint}")


def finish(frame: pd.DataFrame, sheet: Sheet, request: Request, *, path: Path) -> ImageData:
    """Build the data set; tell in its sheet what differs from the published one.

    Without patient ids there is no patient level: its columns become the lesion's.
    """
    notes = _differences(frame, sheet)
    if any((place / SYNTHETIC).is_file() for place in (request.root, request.root.parent)):
        notes = ["SYNTHETIC: drawn by toolkit data make, no person is behind it"]
        sheet = replace(sheet, title=f"{sheet.title} (SYNTHETIC)", licence="synthetic", counts={})
    if "patient_id" not in frame:
        notes.append(NO_PATIENTS)
        columns = tuple(replace(column, level="lesion") for column in sheet.columns)
        sheet = replace(sheet, columns=columns)
    sheet = replace(sheet, notes=(*notes, *sheet.notes))
    return build_lesion_data(
        request.identifier, frame, sheet, path=path, premalignant_as=request.premalignant_as
    )


def _differences(frame: pd.DataFrame, sheet: Sheet) -> list[str]:
    """Tell which counts differ; those of classes only where no image does: labels were changed."""
    keys = {"images": "image_id", "lesions": "lesion_id", "patients": "patient_id"}
    found = {name: frame[key].nunique() for name, key in keys.items() if key in frame}
    if "split" in frame:
        found |= {str(name): count for name, count in frame["split"].value_counts().items()}
    notes = []
    for name, count in sheet.counts.items():
        if found.get(name, count) != count:
            fewer = found[name] < count
            why = "a part or another release" if fewer else "another release, or rows were added"
            notes.append(f"found {found[name]:,} {name}, expected {count:,}: {why}")
    classes = frame["diagnosis"].value_counts() if "diagnosis" in frame else pd.Series(dtype=int)
    changed = [
        f"{code} {classes.get(code, 0):,} (expected {sheet.counts[code]:,})"
        for code in sheet.classes
        if classes.get(code, 0) != sheet.counts.get(code, classes.get(code, 0))
    ]
    if changed and not notes:
        notes.append(f"labels differ from the published ones: found {', '.join(changed)}")
    return notes


def missing_table(request: Request, expected: str, sheet: Sheet) -> InputError:
    """Return the error that names what to download and where to put it."""
    place = f"doi {sheet.doi}" if sheet.doi else sheet.source
    return InputError(
        f"no {expected} in {request.root}: download {sheet.title} ({place}) and give the folder "
        "that holds it"
    )
