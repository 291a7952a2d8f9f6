"""Any export of the ISIC archive: its gallery, a collection, or `isic image download`.

Source: International Skin Imaging Collaboration, gallery.isic-archive.com; the licence of each
image stands in its row. Only columns of the archive's dictionary are read; age, sex, skin type and
history are the patient's, the rest is the lesion's.
"""

from collections.abc import Mapping
from dataclasses import replace

from toolkit_common.data.dataset import ImageData
from toolkit_common.data.sheet import Column, Sheet
from toolkit_common.sources.lesions.build import malignancy
from toolkit_common.sources.lesions.folder import read_request
from toolkit_common.sources.lesions.isic_export import (
    ACQUISITION,
    LEAKS,
    NAMES,
    OWN,
    PREMALIGNANT_DROPPED,
    finish_export,
    read_calls,
    read_diagnoses,
    read_export,
)
from toolkit_common.sources.lesions.slice_3d import MEASURES

SHEET = Sheet(
    title="ISIC archive export",
    source="International Skin Imaging Collaboration, gallery.isic-archive.com",
    licence="of each image: column copyright_license",
    labels=("diagnosis", "malignant"),
    binary=malignancy(premalignant={"actinic keratosis", "Solar or actinic keratosis"}),
    columns=(
        Column("age_approx", "patient", "numeric", unit="years", low=0, high=120),
        Column("sex", "patient", "categorical"),
        Column("fitzpatrick_skin_type", "patient", "categorical"),
        Column("personal_hx_mm", "patient", "boolean"),
        Column("family_hx_mm", "patient", "boolean"),
        Column("anatom_site_general", "lesion", "categorical"),
        Column("anatom_site_special", "lesion", "categorical"),
        *(Column(f"anatom_site_{level}", "lesion", "categorical") for level in range(1, 6)),
        Column("clin_size_long_diam_mm", "lesion", "numeric", unit="mm", low=0, high=500),
        Column("tbp_lv_location", "lesion", "categorical", unknown=("Unknown",)),
        Column("tbp_lv_location_simple", "lesion", "categorical", unknown=("Unknown",)),
        *MEASURES,  # of body photographs
    ),
    leaks=LEAKS
    | {
        **{f"iddx_{key}": "the diagnosis" for key in ("full", "1", "2", "3", "4", "5")},
        "target": "it is the label",
        "tbp_lv_dnn_lesion_confidence": "made by a network that looked for lesions of interest",
    },
    acquisition=ACQUISITION
    | {
        "tbp_tile_type": "tells the site",
        "image_manipulation": "how the picture was edited",
        "acquisition_day": "when the picture was taken",
        **dict.fromkeys(
            ("blurry", "color_tint", "hairy", "marker_pen"), "how the picture looks: tells the site"
        ),
    },
)


def load_isic(identifier: str, name: str, options: Mapping[str, str]) -> ImageData:
    """Read an export with whatever columns it has.

    `malignant` is what `diagnosis_1` says, else `benign_malignant`, else the name of the diagnosis.
    Indeterminate lesions have none, nor have actinic keratoses, which newer exports call
    indeterminate and older ones benign, unless `?premalignant_as=` says otherwise.

    Raises:
        InputError: If the table, `isic_id` or images are missing, or a label is a strange word.
    """
    request = read_request(identifier, name, options, own={**OWN, **PREMALIGNANT_DROPPED})
    export = read_export(request, SHEET)
    frame, sheet = export.frame, SHEET
    diagnosis = read_diagnoses(frame, (*NAMES, "benign_malignant"))
    if diagnosis.notna().any():
        frame["diagnosis"] = diagnosis
        frame["malignant"] = read_calls(frame, diagnosis, path=export.path)
    else:
        export = replace(export, frame=frame.drop(columns="diagnosis", errors="ignore"))
        sheet = replace(sheet, notes=("no labels: the export has no diagnosis", *sheet.notes))
    if "copyright_license" in frame:
        licences = ", ".join(sorted(frame["copyright_license"].dropna().unique()))
        sheet = replace(sheet, licence=f"by image: {licences or 'not stated'}")
    return finish_export(export, sheet, request)
