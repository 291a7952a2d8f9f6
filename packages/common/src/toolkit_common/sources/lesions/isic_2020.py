"""ISIC 2020 (SIIM-ISIC): 33,126 dermoscopic images of 2,056 patients, 584 melanomas.

Source: Rotemberg et al., Scientific Data 8 (2021) 34, doi 10.34970/2020-ds01, CC BY-NC 4.0.
Layouts: `ISIC_2020_Training_GroundTruth_v2.csv` (with lesion ids), the same without `_v2`, or
Kaggle's `train.csv`; JPEG images in any folder. Its list of doubled images is used where it is
there. The test of 10,982 images has no public labels. Traps: docs/datasets.md.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd

from toolkit_common.data.dataset import ImageData
from toolkit_common.data.sheet import Column, Sheet
from toolkit_common.data.tables import read_table, require_columns
from toolkit_common.errors import InputError
from toolkit_common.sources.lesions.build import malignancy
from toolkit_common.sources.lesions.folder import Request, missing_table, read_request
from toolkit_common.sources.lesions.isic_challenge import find_table
from toolkit_common.sources.lesions.isic_export import OWN, Export, finish_export, name_rows

TABLES = (
    "ISIC_2020_Training_GroundTruth_v2.csv",
    "ISIC_2020_Training_GroundTruth.csv",
    "train.csv",
)
DUPLICATES = "ISIC_2020_Training_Duplicates.csv"
TESTS = ("ISIC_2020_Test_Metadata.csv", "test.csv")
SITE = "anatom_site_general_challenge"
LABEL = "target"
DUPLICATES_OPTION = {"duplicates": ("drop", "keep")}
DIAGNOSES = {
    "nevus": 5193, "melanoma": 584, "seborrheic keratosis": 135, "lentigo NOS": 44,
    "lichenoid keratosis": 37, "solar lentigo": 7, "cafe-au-lait macule": 1,
    "atypical melanocytic proliferation": 1,
}  # fmt: skip
UNKNOWN = "unknown"
SHEET = Sheet(
    title="ISIC 2020",
    source="Rotemberg et al., A patient-centric dataset of images and metadata for identifying "
    "melanomas using clinical context, Scientific Data 8 (2021) 34",
    doi="10.34970/2020-ds01",
    licence="CC BY-NC 4.0",
    labels=("malignant", "diagnosis"),
    counts={"images": 33_126, "patients": 2056, "malignant": 584, "undiagnosed": 27_124,
            **DIAGNOSES},
    classes={name: name for name in DIAGNOSES},
    binary=malignancy({"melanoma"}),
    columns=(
        Column("age_approx", "patient", "numeric", unit="years", low=0, high=120),
        Column("sex", "patient", "categorical"),
        Column(SITE, "lesion", "categorical"),
    ),
    leaks={
        LABEL: "it is the label",
        "benign_malignant": "it is the label",
    },
    notes=("malignant is melanoma alone; benign lesions are mostly without diagnosis (unknown)",),
)  # fmt: skip


def load_isic_2020(identifier: str, name: str, options: Mapping[str, str]) -> ImageData:
    """Read the training part; doubled images are left out where their list is there.

    Raises:
        InputError: If the table, a column or images are missing, or a label is neither 0 nor 1.
    """
    request = read_request(identifier, name, options, own={**OWN, **DUPLICATES_OPTION})
    path = find_table(request.root, TABLES)
    if path is None:
        raise missing_table(request, " or ".join(TABLES), SHEET)
    frame = read_table(path)
    columns = (column.name for column in SHEET.columns)
    require_columns(frame, ("image_name", "patient_id", LABEL, "diagnosis", *columns), path=path)
    published = len(frame)
    frame, choices = _drop_duplicates(frame, request)
    left_out = published - len(frame)
    export = name_rows(frame.rename(columns={"image_name": "isic_id"}), path)
    export.frame["malignant"] = _read_calls(export, path)
    export.frame["diagnosis"] = export.frame["diagnosis"].replace(UNKNOWN, None)
    sheet = SHEET
    if left_out:  # which of them is of which class is not published
        sheet = replace(SHEET, counts={"images": SHEET.counts["images"] - left_out})
    choices += [f"{at.name} is not read: its labels are not public"
                for names in TESTS if (at := find_table(request.root, (names,)))]  # fmt: skip
    return replace(finish_export(export, sheet, request), choices=tuple(choices))


def _drop_duplicates(frame: pd.DataFrame, request: Request) -> tuple[pd.DataFrame, list[str]]:
    """Leave out images that repeat another, whoever's it is said to be."""
    path = find_table(request.root, (DUPLICATES,))
    if path is None:
        return frame, [f"{DUPLICATES} is not there: doubled images are not known"]
    table = read_table(path)
    require_columns(table, ("image_name_1", "image_name_2"), path=path)
    first: dict[str, str] = {}  # image -> the one that stands for it
    for one, two in zip(table["image_name_1"], table["image_name_2"], strict=True):
        kept, copy = _root(one, first), _root(two, first)
        if kept != copy:
            first[copy] = kept
    names = frame["image_name"]
    is_copy = names.map(lambda name: _root(name, first)).isin(names) & names.isin(first)
    if request.options["duplicates"] == "keep":
        return frame, [f"{is_copy.sum():,} images repeat another ({path.name}) and are kept"]
    line = (f"{is_copy.sum():,} of {len(frame):,} images repeat another ({path.name}) and are left "
            "out (?duplicates=keep)")  # fmt: skip
    return frame[~is_copy].reset_index(drop=True), [line]


def _root(name: str, first: Mapping[str, str]) -> str:
    while name in first:
        name = first[name]
    return name


def _read_calls(export: Export, path: Path) -> "pd.Series[str]":
    target = export.frame[LABEL].map({"0": "benign", "0.0": "benign", "1": "malignant",
                                      "1.0": "malignant"})  # fmt: skip
    if target.isna().any():
        strange = export.frame[target.isna()].iloc[0]
        raise InputError(
            f"{path}: {LABEL} {strange[LABEL]!r} of {strange['isic_id']} is neither 0 nor 1"
        )
    return target
