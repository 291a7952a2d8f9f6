"""What exports of the ISIC archive share: the table, ids, two generations of diagnoses.

An export is `metadata.csv` (or `NAME_metadata_DATE.csv`) with one row an image, beside the images
or in `images/` with them. Older ones have `diagnosis` and `benign_malignant`, newer ones
`diagnosis_1` (Benign, Malignant or Indeterminate) to `diagnosis_5`, from coarse to fine.
Source of names: the archive's dictionary, github.com/ImageMarkup/isic-metadata.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from toolkit_common.data.dataset import ImageData
from toolkit_common.data.sheet import Sheet
from toolkit_common.data.splits import NUM_FOLDS
from toolkit_common.data.tables import read_table, require_columns, row_number
from toolkit_common.errors import InputError
from toolkit_common.printable import counted
from toolkit_common.sources.lesions.build import answer_malignant
from toolkit_common.sources.lesions.folder import (
    Request,
    add_images,
    find_images,
    finish,
    missing_table,
)

NAMES = ("diagnosis_3", "diagnosis_2", "diagnosis_1", "diagnosis")  # the first that is filled
CALL_COLUMNS = ("diagnosis_1", "benign_malignant")
CALLS: Mapping[str, str | None] = {
    "benign": "benign",
    "malignant": "malignant",
    "indeterminate": None,
    "indeterminate/benign": None,
    "indeterminate/malignant": None,
}
MALIGNANT_NAMES = (
    "malignant", "melanoma", "basal cell carcinoma", "squamous cell carcinoma",
    "merkel cell carcinoma",
)  # fmt: skip
BENIGN_NAMES = (
    "benign", "nevus", "seborrheic keratosis", "pigmented benign keratosis", "lichenoid keratosis",
    "lichen planus like keratosis", "solar lentigo", "lentigo", "dermatofibroma", "vascular lesion",
    "angioma", "hemangioma", "angiokeratoma", "angiofibroma", "pyogenic granuloma", "scar",
    "verruca", "acrochordon", "cafe-au-lait macule", "ephelis", "neurofibroma", "epidermal nevus",
    "sebaceous hyperplasia", "sebaceous adenoma", "clear cell acanthoma", "mucosal melanosis",
)  # fmt: skip
KEYS = frozenset(("isic_id", "image_id", "lesion_id", "patient_id", "diagnosis", "malignant"))
OWN: Mapping[str, tuple[str, ...]] = {
    "rare": ("drop", "keep")
}  # the option that these readers share
# Newer exports call actinic keratosis indeterminate: the default then is to leave it out.
PREMALIGNANT_DROPPED: Mapping[str, tuple[str, ...]] = {
    "premalignant_as": ("drop", "benign", "malignant")
}
LEAKS = {
    **{f"diagnosis_{level}": "it is the diagnosis" for level in range(1, 6)},
    "benign_malignant": "it is the label",
    "diagnosis_confirm_type": "malignant lesions are confirmed by histopathology",
    "concomitant_biopsy": "decided after the diagnosis was suspected",
    "melanocytic": "part of the diagnosis",
    "nevus_type": "part of the diagnosis",
    **{f"mel_{name}": "known of melanomas alone"
       for name in ("class", "mitotic_index", "thick_mm", "type", "ulcer")},
    "pixels_x": "tells the camera, hence the site",
    "pixels_y": "tells the camera, hence the site",
}  # fmt: skip
ACQUISITION = {
    "attribution": "tells the site",
    "copyright_license": "tells the site",
    "image_type": "how the picture was taken",
    "dermoscopic_type": "how the picture was taken",
}


@dataclass(frozen=True)
class Export:
    """The rows of an export, the file of its table, and notes on what is missing.

    `frame` has the file's columns, `image_id`, `lesion_id`, and `patient_id` where any is known.
    """

    frame: pd.DataFrame
    path: Path
    notes: tuple[str, ...]


def read_export(request: Request, sheet: Sheet, *, required: tuple[str, ...] = ()) -> Export:
    """Read the table of an export and give its rows their ids.

    Without a lesion id an image is a lesion of its own. All rows of a lesion have its first
    patient; where some rows have none, the lesion stands in.

    Raises:
        InputError: If there is no table or more than one, it has no rows, or lacks a column or an
            `isic_id`.
    """
    path = _find_table(request, sheet)
    frame = read_table(path)
    require_columns(frame, ("isic_id", *required), path=path)
    return name_rows(frame, path)


def name_rows(frame: pd.DataFrame, path: Path) -> Export:
    """Give rows with `isic_id` the ids of their image, lesion and patient, see `read_export`.

    Raises:
        InputError: If there is no row, or one has no `isic_id`.
    """
    if frame.empty:
        raise InputError(f"{path} has a header and no rows")
    nameless = frame["isic_id"].isna().to_numpy()
    if nameless.any():
        raise InputError(f"{path}: row {row_number(frame, int(nameless.argmax()))} has no isic_id")
    frame["image_id"] = frame["isic_id"]
    lesion, patient = _column(frame, "lesion_id"), _column(frame, "patient_id")
    notes = add_lesions_(frame)
    if patient.isna().all():
        return Export(frame.drop(columns="patient_id", errors="ignore"), path, notes)
    frame["patient_id"], more = _patients(lesion, patient, fallback=frame["lesion_id"])
    return Export(frame, path, (*notes, *more))


def add_lesions_(frame: pd.DataFrame) -> tuple[str, ...]:
    """Make an image without a lesion id a lesion of its own; return the note that says so."""
    lesion = _column(frame, "lesion_id")
    frame["lesion_id"] = lesion.where(lesion.notna(), frame["image_id"])
    if lesion.notna().all():
        return ()
    return (f"{lesion.isna().sum():,} of {len(frame):,} images have no lesion id: each "
            "counts as a lesion of its own",)  # fmt: skip


def _patients(
    lesion: pd.Series, patient: pd.Series, *, fallback: pd.Series
) -> tuple[pd.Series, list[str]]:
    """Give every row a patient, and all rows of a lesion one, whatever the file says."""
    known, notes = patient.notna(), []
    if not known.all():
        notes.append(f"{(~known).sum():,} of {len(patient):,} images have no patient id: they have "
                     "that of their lesion, or are grouped by lesion")  # fmt: skip
    several = patient.groupby(lesion).nunique()
    if (several > 1).any():
        lesions = counted((several > 1).sum(), "lesion has", "lesions have")
        notes.append(f"{lesions} more than one patient id: the first holds, so that a lesion is "
                     "on one side of a split")  # fmt: skip
    first = patient[known].groupby(lesion[known]).first().to_dict()
    owner = lesion.map(first, na_action="ignore")
    owner = owner.where(owner.notna(), patient)
    return owner.where(owner.notna(), fallback), notes


def _find_table(request: Request, sheet: Sheet) -> Path:
    folders = (request.root, request.root / "images")
    plain = [path for folder in folders if (path := folder / "metadata.csv").is_file()]
    named = [
        path
        for folder in folders
        for path in sorted(folder.glob("*.csv"))
        if "metadata" in path.name.lower() and not path.name.startswith(".")
    ]
    tables = plain[:1] or named
    if not tables:
        raise missing_table(request, "metadata.csv, nor images/metadata.csv,", sheet)
    if len(tables) > 1:
        names = ", ".join(path.name for path in tables)
        raise InputError(f"{request.root} holds {names}: put each export into a folder of its own")
    return tables[0]


def read_diagnoses(frame: pd.DataFrame, names: tuple[str, ...] = NAMES) -> "pd.Series[str]":
    """Return the diagnosis of each row: of the columns the first that is filled, else None."""
    diagnosis = _column(frame, names[0])
    for name in names[1:]:
        diagnosis = diagnosis.where(diagnosis.notna(), _column(frame, name))
    return diagnosis


def read_calls(frame: pd.DataFrame, diagnosis: "pd.Series[str]", *, path: Path) -> "pd.Series[str]":
    """Return benign or malignant as the file says, else as the diagnosis is called.

    None where the file says indeterminate, or says nothing and the name may be either.

    Raises:
        InputError: If a cell of `diagnosis_1` or `benign_malignant` is another word.
    """
    calls = pd.Series(None, index=frame.index, dtype=object)
    for name in CALL_COLUMNS:
        words = _column(frame, name).map(str.lower, na_action="ignore")
        strange = words.notna() & ~words.isin(list(CALLS))
        if strange.any():
            word = frame[name][strange].iloc[0]
            raise InputError(f"{path}: {name} {word!r} is none of {', '.join(CALLS)}")
        calls = calls.where(calls.notna(), words)  # an indeterminate diagnosis_1 decides, too
    calls = calls.where(calls.notna(), diagnosis.map(_call_of, na_action="ignore"))
    return calls.map(CALLS, na_action="ignore")


def finish_export(export: Export, sheet: Sheet, request: Request) -> ImageData:
    """Find the images and build the data set.

    Diagnoses of too few patients (or lesions) to be in every split are no classes: their rows stay
    and count for `malignant`; `?rare=keep` keeps them.

    Raises:
        InputError: If images are absent.
    """
    places = find_images(request.root, export.frame["image_id"])
    hint = f"put them beside {export.path.name}"
    frame, left_out = add_images(export.frame, places, request, hint=hint)
    notes, published = [*left_out, *export.notes], frame.get("diagnosis")
    if "diagnosis" in frame:
        frame["malignant"] = answer_malignant(frame, sheet, request.premalignant_as)
        if frame["malignant"].isna().any():
            notes.append(f"{frame['malignant'].isna().sum():,} images have no label malignant: "
                         "indeterminate, or without diagnosis")  # fmt: skip
        rare = _rare_diagnoses(frame) if request.options["rare"] == "drop" else []
        if rare:
            frame["diagnosis"] = frame["diagnosis"].mask(frame["diagnosis"].isin(rare), None)
            notes.append(f"too rare for the label diagnosis (fewer than {NUM_FOLDS} patients or "
                         f"lesions; ?rare=keep keeps them): {'; '.join(rare)}")  # fmt: skip
    known = KEYS | sheet.leaks.keys() | sheet.acquisition.keys()
    known |= {column.name for column in sheet.columns}
    strange = sorted(str(name) for name in export.frame if name not in known)
    if strange:
        notes.append(f"columns that the sheet does not know are not read: {', '.join(strange)}")
    return finish(frame, sheet, request, path=export.path, notes=notes, published=published)


def _rare_diagnoses(frame: pd.DataFrame) -> list[str]:
    """Name the diagnoses of fewer groups than the splits have parts."""
    group = "patient_id" if "patient_id" in frame else "lesion_id"
    groups = frame.groupby("diagnosis")[group].nunique()
    return sorted(groups[groups < NUM_FOLDS].index)


def _call_of(diagnosis: str) -> str | None:
    """What the name of a diagnosis says; None for names that may be either."""
    lower = diagnosis.lower()
    if lower.startswith(MALIGNANT_NAMES):
        return "malignant"
    return "benign" if lower.startswith(BENIGN_NAMES) else None


def _column(frame: pd.DataFrame, name: str) -> "pd.Series[str]":
    """A column of words; empty where the export has none."""
    if name in frame:
        return frame[name].astype(object)
    return pd.Series(None, index=frame.index, dtype=object)
