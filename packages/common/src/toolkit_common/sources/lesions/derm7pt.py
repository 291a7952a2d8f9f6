"""Derm7pt: 1,011 cases with a dermoscopic and a clinical image each, and the seven-point checklist.

Source: Kawahara et al., IEEE JBHI 23 (2019) 538, doi 10.1109/JBHI.2018.2824327. Layout:
`release_v0/meta/meta.csv`, `release_v0/images/`, official splits in `meta/*_indexes.csv` (rows of
meta.csv, the first is 0). `?image=derm|clinic|both` picks the images; `?classes=5` puts the 20
diagnoses into the five groups of the paper; `?criteria=inputs`: see `folder.py`. The suffixes in
the table and on the disk differ in case. Traps: docs/datasets.md.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd

from toolkit_common.data.dataset import ImageData
from toolkit_common.data.sheet import Column, Sheet
from toolkit_common.data.tables import read_table, require_columns, row_number, to_number
from toolkit_common.errors import InputError
from toolkit_common.images.walk import find_files
from toolkit_common.sources.lesions.build import malignancy
from toolkit_common.sources.lesions.folder import (
    CRITERIA_OPTION,
    Request,
    add_images,
    finish,
    missing_table,
    place_criteria,
    read_request,
    refuse_strange_diagnoses,
)

INDEXES = {"train": "train_indexes.csv", "val": "valid_indexes.csv", "test": "test_indexes.csv"}
IMAGES = {"derm": ("derm",), "clinic": ("clinic",), "both": ("derm", "clinic")}
GROUPS = {
    "BCC": ("basal cell carcinoma",),
    "MEL": (
        "melanoma", "melanoma (in situ)", "melanoma (less than 0.76 mm)",
        "melanoma (0.76 to 1.5 mm)", "melanoma (more than 1.5 mm)", "melanoma metastasis",
    ),
    "MISC": ("dermatofibroma", "lentigo", "melanosis", "miscellaneous", "vascular lesion"),
    "NEV": (
        "blue nevus", "clark nevus", "combined nevus", "congenital nevus", "dermal nevus",
        "recurrent nevus", "reed or spitz nevus",
    ),
    "SK": ("seborrheic keratosis",),
}  # fmt: skip
GROUP_NAMES = {
    "BCC": "basal cell carcinoma",
    "MEL": "melanoma",
    "MISC": "dermatofibroma, lentigo, melanosis, vascular and miscellaneous",
    "NEV": "nevus",
    "SK": "seborrheic keratosis",
}
GROUP_OF = {name: group for group, names in GROUPS.items() for name in names}
MALIGNANT_GROUPS = frozenset({"BCC", "MEL"})
CRITERIA = tuple(
    Column(name, "lesion", "categorical")
    for name in (
        "pigment_network", "streaks", "pigmentation", "regression_structures",
        "dots_and_globules", "blue_whitish_veil", "vascular_structures",
    )
)  # fmt: skip
# Of the 294 malignant ones 252 are melanomas of some kind (docs/datasets.md: those of the paper).
COUNTS = {"images": 1011, "train": 413, "val": 203, "test": 395}
PUBLISHED = Sheet(
    title="Derm7pt",
    source="Kawahara et al., Seven-point checklist and skin lesion classification using multitask "
    "multimodal neural nets, IEEE JBHI 23 (2019) 538, doi 10.1109/JBHI.2018.2824327, "
    "derm.cs.sfu.ca",
    licence="research, see the terms at derm.cs.sfu.ca",
    labels=("diagnosis", "malignant"),
    counts={**COUNTS, "lesions": 1011, "basal cell carcinoma": 42, "malignant": 294},
    classes={name: name for name in sorted(GROUP_OF)},
    binary=malignancy({name for name, group in GROUP_OF.items() if group in MALIGNANT_GROUPS}),
    columns=(
        Column("sex", "patient", "categorical"),
        Column("location", "lesion", "categorical"),
        Column("elevation", "lesion", "categorical"),
    ),
    leaks={
        "management": "decided after the diagnosis",
        "level_of_diagnostic_difficulty": "judged after the diagnosis",
        "seven_point_score": "the sum of the criteria: the diagnosis of the checklist",
        "notes": "free words of those who diagnosed",
    },
)
SHEET = place_criteria(PUBLISHED, CRITERIA)


def load_derm7pt(identifier: str, name: str, options: Mapping[str, str]) -> ImageData:
    """Read the cases, their official splits and the images that are asked for.

    Raises:
        InputError: If the table, images or some of the split files are missing, or do not fit.
    """
    own = {**CRITERIA_OPTION, "image": tuple(IMAGES), "classes": ("20", "5")}
    request = read_request(identifier, name, options, own=own)
    places = (request.root, request.root / "release_v0")
    base = next((at for at in places if (at / "meta" / "meta.csv").is_file()), None)
    if base is None:
        raise missing_table(request, "meta/meta.csv or release_v0/meta/meta.csv", SHEET)
    path = base / "meta" / "meta.csv"
    frame = read_table(path)
    columns = (column.name for column in SHEET.columns)
    require_columns(frame, ("case_num", "diagnosis", "clinic", "derm", *columns), path=path)
    refuse_strange_diagnoses(frame, SHEET, path=path)
    nameless = frame["case_num"].isna().to_numpy()
    if nameless.any():
        raise InputError(f"{path}: row {row_number(frame, int(nameless.argmax()))} has no case_num")
    # One is enough to expect all three: a copy with some of them is damaged.
    has_splits = any((path.parent / item).is_file() for item in INDEXES.values())
    if has_splits and len(frame):
        frame["split"] = _official_splits(path, len(frame))
    if request.options["classes"] == "5":
        frame["diagnosis"] = frame["diagnosis"].map(GROUP_OF)
    frame["lesion_id"] = frame["case_num"]
    frame, notes = _add_images(frame, request, base)
    sheet = _sheet(request, has_splits=has_splits)
    return finish(frame, sheet, request, path=path, notes=notes)


def _sheet(request: Request, *, has_splits: bool) -> Sheet:
    sheet = place_criteria(PUBLISHED, CRITERIA, request)
    if request.options["classes"] == "5":
        counts = {**COUNTS, "lesions": 1011, "BCC": 42, "MEL": 252}
        binary = malignancy(MALIGNANT_GROUPS)
        sheet = replace(sheet, classes=GROUP_NAMES, binary=binary, counts=counts)
    if not has_splits:
        note = f"the official splits, {', '.join(INDEXES.values())}, are not there: made ones serve"
        sheet = replace(sheet, notes=(note, *sheet.notes))
    images = len(IMAGES[request.options["image"]])
    if images > 1:
        sheet = replace(sheet, acquisition={"image_type": "how the image was taken"})
    counts = {key: count * (1 if key == "lesions" else images)
              for key, count in sheet.counts.items()}  # fmt: skip
    return replace(sheet, counts=counts)


def _official_splits(path: Path, num_cases: int) -> list[str | None]:
    splits: list[str | None] = [None] * num_cases
    for split, name in INDEXES.items():
        table = read_table(path.parent / name)
        require_columns(table, ("indexes",), path=path.parent / name)
        numbers = to_number(table["indexes"], path=path.parent / name)
        for position, number in enumerate(numbers):
            where = f"{path.parent / name}: row {row_number(table, position)}, index {number:g}"
            if number not in range(num_cases):
                raise InputError(f"{where} is no row of {path.name}: 0 to {num_cases - 1}")
            taken = splits[int(number)]
            if taken is not None:
                raise InputError(f"{where} is in {INDEXES[taken]} already")
            splits[int(number)] = split
    return splits


def _add_images(
    frame: pd.DataFrame, request: Request, base: Path
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """One row an image, case by case; files are found whatever the case of their names."""
    root = base / "images"
    files = {path.relative_to(root).as_posix().lower(): path for path in find_files(root)}
    rows = pd.concat([
        frame.assign(image_id=frame["case_num"] + f"/{kind}", image_type=kind, file=frame[kind])
        for kind in IMAGES[request.options["image"]]
    ])  # fmt: skip
    # Stable: both images of a case stand side by side, in the order of the table.
    rows = rows.sort_index(kind="stable").reset_index(drop=True)
    paths = rows["file"].str.lower().map(files)
    places = dict(zip(rows["image_id"][paths.notna()], paths.dropna(), strict=True))
    absent = rows["file"][paths.isna()]
    example = f", such as {absent.iloc[0]}" if len(absent) else ""
    return add_images(rows, places, request, hint=f"unpack the images{example} into {root}")
