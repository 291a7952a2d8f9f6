"""PAD-UFES-20: 2,298 smartphone images of six skin lesions with clinical metadata, from Brazil.

Source: Pacheco et al., Data in Brief 32 (2020) 106221, doi 10.17632/zr7vgbcyr2.1, CC BY 4.0.
Traps (docs/datasets.md): `lesion_id` is unique only together with `patient_id`; 804 rows lack the
whole clinical block and none of them is cancer, so that "missing" tells the label; `biopsed` alone
gives an AUROC of 0.90; BRASIL and BRAZIL are one country.
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
from toolkit_common.sources.lesions.folder import (
    add_images,
    find_images,
    finish,
    missing_table,
    read_request,
    refuse_strange_diagnoses,
)

UNKNOWN = ("UNK",)
BLOCK = (
    "smoke", "drink", "pesticide", "gender", "skin_cancer_history", "cancer_history",
    "has_piped_water", "has_sewage_system", "fitspatrick", "diameter_1", "diameter_2",
)  # fmt: skip
COMPLETE_IMAGES = 1494  # with the block; backgrounds are empty in a few of them
SHEET = Sheet(
    title="PAD-UFES-20",
    source="Pacheco et al., PAD-UFES-20: a skin lesion dataset composed of patient data and "
    "clinical images collected from smartphones, Data in Brief 32 (2020) 106221",
    doi="10.17632/zr7vgbcyr2.1",
    licence="CC BY 4.0",
    labels=("diagnosis", "malignant"),
    counts={
        "images": 2298, "lesions": 1891, "patients": 1373,
        "BCC": 845, "ACK": 730, "NEV": 244, "SEK": 235, "SCC": 192, "MEL": 52,
    },
    classes={
        "ACK": "actinic keratosis",
        "BCC": "basal cell carcinoma",
        "MEL": "melanoma",
        "NEV": "nevus",
        "SCC": "squamous cell carcinoma",
        "SEK": "seborrheic keratosis",
    },
    binary=malignancy({"BCC", "SCC", "MEL"}, premalignant={"ACK"}),
    columns=(
        Column("age", "patient", "numeric", unit="years", low=0, high=120),
        Column("gender", "patient", "categorical"),
        Column("smoke", "patient", "boolean", unknown=UNKNOWN),
        Column("drink", "patient", "boolean", unknown=UNKNOWN),
        Column("background_father", "patient", "categorical", unknown=UNKNOWN),
        Column("background_mother", "patient", "categorical", unknown=UNKNOWN),
        Column("pesticide", "patient", "boolean", unknown=UNKNOWN),
        Column("skin_cancer_history", "patient", "boolean", unknown=UNKNOWN),
        Column("cancer_history", "patient", "boolean", unknown=UNKNOWN),
        Column("has_piped_water", "patient", "boolean", unknown=UNKNOWN),
        Column("has_sewage_system", "patient", "boolean", unknown=UNKNOWN),
        Column("fitspatrick", "patient", "categorical"),
        Column("region", "lesion", "categorical"),
        Column("diameter_1", "lesion", "numeric", unit="mm", low=0, high=200),
        Column("diameter_2", "lesion", "numeric", unit="mm", low=0, high=200),
        Column("itch", "lesion", "boolean", unknown=UNKNOWN),
        Column("grew", "lesion", "boolean", unknown=UNKNOWN),
        Column("hurt", "lesion", "boolean", unknown=UNKNOWN),
        Column("changed", "lesion", "boolean", unknown=UNKNOWN),
        Column("bleed", "lesion", "boolean", unknown=UNKNOWN),
        Column("elevation", "lesion", "boolean", unknown=UNKNOWN),
    ),
    leaks={
        "diagnostic": "it is the label",
        "biopsed": "decided after the diagnosis was suspected; AUROC 0.90 for cancer alone",
    },
    notes=(
        "rows without the clinical block (35 %) are never cancer: what is missing tells the label "
        "(AUROC 0.83 on the full set); ?rows=complete leaves them out",
    ),
)  # fmt: skip


def load_pad_ufes_20(
    identifier: str, name: str, options: Mapping[str, str], *, sheet: Sheet = SHEET
) -> ImageData:
    """Read `metadata.csv` and the images in any of the circulating folder layouts.

    Images lie in `images/imgs_part_N/`, doubly nested, in `images/`, or beside the table; a copy
    that holds them in another format than `img_id` says is read too. `?rows=complete` leaves out
    patients without the clinical block, so that what is missing cannot tell the label. A part that
    is a data set of its own brings its sheet.

    Raises:
        InputError: If the table or images are missing, a diagnosis is unknown, or an option is.
    """
    request = read_request(identifier, name, options, own={"rows": ("all", "complete")})
    path = request.root / "metadata.csv"
    if not path.is_file():
        raise missing_table(request, "metadata.csv", sheet)
    frame = read_table(path)
    required = ("patient_id", "lesion_id", "diagnostic", "img_id")
    require_columns(frame, (*required, *(column.name for column in SHEET.columns)), path=path)
    if request.options["rows"] == "complete":
        frame, sheet = _complete(frame, sheet, path=path)
    frame["image_id"] = frame["img_id"]
    frame["diagnosis"] = frame["diagnostic"]
    refuse_strange_diagnoses(frame, SHEET, path=path)
    frame["lesion_id"] = frame["patient_id"] + "/" + frame["lesion_id"]
    for column in ("background_father", "background_mother"):
        frame[column] = frame[column].replace("BRASIL", "BRAZIL")
    stems = {image: Path(str(image)).stem for image in frame["img_id"]}
    files = find_images(request.root, stems.values())
    places = {image: files[stem] for image, stem in stems.items() if stem in files}
    hint = "unpack images/imgs_part_1 to 3 there"
    frame, notes = add_images(frame, places, request, hint=hint)
    return finish(frame, sheet, request, path=path, notes=notes)


def _complete(frame: pd.DataFrame, sheet: Sheet, *, path: Path) -> tuple[pd.DataFrame, Sheet]:
    """Return the rows that have the clinical block, and the sheet that says so."""
    kept = frame[frame[list(BLOCK)].notna().all(axis=1)].reset_index(drop=True)
    if kept.empty:
        raise InputError(
            f"{path} has no row with the whole clinical block: leave out ?rows=complete"
        )
    note = f"the {len(kept):,} of {len(frame):,} rows with the clinical block alone"
    # A part of the set (the embedded sample) has no counts to be held against.
    counts = {"images": COMPLETE_IMAGES} if sheet.counts else {}
    return kept, replace(sheet, counts=counts, notes=(note,))
