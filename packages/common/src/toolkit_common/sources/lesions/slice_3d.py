"""SLICE-3D (ISIC 2024): 401,059 crops of 15 x 15 mm out of 3D total-body photographs.

Source: Kurtansky et al., ISIC 2024 challenge, doi 10.34970/2024-slice-3d, CC BY-NC 4.0; the
permissive part (CC BY and CC0 rows) is doi 10.34970/2024-slice-3d-permissive.
Layouts: Kaggle (`train-metadata.csv`, `train-image.hdf5` or `train-image/image/`; of the test set
the same without labels) and ISIC archive (`ISIC_2024_*_Input/`, `_GroundTruth.csv`,
`_Supplement.csv`). Traps: docs/datasets.md.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pandas as pd
import pyarrow as pa
from typing_extensions import override

from toolkit_common.data.dataset import ImageData
from toolkit_common.data.sheet import Column, Sheet
from toolkit_common.data.tables import require_columns
from toolkit_common.errors import InputError
from toolkit_common.extras import require
from toolkit_common.outside import reason_of
from toolkit_common.sources.large_tables import Wanted, read_large_table
from toolkit_common.sources.lesions.build import MALIGNANCY
from toolkit_common.sources.lesions.folder import (
    Request,
    add_images,
    find_images,
    finish,
    missing_table,
    read_request,
)

Part = Literal["train", "test", "permissive"]

PACKED = ".hdf5"
LABEL = "target"
NO_TEST_LABELS = "no labels: those of the test set are not public"
PERMISSIVE = frozenset(("CC-BY", "CC-0"))
PERMISSIVE_DOI = "10.34970/2024-slice-3d-permissive"
# Unit, smallest and largest value of what the camera's software measures (`tbp_lv_*`), where the
# name, docs/datasets.md or the definition of the quantity says so: lengths, areas, spreads and
# chroma are not negative, hue is atan2(b*, a*) in degrees. The rest have none: a* and b*,
# contrasts, coordinates and scores.
RANGES: dict[str, tuple[str, float | None, float | None]] = {
    **dict.fromkeys(("areaMM2",), ("mm2", 0, None)),
    **dict.fromkeys(("minorAxisMM", "perimeterMM"), ("mm", 0, None)),
    **dict.fromkeys(("area_perim_ratio", "C", "Cext", "stdL", "stdLExt", "color_std_mean",
                     "radial_color_std_max", "nevi_confidence"), ("", 0, None)),
    **dict.fromkeys(("L", "Lext"), ("", 0, 100)),
    **dict.fromkeys(("H", "Hext"), ("degrees", None, None)),
    "eccentricity": ("", 0, 1),
    **dict.fromkeys(("A", "Aext", "B", "Bext", "deltaA", "deltaB", "deltaL", "deltaLB",
                     "deltaLBnorm", "norm_border", "norm_color", "symm_2axis", "x", "y", "z"),
                    ("", None, None)),
}  # fmt: skip
# In the order of the file, which is that of ASCII.
MEASURES = (
    *(Column(f"tbp_lv_{name}", "lesion", "numeric", unit=unit, low=low, high=high)
      for name, (unit, low, high) in sorted(RANGES.items())),
    Column("tbp_lv_symm_2axis_angle", "lesion", "angle", unit="degrees"),
)  # fmt: skip
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
        Column("clin_size_long_diam_mm", "lesion", "numeric", unit="mm", low=0),
        *MEASURES,
    ),
    leaks={
        LABEL: "it is the label",
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
UNLIKE = (LABEL, "tbp_lv_dnn_lesion_confidence")  # no codes for them
WANTED = Wanted(
    words=("isic_id", "patient_id", *UNLIKE,
           *(column.name for column in SHEET.columns if column.kind == "categorical")),
    # The audit alone reads the leaks; a lesion id would make groups.
    categories=(*SHEET.acquisition,
                *(name for name in SHEET.leaks if name not in ("lesion_id", *UNLIKE))),
    numbers=tuple(column.name for column in SHEET.columns if column.kind != "categorical"),
)  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """What lies in the folder.

    Attributes:
        frame: The rows.
        path: Their file.
        labels: The file that the labels are from.
        images: A folder, or an HDF5 file.
        part: Of the published data.
        no_labels: Why `target` is absent; empty where it is there.
    """

    frame: pd.DataFrame
    path: Path
    labels: Path
    images: Path
    part: Part
    no_labels: str


def load_slice_3d(identifier: str, name: str, options: Mapping[str, str]) -> ImageData:
    """Read SLICE-3D in whichever layout lies in the folder.

    Raises:
        InputError: If tables, columns or images are missing, or an option is unknown.
    """
    request = read_request(identifier, name, options, own={"license": ("all", "permissive")})
    layout = _read_layout(request)
    frame, path, images = layout.frame, layout.path, layout.images
    require_columns(frame, ("patient_id", *WANTED.numbers), path=path)
    notes = _notes(layout)
    sheet = replace(SHEET, counts=_counts(layout))
    if request.options["license"] == "permissive":
        require_columns(frame, ("copyright_license",), path=path)
        frame = frame[frame["copyright_license"].isin(PERMISSIVE)].reset_index(drop=True)
        sheet = replace(sheet, counts=COUNTS["permissive"] if layout.part == "train" else {})
    if "permissive" in (request.options["license"], layout.part):
        sheet = replace(sheet, doi=PERMISSIVE_DOI, licence="CC BY 4.0")
    if frame.empty:
        raise InputError(f"{path} has no rows that {identifier!r} asks for")
    frame["image_id"] = frame["isic_id"]
    # Of their own, each: a shared word for missing would make one huge patient.
    frame["patient_id"] = frame["patient_id"].where(frame["patient_id"].notna(), frame["isic_id"])
    if LABEL in frame:
        frame = _label(frame, layout.labels)
    # Hundreds of thousands of rows: what is not needed any more is freed before they are copied.
    del layout
    places = _find_places(images, frame["image_id"])
    frame, left_out = add_images(frame, places, request, hint=_hint(images))
    pa.default_memory_pool().release_unused()
    data = finish(frame, sheet, request, path=path, notes=(*left_out, *notes))
    del frame
    pa.default_memory_pool().release_unused()
    return data


def _read_layout(request: Request) -> Layout:
    for part in ("train", "test"):
        path = request.root / f"{part}-metadata.csv"
        if path.is_file():
            return _read_kaggle(path, part)
    inputs = sorted(request.root.glob("ISIC_2024_*_Input"))
    if len(inputs) > 1:
        names = ", ".join(path.name for path in inputs)
        raise InputError(f"{request.root} holds {names}: put each into a folder of its own")
    if not inputs:
        raise missing_table(request, "train-metadata.csv or ISIC_2024_Training_Input", SHEET)
    return _read_archive(inputs[0])


def _read_kaggle(path: Path, part: Literal["train", "test"]) -> Layout:
    frame = read_large_table(path, WANTED, key="isic_id")
    packed = path.with_name(f"{part}-image{PACKED}")
    images = packed if packed.is_file() else path.with_name(f"{part}-image")
    no_labels = ""
    if LABEL not in frame:
        no_labels = NO_TEST_LABELS
        if part == "train":
            no_labels = (f"no labels: {path.name} has no column {LABEL!r}: download it again "
                         f"(doi {SHEET.doi})")  # fmt: skip
    return Layout(frame, path, path, images, part, no_labels)


def _read_archive(images: Path) -> Layout:
    stem = images.name.removesuffix("_Input")
    part: Part = "permissive" if "Permissive" in stem else "test" if "Test" in stem else "train"
    beside = images.with_name(f"{stem}_metadata.csv")
    path = beside if beside.is_file() else images / "metadata.csv"
    frame = read_large_table(path, WANTED, key="isic_id")
    truth, supplement = (images.with_name(f"{stem}_{name}.csv")
                         for name in ("GroundTruth", "Supplement"))  # fmt: skip
    labels = path
    if truth.is_file():
        table = _read_once(truth, Wanted(words=("isic_id", "malignant")))
        require_columns(table, ("malignant",), path=truth)
        answers = dict(zip(table["isic_id"], table["malignant"], strict=True))
        frame, labels = frame.assign(**{LABEL: frame["isic_id"].map(answers)}), truth
    if supplement.is_file():
        more = _read_once(supplement, WANTED)
        # New columns alone: merging would rename those that both have.
        new = [key for key in more if key == "isic_id" or key not in frame]
        frame = frame.merge(more[new], on="isic_id", how="left")
    no_labels = ""
    if LABEL not in frame:
        doi = PERMISSIVE_DOI if part == "permissive" else SHEET.doi
        no_labels = NO_TEST_LABELS if part == "test" else (
            f"no labels: {truth.name} is not in {truth.parent}: download it (doi {doi}) and put it "
            f"beside {images.name}"
        )  # fmt: skip
    return Layout(frame, path, labels, images, part, no_labels)


def _read_once(path: Path, wanted: Wanted) -> pd.DataFrame:
    """Read a table of which no image may have two rows."""
    table = read_large_table(path, wanted, key="isic_id")
    doubled = table["isic_id"].duplicated()
    if doubled.any():
        first = table["isic_id"][doubled].iloc[0]
        count = int((table["isic_id"] == first).sum())
        raise InputError(f"{path}: isic_id {first!r} occurs {count} times: keep one row of it")
    return table


def _find_places(images: Path, wanted: Iterable[object]) -> Mapping[str, object]:
    """Return the place of each image by its id, in a folder or an HDF5 file."""
    if images.suffix != PACKED:
        return find_images(images, wanted)
    h5py = require("h5py", extra="lesions", purpose=f"reading {images.name}")
    try:
        with h5py.File(images, "r") as file:
            # Names alone: the file is opened again by each process that reads images.
            return _Entries(images, frozenset(file))
    except (OSError, RuntimeError) as error:  # h5py raises both on damaged files
        raise InputError(
            f"{images} cannot be read as HDF5, download it again: {reason_of(error)}"
        ) from None


class _Entries(Mapping[str, str]):
    """Places of the entries of an HDF5 file, each made when it is needed."""

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


def _counts(layout: Layout) -> dict[str, int]:
    """Return the expected counts; kinds are unknown where no table has them."""
    unknown = () if {"iddx_1", "iddx_3"} <= set(layout.frame) else ("Indeterminate", *KINDS)
    return {key: count for key, count in COUNTS[layout.part].items() if key not in unknown}


def _hint(images: Path) -> str:
    if images.suffix == PACKED:
        return f"{images.name} lacks them, download it again"
    return f"unpack the images into {images}"


def _notes(layout: Layout) -> list[str]:
    """Note what the table lacks, and which of its cells are not what they seem."""
    frame, notes = layout.frame, []
    if layout.no_labels:
        notes.append(layout.no_labels)
    elif "iddx_3" not in frame:
        notes.append(f"the kinds of malignant lesions are unknown: no column iddx_3 in "
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
    # Kaggle writes 1, the archive 1.0.
    target = frame[LABEL].map({"0": False, "0.0": False, "1": True, "1.0": True})
    if target.isna().any():
        strange = frame[target.isna()].iloc[0]
        raise InputError(
            f"{path}: label {strange[LABEL]!r} of {strange['isic_id']} is not 0 or 1"
        )  # fmt: skip
    is_malignant = target.astype(bool)
    frame["malignant"] = is_malignant.map({True: "malignant", False: "benign"})
    diagnosis = frame["malignant"].str.capitalize()
    for column, where in (("iddx_1", ~is_malignant), ("iddx_3", is_malignant)):
        if column in frame:
            # As text: a coded column refuses words that are none of its own.
            words = frame[column].astype(diagnosis.dtype)
            diagnosis = diagnosis.mask(where & words.notna(), words)
    frame["diagnosis"] = diagnosis
    return frame
