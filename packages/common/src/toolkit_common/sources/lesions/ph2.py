"""PH2: 200 dermoscopic images of common nevi, atypical nevi and melanomas, with masks.

Source: Mendonca et al., EMBC 2013, doi 10.1109/EMBC.2013.6610779. Layout: `PH2_dataset.txt` or
`PH2_dataset.xlsx` (the text is read where both are there), images in `PH2 Dataset images/IMD003/
IMD003_Dermoscopic_Image/IMD003.bmp`, masks beside them. No age, sex, site or patient: the test case
for extrapolated metadata. `?criteria=inputs`: see `criteria.py`. Traps: docs/datasets.md.
"""

from collections.abc import Mapping

from toolkit_common.data.dataset import ImageData
from toolkit_common.data.sheet import Column, Sheet
from toolkit_common.sources.lesions.build import malignancy
from toolkit_common.sources.lesions.criteria import CHOICES, as_asked, withhold
from toolkit_common.sources.lesions.folder import (
    add_images,
    find_images,
    finish,
    missing_table,
    read_request,
)
from toolkit_common.sources.lesions.ph2_tables import (
    CRITERIA,
    DIAGNOSES,
    read_spreadsheet,
    read_text_table,
)

READERS = {"PH2_dataset.txt": read_text_table, "PH2_dataset.xlsx": read_spreadsheet}
CRITERIA_COLUMNS = (
    *(Column(name, "lesion", "categorical") for name in CRITERIA.values()),
    Column("colors", "lesion", "multi"),
)
PUBLISHED = Sheet(
    title="PH2",
    source="Mendonca et al., PH2 - a dermoscopic image database for research and benchmarking, "
    "EMBC 2013, doi 10.1109/EMBC.2013.6610779, www.fc.up.pt/addi/ph2 database.html",
    licence="research and education, see the Readme of the download",
    labels=("diagnosis", "malignant"),
    counts={"images": 200, "common nevus": 80, "atypical nevus": 80, "melanoma": 40},
    classes={name: name for name in DIAGNOSES},
    binary=malignancy({"melanoma"}),
    leaks={"histological_diagnosis": "filled where the lesion was cut out: it tells the diagnosis"},
)
SHEET = withhold(PUBLISHED, CRITERIA_COLUMNS)


def load_ph2(identifier: str, name: str, options: Mapping[str, str]) -> ImageData:
    """Read either table and the images, never the masks.

    Raises:
        InputError: If the table or images are missing, a row does not fit, or an option is unknown.
    """
    request = read_request(identifier, name, options, own=CHOICES)
    path = next(filter(lambda at: at.is_file(), (request.root / item for item in READERS)), None)
    if path is None:
        raise missing_table(request, " or ".join(READERS), SHEET)
    frame = READERS[path.name](path)
    frame["lesion_id"] = frame["image_id"]
    places = find_images(request.root, frame["image_id"])
    hint = f"unpack 'PH2 Dataset images' into {request.root}"
    frame, notes = add_images(frame, places, request, hint=hint)
    sheet = as_asked(SHEET, CRITERIA_COLUMNS, request)
    return finish(frame, sheet, request, path=path, notes=notes)
