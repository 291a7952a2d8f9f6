"""HAM10000: 10,015 dermoscopic images of seven kinds of pigmented lesions, from several clinics.

Source: Tschandl, Rosendahl, Kittler, Scientific Data 5 (2018) 180161, doi 10.7910/DVN/DBW86T,
CC BY-NC 4.0. Layouts: Kaggle (`HAM10000_metadata.csv`, 7 columns), Dataverse (8 columns, named
`HAM10000_metadata`, or `.tab` with tabs); images in `HAM10000_images_part_1` and `_part_2`, or all
in one folder. There is no patient id: groups are lesions. Copies with rewritten labels or added
rows circulate: counts tell. Traps: docs/datasets.md.
"""

from collections.abc import Mapping

from toolkit_common.data.dataset import ImageData
from toolkit_common.data.sheet import Column, Sheet
from toolkit_common.data.tables import read_table, require_columns
from toolkit_common.sources.lesions.build import malignancy
from toolkit_common.sources.lesions.folder import (
    add_images,
    find_images,
    finish,
    missing_table,
    read_request,
    refuse_strange_diagnoses,
)

TABLES = ("HAM10000_metadata.csv", "HAM10000_metadata.tab", "HAM10000_metadata")
UNKNOWN = ("unknown",)
SHEET = Sheet(
    title="HAM10000",
    source="Tschandl et al., The HAM10000 dataset, a large collection of multi-source "
    "dermatoscopic images of common pigmented skin lesions, Scientific Data 5 (2018) 180161",
    doi="10.7910/DVN/DBW86T",
    licence="CC BY-NC 4.0",
    labels=("diagnosis", "malignant"),
    counts={
        "images": 10_015, "lesions": 7470,
        "nv": 6705, "mel": 1113, "bkl": 1099, "bcc": 514, "akiec": 327, "vasc": 142, "df": 115,
    },
    classes={
        "akiec": "actinic keratosis or intraepithelial carcinoma",
        "bcc": "basal cell carcinoma",
        "bkl": "benign keratosis",
        "df": "dermatofibroma",
        "mel": "melanoma",
        "nv": "nevus",
        "vasc": "vascular lesion",
    },
    binary=malignancy({"bcc", "mel"}, premalignant={"akiec"}),
    columns=(
        Column("age", "patient", "numeric", unit="years", low=0, high=120),
        Column("sex", "patient", "categorical", unknown=UNKNOWN),
        Column("localization", "lesion", "categorical", unknown=UNKNOWN),
    ),
    leaks={
        "dx": "it is the label",
        "dx_type": "how the diagnosis was confirmed: by histology wherever cancer was suspected",
    },
    acquisition={"dataset": "the source: each has its own mix of diagnoses and its own camera"},
)  # fmt: skip


def load_ham10000(identifier: str, name: str, options: Mapping[str, str]) -> ImageData:
    """Read the table, whatever it is called, and the images anywhere under the folder.

    Raises:
        InputError: If the table or images are missing, a diagnosis is unknown, or an option is.
    """
    request = read_request(identifier, name, options, own={})
    path = next(filter(lambda at: at.is_file(), (request.root / item for item in TABLES)), None)
    if path is None:
        raise missing_table(request, " or ".join(TABLES), SHEET)
    frame = read_table(path)
    columns = (column.name for column in SHEET.columns)
    require_columns(frame, ("lesion_id", "image_id", "dx", *columns), path=path)
    frame["diagnosis"] = frame["dx"]
    refuse_strange_diagnoses(frame, SHEET, path=path)
    hint = f"unpack HAM10000_images_part_1 and _part_2 into {request.root}"
    places = find_images(request.root, frame["image_id"])
    frame, notes = add_images(frame, places, request, hint=hint)
    return finish(frame, SHEET, request, path=path, notes=notes)
