"""HIBA: 1,616 dermoscopic and clinical images of a hospital in Buenos Aires, with skin types.

Source: Ricci Lara et al., a dataset of skin lesion images collected in Argentina, Scientific Data
(2023); ISIC collection 251, doi 10.34970/587329, CC BY; an older release is collection 176, doi
10.34970/432362.
Both generations of exports are read: that of 2023 (17 columns with `diagnosis`, skin types apart in
`SupplementaryData.csv`) and the newer one (`fitzpatrick_skin_type`, `diagnosis_1` to `_3`).
"""

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from toolkit_common.data.dataset import ImageData
from toolkit_common.data.sheet import Column, Sheet
from toolkit_common.data.tables import read_table, require_columns
from toolkit_common.sources.lesions.build import malignancy
from toolkit_common.sources.lesions.folder import Request, read_request, refuse_strange_diagnoses
from toolkit_common.sources.lesions.isic_export import (
    ACQUISITION,
    LEAKS,
    OWN,
    finish_export,
    read_diagnoses,
    read_export,
)

SHEET = Sheet(
    title="HIBA",
    source="Ricci Lara et al., a dataset of skin lesion images collected in Argentina, Scientific "
    "Data (2023); ISIC collection 251",
    doi="10.34970/587329",
    licence="CC BY 4.0",
    labels=("diagnosis", "malignant"),
    counts={"images": 1616, "lesions": 1246, "patients": 623, "malignant": 751},
    lesion_counts={
        "nevus": 556, "basal cell carcinoma": 235, "melanoma": 172, "squamous cell carcinoma": 91,
        "seborrheic keratosis": 48, "actinic keratosis": 44, "vascular lesion": 43,
        "dermatofibroma": 41, "solar lentigo": 15, "lichenoid keratosis": 1,
    },
    classes={
        name: name
        for name in (
            "actinic keratosis", "basal cell carcinoma", "dermatofibroma", "lichenoid keratosis",
            "melanoma", "nevus", "seborrheic keratosis", "solar lentigo",
            "squamous cell carcinoma", "vascular lesion",
        )
    },
    binary=malignancy({"basal cell carcinoma", "melanoma", "squamous cell carcinoma"},
                      premalignant={"actinic keratosis"}),
    columns=(
        Column("age_approx", "patient", "numeric", unit="years", low=0, high=120),
        Column("sex", "patient", "categorical"),
        Column("personal_hx_mm", "patient", "boolean"),
        Column("family_hx_mm", "patient", "boolean"),
        Column("fitzpatrick_skin_type", "patient", "categorical"),
        Column("anatom_site_general", "lesion", "categorical"),
    ),
    leaks=LEAKS,
    acquisition=ACQUISITION,
)  # fmt: skip
OLDER_COUNTS = {"images": 1635, "lesions": 1257, "patients": 628}
OLDER_DOI = "10.34970/432362"
REQUIRED = ("patient_id", "lesion_id", "age_approx", "sex", "anatom_site_general")
HINT = ": is it HIBA? any other export is isic:PATH"
SUPPLEMENT = "SupplementaryData.csv"
# How names of newer exports begin; those of older ones are the classes.
NEWER_NAMES = {
    "solar or actinic keratosis": "actinic keratosis",
    "lichen planus like keratosis": "lichenoid keratosis",
    "hemangioma": "vascular lesion",
    "angiokeratoma": "vascular lesion",
    "pyogenic granuloma": "vascular lesion",
    "benign soft tissue proliferations - vascular": "vascular lesion",
}


def load_hiba(identifier: str, name: str, options: Mapping[str, str]) -> ImageData:
    """Read HIBA as exported in 2023 or later, of either release.

    Both generations give the same classes and the same columns.

    Raises:
        InputError: If tables, columns or images are missing, or a diagnosis is unknown.
    """
    request = read_request(identifier, name, options, own=OWN)
    export = read_export(request, SHEET, required=REQUIRED)
    frame = export.frame
    if "diagnosis" not in frame:
        require_columns(frame, ("diagnosis_1", "diagnosis_2", "diagnosis_3"), path=export.path)
    frame["diagnosis"] = read_diagnoses(frame).map(_class_of, na_action="ignore")
    refuse_strange_diagnoses(frame, SHEET, path=export.path, hint=HINT)
    sheet = _add_skin_types(frame, request)
    if len(frame) == OLDER_COUNTS["images"]:
        sheet = replace(sheet, title="HIBA (older release)", doi=OLDER_DOI, counts=OLDER_COUNTS,
                        lesion_counts={})  # fmt: skip
    return finish_export(export, sheet, request)


def _class_of(name: str) -> str:
    """Return the class of a name of either generation, else the name."""
    lower = name.lower()
    starts = {**NEWER_NAMES, **SHEET.classes}
    return next((code for start, code in starts.items() if lower.startswith(start)), name)


def _add_skin_types(frame: pd.DataFrame, request: Request) -> Sheet:
    """Take skin types from the supplement of the older export; return the sheet that says so."""
    if "fitzpatrick_skin_type" in frame:
        return SHEET
    places = [request.root / SUPPLEMENT, request.root / "images" / SUPPLEMENT]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        note = f"no skin types: {SUPPLEMENT} is not in {request.root}"
        return replace(SHEET, notes=(note,))
    supplement = read_table(path)
    require_columns(supplement, ("isic_id", "skin_type"), path=path)
    types = dict(zip(supplement["isic_id"], supplement["skin_type"], strict=True))
    frame["fitzpatrick_skin_type"] = frame["isic_id"].map(types)
    if frame["fitzpatrick_skin_type"].isna().all():
        return replace(SHEET, notes=(f"no skin types: {path.name} has none of these images",))
    return SHEET
