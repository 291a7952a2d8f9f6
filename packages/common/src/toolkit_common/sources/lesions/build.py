"""From a lesion data set's own table to typed rows: labels, groups, patient-level columns.

Readers bring a table with the file's columns plus `image`, `image_id`, `lesion_id`, `diagnosis`
and, where the data set has them, `patient_id` and `malignant`; everything that all data sets share
happens here.
"""

import math
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pandas as pd

from toolkit_common.data.cells import BOOLEANS, UNKNOWN, same_word
from toolkit_common.data.dataset import ImageData, build_image_data
from toolkit_common.data.sheet import BinaryLabel, Column, Sheet
from toolkit_common.data.tables import to_number
from toolkit_common.errors import InputError
from toolkit_common.printable import counted

Premalignant = Literal["benign", "malignant", "drop"]

MALIGNANCY = BinaryLabel("malignant", of="diagnosis", either_name="premalignant")


def build_lesion_data(
    identifier: str,
    frame: pd.DataFrame,
    sheet: Sheet,
    *,
    path: Path,
    premalignant_as: Premalignant = "benign",
) -> ImageData:
    """Type the columns, add `malignant` and `group`, withhold what must never be an input.

    Values that are not plausible, and patients who had several, are counted in the notes.

    Raises:
        InputError: If a numeric cell is no number.
    """
    known = ("image", "image_id", "patient_id", "lesion_id", "diagnosis", "split", *sheet.labels)
    keys = [name for name in dict.fromkeys(known) if name in frame]
    typed = frame[keys].copy()
    for name in ("patient_id", "lesion_id"):
        if name in typed:  # 7 and 7.0, as programs write ids where some are empty
            typed[name] = typed[name].map(same_word, na_action="ignore")
    if sheet.binary.positive or "malignant" in frame:
        typed["malignant"] = answer_malignant(frame, sheet, premalignant_as)
    # The largest unit known: images of one patient tell of each other (docs/traps.md 16).
    typed["group"] = typed["patient_id" if "patient_id" in typed else "lesion_id"]
    notes = list(sheet.notes)
    for column in sheet.columns:
        if column.name in frame:
            typed[column.name] = _typed(frame, column, path)
            notes += _implausible(typed, column)
    for column in sheet.columns:
        if column.level == "patient" and column.name in typed and "patient_id" in typed:
            typed[column.name], several = _one_per_patient(typed, column)
            notes += several
    for name in sheet.acquisition:  # no input by default, but results are broken down by it
        if name in frame:
            typed[name] = frame[name]
    # By position, as the typed rows are numbered anew.
    withheld = frame[[name for name in sheet.leaks if name in frame]].reset_index(drop=True)
    sheet = replace(sheet, notes=tuple(notes))
    return replace(build_image_data(identifier, typed, sheet), withheld=withheld)


def malignancy(
    malignant: Collection[str] = (), *, premalignant: Collection[str] = ()
) -> BinaryLabel:
    """Return the binary label of a data set: which of its diagnoses count as what."""
    return replace(MALIGNANCY, positive=frozenset(malignant), either=frozenset(premalignant))


def answer_malignant(
    frame: pd.DataFrame, sheet: Sheet, premalignant_as: Premalignant
) -> "pd.Series[str]":
    """Return benign or malignant: the file's own answer, else the sheet's, and None for neither.

    Premalignant diagnoses count as the user says, whatever the file does.
    """
    answers = {
        code: "malignant" if code in sheet.binary.positive else "benign" for code in sheet.classes
    }
    diagnosis = frame["diagnosis"]
    answer = frame["malignant"] if "malignant" in frame else diagnosis.map(answers)
    chosen = None if premalignant_as == "drop" else premalignant_as
    # Last, so that the user's word holds against the file's own answer.
    return answer.astype(object).mask(diagnosis.isin(sheet.binary.either), chosen)


def _typed(frame: pd.DataFrame, column: Column, path: Path) -> pd.Series:
    values = frame[column.name]
    unknown = {word.lower() for word in column.unknown}
    if column.kind in ("numeric", "angle"):
        # Without words of its own a column may hold numbers already.
        known = values.where(~values.str.lower().isin(unknown), None) if unknown else values
        return to_number(known, path=path, ids=frame["image_id"], unit=column.unit)
    lower = values.str.lower()
    if column.kind == "boolean":
        spelled = BOOLEANS | dict.fromkeys(unknown, UNKNOWN)
        strange = (lower.notna() & ~lower.isin(spelled)).to_numpy()
        if strange.any():
            word, image = values[strange].iloc[0], frame["image_id"][strange].iloc[0]
            raise InputError(
                f"{path}: image {image}, column {column.name!r}: {word!r} is neither true nor false"
            )
        return lower.map(spelled)
    return values.where(~lower.isin(unknown), UNKNOWN)


def _implausible(frame: pd.DataFrame, column: Column) -> list[str]:
    """Count the numbers outside the column's bounds; they stay as they are."""
    if column.low is None and column.high is None:
        return []
    values = frame[column.name]
    low = -math.inf if column.low is None else column.low
    high = math.inf if column.high is None else column.high
    # A missing value is not an implausible one.
    strange = values.notna() & ~values.between(low, high)
    if not strange.any():
        return []
    examples = ", ".join(f"{value:g}" for value in sorted(values[strange].unique())[:3])
    image = frame["image_id"][strange].iloc[0]
    unit = f" {column.unit}" if column.unit else ""
    bounds = f"outside {low:g} to {high:g}"
    if column.low is None or column.high is None:
        bounds = f"above {high:g}" if column.low is None else f"below {low:g}"
    return [
        f"{column.name}: {strange.sum():,} of {len(frame):,} values are {bounds}{unit} and stay as "
        f"they are (found {examples}; first image: {image})"
    ]


def _one_per_patient(frame: pd.DataFrame, column: Column) -> tuple[pd.Series, list[str]]:
    """The median of a patient's numbers, the most frequent of a patient's words; who had more."""
    if column.kind in ("numeric", "angle"):
        grouped = frame.groupby("patient_id")[column.name]
        several, chosen = int((grouped.max() > grouped.min()).sum()), "their median"
        values = grouped.transform("median")
    else:
        counts = frame.groupby(["patient_id", column.name]).size()
        several, chosen = int((counts.groupby(level=0).size() > 1).sum()), "the most frequent"
        most_frequent = dict(counts.groupby(level=0).idxmax().tolist())  # of equals the first
        values = frame["patient_id"].map(most_frequent)
    note = f"{column.name}: {counted(several, 'patient')} had several values, {chosen} counts"
    return values, [note] if several else []
