"""ISIC 2019: 25,331 dermoscopic images of eight diagnoses, and the challenge's test of 8,238.

Source: HAM10000 (Tschandl et al., 2018), BCN20000 (Combalia et al., arXiv 1908.02288) and MSK
(Codella et al., arXiv 1710.05006); challenge.isic-archive.com/data, CC BY-NC 4.0. Layout:
`ISIC_2019_Training_GroundTruth.csv`, `_Metadata.csv`, `_Input/`, and of the test the same: its
answers have a ninth class, UNK, and weights. Traps: docs/datasets.md.
"""

from collections.abc import Mapping
from dataclasses import replace

from toolkit_common.data.cells import parse_numbers
from toolkit_common.data.dataset import ImageData
from toolkit_common.data.sheet import Column, Sheet
from toolkit_common.printable import counted
from toolkit_common.sources.lesions.build import malignancy
from toolkit_common.sources.lesions.folder import read_request
from toolkit_common.sources.lesions.isic_challenge import Part, finish_challenge, read_parts

UNKNOWN = "UNK"  # a class of the test alone: none can learn it
WEIGHT = "score_weight"
NAME = "ISIC_2019_{}_{}.csv"
PARTS = (
    Part(
        "train",
        (NAME.format("Training", "GroundTruth"),),
        ((NAME.format("Training", "Metadata"),),),
        {"MEL": 4522, "NV": 12_875, "BCC": 3323, "AK": 867, "BKL": 2624, "DF": 239, "VASC": 253,
         "SCC": 628},
    ),
    Part("test", (NAME.format("Test", "GroundTruth"),), ((NAME.format("Test", "Metadata"),),)),
)  # fmt: skip
SHEET = Sheet(
    title="ISIC 2019",
    source="ISIC 2019 challenge: Tschandl et al., Scientific Data 5 (2018) 180161; Combalia et "
    "al., arXiv 1908.02288; Codella et al., arXiv 1710.05006",
    licence="CC BY-NC 4.0",
    labels=("diagnosis", "malignant"),
    counts={"train": 25_331, "test": 8238},
    classes={
        "MEL": "melanoma",
        "NV": "nevus",
        "BCC": "basal cell carcinoma",
        "AK": "actinic keratosis",
        "BKL": "benign keratosis",
        "DF": "dermatofibroma",
        "VASC": "vascular lesion",
        "SCC": "squamous cell carcinoma",
        UNKNOWN: "none of these",
    },
    binary=malignancy({"MEL", "BCC", "SCC"}, premalignant={"AK"}),
    columns=(
        Column("age_approx", "patient", "numeric", unit="years", low=0, high=120),
        Column("sex", "patient", "categorical"),
        Column("anatom_site_general", "lesion", "categorical"),
    ),
    acquisition={
        "source": "the collection, by the lesion's id: each has its own mix of diagnoses",
        WEIGHT: "of the challenge, of test images alone",
        "validation_weight": "of the challenge, of test images alone",
    },
    notes=(
        "images of HAM10000 and BCN20000 are in it: audit a mixture",
        "no lesion ids of test images: a lesion may be on both sides of the official splits",
    ),
)


def load_isic_2019(identifier: str, name: str, options: Mapping[str, str]) -> ImageData:
    """Read the training part, and the test where its answers are there.

    Test images of the class UNK have no label: no image of training has it.

    Raises:
        InputError: If a table or images are missing, or a table is at fault.
    """
    request = read_request(identifier, name, options, own={})
    challenge = read_parts(request, SHEET, PARTS)
    frame, notes = challenge.frame, [*challenge.notes]
    is_unknown = frame["diagnosis"] == UNKNOWN
    frame["diagnosis"] = frame["diagnosis"].mask(is_unknown, None)
    if is_unknown.any():
        images = counted(is_unknown.sum(), "test image is", "test images are")
        notes.append(f"{images} of none of the eight classes ({UNKNOWN}): they have no label")
    if WEIGHT in frame and (parse_numbers(frame[WEIGHT]) == 0).any():
        count = int((parse_numbers(frame[WEIGHT]) == 0).sum())
        images = counted(count, "test image has", "test images have")
        notes.append(f"{images} {WEIGHT} 0: the challenge did not count them, "
                     "figures here do")  # fmt: skip
    # HAM_0000118, BCN_0003884, MSK4_0011169; without id the image's own name says nothing.
    is_named = frame["lesion_id"] != frame["image_id"]
    frame["source"] = frame["lesion_id"].str.extract(r"^([A-Za-z]+)")[0].where(is_named, None)
    return finish_challenge(replace(challenge, notes=tuple(notes)), SHEET, request)
