"""ISIC 2018, task 3: HAM10000 for training, 193 images for validation, the official test of 1,512.

Source: Codella et al., arXiv 1902.03368; Tschandl et al., Scientific Data 5 (2018) 180161;
challenge.isic-archive.com/data, CC BY-NC 4.0. Layouts: the challenge's
(`ISIC2018_Task3_Training_GroundTruth.csv`, a column a class, `_LesionGroupings.csv`, `_Input/`) and
the Dataverse's (`HAM10000_metadata`, its images, and answers of the test with the same columns).
Age, sex and site stand in the Dataverse's tables alone. Traps: docs/datasets.md.
"""

from collections.abc import Mapping
from dataclasses import replace

from toolkit_common.data.dataset import ImageData
from toolkit_common.data.sheet import Column, Sheet
from toolkit_common.sources.lesions import ham10000
from toolkit_common.sources.lesions.build import malignancy
from toolkit_common.sources.lesions.folder import read_request
from toolkit_common.sources.lesions.isic_challenge import Part, finish_challenge, read_parts

CLASSES = ("mel", "nv", "bcc", "akiec", "bkl", "df", "vasc")
NAME = "ISIC2018_Task3_{}_{}.csv"
PARTS = (
    Part(
        "train",
        (NAME.format("Training", "GroundTruth"), *ham10000.TABLES),
        ((NAME.format("Training", "LesionGroupings"),), ham10000.TABLES),
        {code.upper(): ham10000.SHEET.counts[code] for code in CLASSES},
    ),
    Part("val", (NAME.format("Validation", "GroundTruth"),)),
    Part("test", (NAME.format("Test", "GroundTruth"),)),
)
SHEET = Sheet(
    title="ISIC 2018 task 3",
    source="ISIC 2018 challenge, task 3: Codella et al., arXiv 1902.03368; Tschandl et al., "
    "Scientific Data 5 (2018) 180161",
    doi=ham10000.SHEET.doi,
    licence="CC BY-NC 4.0",
    labels=("diagnosis", "malignant"),
    counts={"train": 10_015, "val": 193, "test": 1512},
    classes={code.upper(): ham10000.SHEET.classes[code] for code in CLASSES},
    binary=malignancy({"MEL", "BCC"}, premalignant={"AKIEC"}),
    columns=(
        Column("age", "patient", "numeric", unit="years", low=0, high=120),
        Column("sex", "patient", "categorical", unknown=ham10000.UNKNOWN),
        Column("localization", "lesion", "categorical", unknown=ham10000.UNKNOWN),
    ),
    leaks={
        **ham10000.SHEET.leaks,
        "diagnosis_confirm_type": "histopathology wherever cancer was suspected",
    },
    acquisition=ham10000.SHEET.acquisition,
    notes=("it holds HAM10000 whole: never mix the two",),
)


def load_isic_2018(identifier: str, name: str, options: Mapping[str, str]) -> ImageData:
    """Read the parts whose answers are there, with their official splits.

    Raises:
        InputError: If a table or images are missing, or a table is at fault.
    """
    request = read_request(identifier, name, options, own={})
    challenge = read_parts(request, SHEET, PARTS)
    if "age" not in challenge.frame:
        note = f"no age, sex and site: {ham10000.TABLES[0]} is not there"
        challenge = replace(challenge, notes=(*challenge.notes, note))
    return finish_challenge(challenge, SHEET, request)
