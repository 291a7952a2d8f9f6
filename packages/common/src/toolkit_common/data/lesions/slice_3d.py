"""SLICE-3D (ISIC 2024): 401,059 crops of 15 x 15 mm out of 3D total-body photographs.

Source: Kurtansky et al., ISIC 2024 challenge, doi 10.34970/2024-slice-3d, CC BY-NC 4.0; the
permissive part (CC BY and CC0 rows) is doi 10.34970/2024-slice-3d-permissive.
Layouts: Kaggle (`train-metadata.csv`, `train-image.hdf5` or `train-image/image/`; of the test set
the same without labels) and ISIC archive (`ISIC_2024_*_Input/`, `_GroundTruth.csv`,
`_Supplement.csv`). Traps: specs/slimp.md 5.1.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
from pyarrow import csv
from typing_extensions import override

from toolkit_common.data.base import ImageData
from toolkit_common.data.lesions.folder import (
    Request,
    add_images,
    find_images,
    finish,
    missing_table,
    read_request,
)
from toolkit_common.data.lesions.measures import measured_column
from toolkit_common.data.sheet import Column, Sheet
from toolkit_common.data.tables import MISSING, read_table, require_columns
from toolkit_common.errors import InputError

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
PERMISSIVE_IMAGES = 217_477
LICENCES = ("all", "permissive")
SHEET = Sheet(
    title="SLICE-3D",
    source="Kurtansky et al., the SLICE-3D dataset: skin lesion image crops extracted from 3D TBP",
    doi="10.34970/2024-slice-3d",
    licence="CC BY-NC 4.0 (rows CC-BY and CC-0 alone: ?license=permissive)",
    labels=("malignant", "diagnosis"),
    counts={"images": 401_059, "patients": 1042},
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
    notes=(
        "indeterminate lesions count as benign, as in the challenge",
        "ages of a patient that differ between visits are replaced by their median",
    ),
)
WORDS = (
    "isic_id",
    "patient_id",
    "copyright_license",
    *(column.name for column in SHEET.columns if column.kind == "categorical"),
    *(name for name in SHEET.leaks if name != "lesion_id"),  # the audit reads them, no one else
)
NUMBERS = tuple(column.name for column in SHEET.columns if column.kind != "categorical")


def load_slice_3d(identifier: str, name: str, options: Mapping[str, str]) -> ImageData:
    """Read SLICE-3D in whichever layout lies in the folder.

    Raises:
        InputError: If tables, columns or images are missing, or an option is unknown.
    """
    request = read_request(identifier, name, options, own={"license": LICENCES})
    frame, path, folder = _read_layout(request)
    require_columns(frame, ("isic_id", "patient_id", *NUMBERS), path=path)
    sheet = SHEET
    if request.options["license"] == "permissive":
        require_columns(frame, ("copyright_license",), path=path)
        frame = frame[frame["copyright_license"].isin(PERMISSIVE)].reset_index(drop=True)
    if request.options["license"] == "permissive" or "Permissive" in path.parent.name:
        sheet = replace(sheet, doi=f"{SHEET.doi}-permissive", licence="CC BY 4.0",
                        counts={"images": PERMISSIVE_IMAGES})  # fmt: skip
    if frame.empty:
        raise InputError(f"{path} has no rows that {identifier!r} asks for")
    frame["image_id"] = frame["isic_id"]
    frame["patient_id"] = frame["patient_id"].where(frame["patient_id"].notna(), frame["isic_id"])
    if "target" in frame:
        frame = _label(frame)
    else:
        sheet = replace(sheet, notes=("no labels: those of the test set are not public",
                                      *sheet.notes))  # fmt: skip
    frame = add_images(frame, _places(folder), request, hint=f"unpack the images into {folder}")
    pa.default_memory_pool().release_unused()
    data = finish(frame, sheet, request, path=path)
    del frame
    pa.default_memory_pool().release_unused()
    return data


def _read_layout(request: Request) -> tuple[pd.DataFrame, Path, Path]:
    """Return the rows, their file, and where the images are (a folder or an HDF5 file)."""
    for split in ("train", "test"):
        path = request.root / f"{split}-metadata.csv"
        if path.is_file():
            packed = request.root / f"{split}-image.hdf5"
            folder = request.root / f"{split}-image"
            return read_large_table(path), path, packed if packed.is_file() else folder
    inputs = sorted(request.root.glob("ISIC_2024_*_Input"))
    if len(inputs) > 1:
        names = ", ".join(path.name for path in inputs)
        raise InputError(f"{request.root} holds {names}: put each into a folder of its own")
    if not inputs:
        raise missing_table(request, "train-metadata.csv or ISIC_2024_Training_Input", SHEET)
    stem = inputs[0].name.removesuffix("_Input")
    beside = request.root / f"{stem}_metadata.csv"
    path = beside if beside.is_file() else inputs[0] / "metadata.csv"
    frame = read_large_table(path)
    truth, supplement = (request.root / f"{stem}_{part}.csv" for part in
                         ("GroundTruth", "Supplement"))  # fmt: skip
    if truth.is_file():
        labels = read_table(truth)
        require_columns(labels, ("isic_id", "malignant"), path=truth)
        frame = frame.merge(labels.rename(columns={"malignant": "target"}), how="left")
    if supplement.is_file():
        more = read_large_table(supplement)
        new = [key for key in more if key == "isic_id" or key not in frame]
        frame = frame.merge(more[new], on="isic_id", how="left")
    return frame, path, inputs[0]


def read_large_table(path: Path) -> pd.DataFrame:
    """Read the columns that are needed of a table of 400,000 rows, in seconds.

    Raises:
        InputError: If the file is missing or not a table; a cell that is no number is named by
            `build_lesion_data`.
    """
    if not path.is_file():
        raise InputError(f"no table at {path}")
    types = dict.fromkeys(WORDS, pa.string()) | dict.fromkeys(NUMBERS, pa.float64())
    convert = csv.ConvertOptions(
        column_types=types, null_values=sorted(MISSING), strings_can_be_null=True
    )
    try:
        header = csv.open_csv(path).schema.names
        convert.include_columns = [name for name in header if name in types]
        # Columns are freed one by one as they are taken over.
        frame = csv.read_csv(path, convert_options=convert).to_pandas(
            split_blocks=True, self_destruct=True
        )
    except pa.ArrowInvalid:  # the slow reader takes other separators, and names what is wrong
        return read_table(path).drop(columns="lesion_id", errors="ignore")
    pa.default_memory_pool().release_unused()
    return frame


def _label(frame: pd.DataFrame) -> pd.DataFrame:
    """Add `malignant` and `diagnosis`: the kind of a malignant lesion, else how benign it is."""
    target = frame["target"].map({"0": False, "0.0": False, "1": True, "1.0": True})
    if target.isna().any():
        found = frame["target"][target.isna()].iloc[0]
        raise InputError(f"label {found!r} of {frame['isic_id'][target.isna()].iloc[0]} is not 0 "
                         "or 1")  # fmt: skip
    is_malignant = target.astype(bool)
    frame["malignant"] = is_malignant.map({True: "malignant", False: "benign"})
    diagnosis = frame["malignant"].str.capitalize()
    for column, where in (("iddx_1", ~is_malignant), ("iddx_3", is_malignant)):
        if column in frame:
            diagnosis = diagnosis.mask(where & frame[column].notna(), frame[column])
    frame["diagnosis"] = diagnosis
    return frame


def _places(place: Path) -> Mapping[str, object]:
    if place.suffix != ".hdf5":
        return find_images(place)
    import h5py

    with h5py.File(place, "r") as file:
        return _Entries(place, frozenset(file))


class _Entries(Mapping[str, str]):
    """Places of the entries of an HDF5 file, each made when it is asked for."""

    def __init__(self, file: Path, keys: frozenset[str]) -> None:
        self.file = file
        self.entries = keys

    @override
    def __getitem__(self, key: str) -> str:
        if key not in self.entries:
            raise KeyError(key)
        return f"{self.file}#{key}"

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    @override
    def __len__(self) -> int:
        return len(self.entries)
