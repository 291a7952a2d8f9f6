"""BCN20000: 18,946 dermoscopic images of 5,440 lesions, Hospital Clinic de Barcelona.

Source: Hernandez-Perez et al., BCN20000: dermoscopic lesions in the wild, Scientific Data (2024);
ISIC collection 249, CC BY-NC 4.0. No patient id: groups are lesions. The export calls actinic
keratoses, and nothing else, indeterminate; 1,156 rows have no diagnosis.
"""

from collections.abc import Mapping

from toolkit_common.data.dataset import ImageData
from toolkit_common.data.sheet import Column, Sheet
from toolkit_common.sources.lesions.build import malignancy
from toolkit_common.sources.lesions.folder import read_request, refuse_strange_diagnoses
from toolkit_common.sources.lesions.isic_export import (
    ACQUISITION,
    LEAKS,
    OWN,
    PREMALIGNANT_DROPPED,
    finish_export,
    read_calls,
    read_diagnoses,
    read_export,
)

VASCULAR = "Benign soft tissue proliferations - Vascular"  # has no name at level 3
ACTINIC = "Solar or actinic keratosis"
IMAGES = {
    "Nevus": 5647, "Melanoma, NOS": 4003, "Basal cell carcinoma": 3676,
    "Seborrheic keratosis": 1268, ACTINIC: 1088, "Melanoma metastasis": 633,
    "Squamous cell carcinoma, NOS": 559, "Scar": 314, "Solar lentigo": 283, "Dermatofibroma": 168,
}  # fmt: skip
HINT = ": is it BCN20000? any other export is isic:PATH"
SHEET = Sheet(
    title="BCN20000",
    source="Hernandez-Perez et al., BCN20000: dermoscopic lesions in the wild, Scientific Data "
    "(2024); ISIC collection 249",
    licence="CC BY-NC 4.0",
    labels=("diagnosis", "malignant"),
    counts={"images": 18_946, "lesions": 5440, "malignant": 8871, "undiagnosed": 1156,
            VASCULAR: 151} | IMAGES,
    classes={name: name.lower() for name in IMAGES} | {VASCULAR: "vascular lesion"},
    binary=malignancy({"Melanoma, NOS", "Basal cell carcinoma", "Melanoma metastasis",
                       "Squamous cell carcinoma, NOS"}, premalignant={ACTINIC}),
    columns=(
        Column("age_approx", "patient", "numeric", unit="years", low=0, high=120),
        Column("sex", "patient", "categorical"),
        Column("anatom_site_general", "lesion", "categorical"),
        Column("anatom_site_special", "lesion", "categorical"),
    ),
    leaks=LEAKS,
    acquisition=ACQUISITION,
    notes=("images of it are in the challenges ISIC 2019 and later: audit a mixture",),
)  # fmt: skip


def load_bcn20000(identifier: str, name: str, options: Mapping[str, str]) -> ImageData:
    """Read BCN20000; rows without diagnosis and indeterminate ones have no `malignant`.

    The indeterminate ones are the actinic keratoses: `?premalignant_as=` counts them.

    Raises:
        InputError: If the table, a column or images are missing, or a diagnosis is unknown.
    """
    request = read_request(identifier, name, options, own={**OWN, **PREMALIGNANT_DROPPED})
    names = tuple(column.name for column in SHEET.columns)
    levels = ("diagnosis_1", "diagnosis_2", "diagnosis_3")
    export = read_export(request, SHEET, required=("lesion_id", *levels, *names))
    frame, path = export.frame, export.path
    diagnosis = read_diagnoses(frame, ("diagnosis_3", "diagnosis_2"))
    frame["diagnosis"] = diagnosis
    refuse_strange_diagnoses(frame, SHEET, path=path, hint=HINT)
    frame["malignant"] = read_calls(frame, diagnosis, path=path)
    return finish_export(export, SHEET, request)
