"""MILK10k: 5,240 lesions, each with a clinical close-up and a dermoscopic image.

Source: MILK study team, MILK10k, ISIC Archive, doi 10.34970/648456, CC BY-NC 4.0. Layouts: the
challenge's (`MILK10k_Training_Metadata.csv`, `_GroundTruth.csv`, `_Supplement.csv`, images in
`MILK10k_Training_Input/LESION/`), and the archive's (`supplements/training_input.csv`,
`training_gt.csv`, `training_supp.csv`, `images/`). No patient id: groups are lesions. The test has
no public answers. `?image=derm|clinic|both`. Traps: docs/datasets.md.
"""

from collections.abc import Mapping
from dataclasses import replace

from toolkit_common.data.dataset import ImageData
from toolkit_common.data.sheet import Column, Sheet
from toolkit_common.data.tables import read_table, require_columns
from toolkit_common.errors import InputError
from toolkit_common.sources.lesions.build import malignancy
from toolkit_common.sources.lesions.folder import (
    CRITERIA_OPTION,
    Request,
    add_images,
    find_images,
    finish,
    missing_table,
    place_criteria,
    read_request,
)
from toolkit_common.sources.lesions.isic_challenge import find_table, join_table, read_answers

METADATA = ("MILK10k_Training_Metadata.csv", "training_input.csv")
TRUTH = ("MILK10k_Training_GroundTruth.csv", "training_gt.csv")
SUPPLEMENT = ("MILK10k_Training_Supplement.csv", "training_supp.csv")
TEST = ("MILK10k_Test_Metadata.csv", "test_input.csv")
IMAGES = {
    "derm": ("dermoscopic",),
    "clinic": ("clinical: close-up",),
    "both": ("dermoscopic", "clinical: close-up"),
}
MONET = tuple(
    Column(f"MONET_{name}", "lesion", "numeric", low=0, high=1)
    for name in ("ulceration_crust", "hair", "vasculature_vessels", "erythema", "pigmented",
                 "gel_water_drop_fluid_dermoscopy_liquid", "skin_markings_pen_ink_purple_pen")
)  # fmt: skip
MONET_LEAK = "read from the image by a network (MONET): a system has to see it itself"
PUBLISHED = Sheet(
    title="MILK10k",
    source="MILK study team, MILK10k: a hierarchical multimodal imaging-learning toolkit for "
    "diagnosing pigmented and nonpigmented skin cancer and its simulators",
    doi="10.34970/648456",
    licence="CC BY-NC 4.0",
    labels=("diagnosis", "malignant"),
    counts={"images": 5240, "lesions": 5240},
    classes={
        "AKIEC": "actinic keratosis or intraepidermal carcinoma",
        "BCC": "basal cell carcinoma",
        "BEN_OTH": "other benign proliferations",
        "BKL": "benign keratinocytic lesion",
        "DF": "dermatofibroma",
        "INF": "inflammatory and infectious conditions",
        "MAL_OTH": "other malignant proliferations",
        "MEL": "melanoma",
        "NV": "nevus",
        "SCCKA": "squamous cell carcinoma or keratoacanthoma",
        "VASC": "vascular lesion or hemorrhage",
    },
    binary=malignancy({"BCC", "MAL_OTH", "MEL", "SCCKA"}, premalignant={"AKIEC"}),
    columns=(
        Column("age_approx", "patient", "numeric", unit="years", low=0, high=120),
        Column("sex", "patient", "categorical"),
        Column("skin_tone_class", "patient", "categorical"),
        Column("site", "lesion", "categorical"),
    ),
    leaks={
        "diagnosis_full": "it is the diagnosis",
        "diagnosis_confirm_type": "malignant lesions are confirmed by histopathology",
        "invasion_thickness_interval": "known of melanomas alone",
    },
    acquisition={
        "image_type": "how the picture was taken",
        "image_manipulation": "how the picture was edited",
        "attribution": "tells the site",
        "copyright_license": "tells the site",
    },
    notes=("skin_tone_class is 0 (very dark) to 5 (very light), not Fitzpatrick's type",),
)
SHEET = place_criteria(PUBLISHED, MONET, why=MONET_LEAK)


def load_milk10k(identifier: str, name: str, options: Mapping[str, str]) -> ImageData:
    """Read the training part, one image of each lesion or both.

    Raises:
        InputError: If a table or images are missing, a table is at fault, or a kind of image is
            unknown.
    """
    request = read_request(identifier, name, options, own={**CRITERIA_OPTION,
                                                           "image": tuple(IMAGES)})  # fmt: skip
    path, truth = (find_table(request.root, names) for names in (METADATA, TRUTH))
    if path is None or truth is None:
        raise missing_table(request, (METADATA if path is None else TRUTH)[0], PUBLISHED)
    frame = read_table(path)
    columns = (column.name for column in PUBLISHED.columns)
    require_columns(frame, ("isic_id", "lesion_id", "image_type", *columns), path=path)
    strange = ~frame["image_type"].isin(IMAGES["both"])
    if strange.any():
        raise InputError(f"{path}: image_type {frame['image_type'][strange].iloc[0]!r} is none of "
                         f"{', '.join(IMAGES['both'])}")  # fmt: skip
    answers = read_answers(truth, tuple(PUBLISHED.classes), key="lesion_id")
    frame = frame.merge(answers[["lesion_id", "diagnosis"]], on="lesion_id", how="left")
    supplement = find_table(request.root, SUPPLEMENT)
    if supplement is not None:
        frame = join_table(frame, supplement, key="isic_id")
    places = find_images(request.root, frame["isic_id"])
    is_wanted = frame["image_type"].isin(IMAGES[request.options["image"]])
    frame = frame[is_wanted].reset_index(drop=True).assign(image_id=lambda rows: rows["isic_id"])
    frame, left_out = add_images(
        frame, places, request, hint=f"unpack the images into {request.root}"
    )
    data = finish(frame, _sheet(request), request, path=path, notes=left_out)
    choices = [f"{' and '.join(IMAGES[request.options['image']])} images are read (?image="
               f"{'|'.join(IMAGES)})"]  # fmt: skip
    test = find_table(request.root, TEST)
    if test is not None:
        choices.append(f"{test.name} is not read: its answers are not public")
    return replace(data, choices=tuple(choices))


def _sheet(request: Request) -> Sheet:
    """Return the sheet of the images that are read."""
    sheet = place_criteria(PUBLISHED, MONET, request, why=MONET_LEAK)
    count = len(IMAGES[request.options["image"]])
    return replace(sheet, counts={"images": 5240 * count, "lesions": 5240})
