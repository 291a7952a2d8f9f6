"""SLICE-3D (ISIC 2024): 401,059 crops of 15 x 15 mm out of 3D total-body photographs.

Source: Kurtansky et al., ISIC 2024 challenge, doi 10.34970/2024-slice-3d, CC BY-NC 4.0; the
permissive part (CC BY and CC0 rows) is doi 10.34970/2024-slice-3d-permissive.
Layouts: Kaggle (`train-metadata.csv`, `train-image.hdf5` or `train-image/image/`; of the test set
the same without labels) and ISIC archive (`ISIC_2024_*_Input/`, `_GroundTruth.csv`,
`_Supplement.csv`). Traps: docs/datasets.md.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa

from toolkit_common.data.dataset import ImageData
from toolkit_common.data.large_tables import Wanted
from toolkit_common.data.sheet import Column, Sheet
from toolkit_common.data.tables import require_columns
from toolkit_common.errors import InputError
from toolkit_common.sources.lesions.build import MALIGNANCY
from toolkit_common.sources.lesions.folder import add_images, finish, read_request
from toolkit_common.sources.lesions.measures import measured_column
from toolkit_common.sources.lesions.slice_3d_files import (
    LABEL,
    PACKED,
    Layout,
    find_places,
    read_layout,
)

MEASURES = (
    "clin_size_long_diam_mm", "tbp_lv_A", "tbp_lv_Aext", "tbp_lv_B", "tbp_lv_Bext", "tbp_lv_C",
    "tbp_lv_Cext", "tbp_lv_H", "tbp_lv_Hext", "tbp_lv_L", "tbp_lv_Lext", "tbp_lv_areaMM2",
    "tbp_lv_area_perim_ratio", "tbp_lv_color_std_mean", "tbp_lv_deltaA", "tbp_lv_deltaB",
    "tbp_lv_deltaL", "tbp_lv_deltaLB", "tbp_lv_deltaLBnorm", "tbp_lv_eccentricity",
    "tbp_lv_minorAxisMM", "tbp_lv_nevi_confidence", "tbp_lv_norm_border", "tbp_lv_norm_color",
    "tbp_lv_perimeterMM", "tbp_lv_radial_color_std_max", "tbp_lv_stdL", "tbp_lv_stdLExt",
    "tbp_lv_symm_2axis", "tbp_lv_x", "tbp_lv_y", "tbp_lv_z",
)  # fmt: skip
ANGLE = "tbp_lv_symm_2axis_angle"
PERMISSIVE = frozenset(("CC-BY", "CC-0"))
PERMISSIVE_DOI = "10.34970/2024-slice-3d-permissive"
# Of iddx_3 and iddx_1 (docs/datasets.md, which abbreviates them: their spelling is a guess).
KINDS = {
    "Basal cell carcinoma": 163, "Melanoma in situ": 80, "Melanoma Invasive": 63,
    "Squamous cell carcinoma in situ": 49, "Squamous cell carcinoma, Invasive": 22,
    "Melanoma, NOS": 13, "Squamous cell carcinoma, NOS": 2, "Melanoma metastasis": 1,
}  # fmt: skip
COUNTS = {
    "train": {"images": 401_059, "patients": 1042, "malignant": 393, "malignant patients": 259,
              "Indeterminate": 114} | KINDS,
    "test": {"images": 3},
    "permissive": {"images": 217_477},
}  # fmt: skip
LICENCES = ("all", "permissive")
SHEET = Sheet(
    title="SLICE-3D",
    source="Kurtansky et al., the SLICE-3D dataset: skin lesion image crops extracted from 3D TBP",
    doi="10.34970/2024-slice-3d",
    licence="CC BY-NC 4.0 (rows CC-BY and CC-0 alone: ?license=permissive)",
    labels=("malignant", "diagnosis"),
    binary=MALIGNANCY,
    counts=COUNTS["train"],
    columns=(
        Column("age_approx", "patient", "numeric", unit="years", low=0, high=120),
        Column("sex", "patient", "categorical"),
        Column("anatom_site_general", "lesion", "categorical"),
        Column("tbp_lv_location", "lesion", "categorical", unknown=("Unknown",)),
        Column("tbp_lv_location_simple", "lesion", "categorical", unknown=("Unknown",)),
        *(measured_column(name) for name in MEASURES),
        Column(ANGLE, "lesion", "angle", unit="degrees"),
    ),
    leaks={
        "target": "it is the label",
        **{f"iddx_{key}": "the diagnosis" for key in ("full", "1", "2", "3", "4", "5")},
        "mel_mitotic_index": "from the histology of melanomas",
        "mel_thick_mm": "from the histology of melanomas",
        "tbp_lv_dnn_lesion_confidence": "absent from the test set",
        "lesion_id": "given to lesions of interest only",
    },
    acquisition={
        "tbp_tile_type": "tells the site",
        "image_type": "constant",
        "attribution": "tells the site",
        "copyright_license": "tells the site",
    },
    notes=("indeterminate lesions count as benign, as in the challenge",),
)
UNLIKE = ("target", "tbp_lv_dnn_lesion_confidence")  # no codes for them
WANTED = Wanted(
    words=("isic_id", "patient_id", *UNLIKE,
           *(column.name for column in SHEET.columns if column.kind == "categorical")),
    # The audit alone reads the leaks; a lesion id would make groups.
    categories=(*SHEET.acquisition,
                *(name for name in SHEET.leaks if name not in ("lesion_id", *UNLIKE))),
    numbers=tuple(column.name for column in SHEET.columns if column.kind != "categorical"),
)  # fmt: skip


def load_slice_3d(identifier: str, name: str, options: Mapping[str, str]) -> ImageData:
    """Read SLICE-3D in whichever layout lies in the folder.

    Raises:
        InputError: If tables, columns or images are missing, or an option is unknown.
    """
    request = read_request(identifier, name, options, own={"license": LICENCES})
    layout = read_layout(request, SHEET, WANTED)
    frame, path, images = layout.frame, layout.path, layout.images
    require_columns(frame, ("patient_id", *WANTED.numbers), path=path)
    notes = _notes(layout)
    sheet = replace(SHEET, counts=_counts(layout))
    if request.options["license"] == "permissive":
        require_columns(frame, ("copyright_license",), path=path)
        frame = frame[frame["copyright_license"].isin(PERMISSIVE)].reset_index(drop=True)
        sheet = replace(sheet, counts=COUNTS["permissive"] if layout.part == "train" else {})
    if request.options["license"] == "permissive" or layout.part == "permissive":
        sheet = replace(sheet, doi=PERMISSIVE_DOI, licence="CC BY 4.0")
    if frame.empty:
        raise InputError(f"{path} has no rows that {identifier!r} asks for")
    frame["image_id"] = frame["isic_id"]
    frame["patient_id"] = frame["patient_id"].where(frame["patient_id"].notna(), frame["isic_id"])
    if LABEL in frame:
        frame = _label(frame, layout.labels)
    del layout
    places = find_places(images, frame["image_id"])
    frame, left_out = add_images(frame, places, request, hint=_hint(images))
    pa.default_memory_pool().release_unused()
    data = finish(frame, sheet, request, path=path, notes=(*left_out, *notes))
    del frame
    pa.default_memory_pool().release_unused()
    return data


def _counts(layout: Layout) -> dict[str, int]:
    """Return the expected counts; kinds are unknown where no table tells them."""
    told = {"iddx_1", "iddx_3"} <= set(layout.frame)
    unknown = () if told else ("Indeterminate", *KINDS)
    return {key: count for key, count in COUNTS[layout.part].items() if key not in unknown}


def _hint(images: Path) -> str:
    if images.suffix == PACKED:
        return f"{images.name} lacks them, download it again"
    return f"unpack the images into {images}"


def _notes(layout: Layout) -> list[str]:
    """Tell what the table lacks, and which of its cells are not what they seem."""
    frame, notes = layout.frame, []
    if layout.no_labels:
        notes.append(layout.no_labels)
    elif "iddx_3" not in frame:
        notes.append(f"the kinds of malignant lesions are not told: no column iddx_3 in "
                     f"{layout.path.name} or a Supplement.csv")  # fmt: skip
    absent = [column.name for column in SHEET.columns if column.name not in frame]
    if absent:
        notes.append(f"{layout.path.name} has no column {', '.join(absent)}")
    nameless = int(frame["patient_id"].isna().sum())
    if nameless:
        notes.append(f"{nameless:,} of {len(frame):,} images have no patient id: each counts as a "
                     "patient of its own")  # fmt: skip
    repeats = int((frame["tbp_lv_stdLExt"] == frame["tbp_lv_Lext"]).sum())
    if repeats:
        notes.append(f"tbp_lv_stdLExt repeats tbp_lv_Lext in {repeats:,} of {len(frame):,} rows: "
                     "it is no deviation there, look before you scale it")  # fmt: skip
    return notes


def _label(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Add `malignant` and `diagnosis`: the kind of a malignant lesion, else how benign it is."""
    empty = frame[LABEL].isna()
    if empty.any():
        first = frame["isic_id"][empty].iloc[0]
        raise InputError(f"{path} has no label for {empty.sum():,} of {len(frame):,} images "
                         f"(first: {first})")  # fmt: skip
    target = frame[LABEL].map({"0": False, "0.0": False, "1": True, "1.0": True})
    if target.isna().any():
        found = frame[LABEL][target.isna()].iloc[0]
        raise InputError(f"{path}: label {found!r} of {frame['isic_id'][target.isna()].iloc[0]} is "
                         "not 0 or 1")  # fmt: skip
    is_malignant = target.astype(bool)
    frame["malignant"] = is_malignant.map({True: "malignant", False: "benign"})
    diagnosis = frame["malignant"].str.capitalize()
    for column, where in (("iddx_1", ~is_malignant), ("iddx_3", is_malignant)):
        if column in frame:
            words = frame[column].astype(diagnosis.dtype)
            diagnosis = diagnosis.mask(where & words.notna(), words)
    frame["diagnosis"] = diagnosis
    return frame
