"""Fitzpatrick17k: 16,577 clinical images of 114 skin conditions, with skin types.

Source: Groh et al., arXiv 2104.09957, github.com/mattgroh/fitzpatrick17k, CC BY-NC-SA 3.0.
Layout: `fitzpatrick17k.csv`, images anywhere below as `MD5HASH.jpg`. Images were to be had from two
atlases, one by one, so that hardly a copy is whole: absent ones are left out and counted unless
`?allow_partial=0`. Traps: docs/datasets.md.
"""

from collections.abc import Mapping
from dataclasses import replace

from toolkit_common.data.dataset import ImageData
from toolkit_common.data.sheet import Column, Sheet
from toolkit_common.data.tables import read_table, require_columns
from toolkit_common.errors import InputError
from toolkit_common.sources.lesions.build import MALIGNANCY
from toolkit_common.sources.lesions.folder import (
    add_images,
    find_images,
    finish,
    missing_table,
    read_request,
)

TABLE = "fitzpatrick17k.csv"
THREE, NINE = "three_partition_label", "nine_partition_label"
CALLS = {"malignant": "malignant", "benign": "benign", "non-neoplastic": "benign"}
UNKNOWN = ("-1", "-1.0")
SHEET = Sheet(
    title="Fitzpatrick17k",
    source="Groh et al., Evaluating deep neural networks trained on clinical images in "
    "dermatology with the Fitzpatrick 17k dataset, arXiv 2104.09957, "
    "github.com/mattgroh/fitzpatrick17k",
    licence="CC BY-NC-SA 3.0; images of DermaAmin and Atlas Dermatologico",
    labels=("diagnosis", THREE, NINE, "malignant"),
    counts={"images": 16_577, "malignant": 2263, "psoriasis": 653, "xanthomas": 53},
    binary=MALIGNANCY,
    columns=(
        Column("fitzpatrick_scale", "patient", "categorical", unknown=UNKNOWN),
        Column("fitzpatrick_centaur", "patient", "categorical", unknown=UNKNOWN),
    ),
    leaks={
        "label": "it is the diagnosis",
        "qc": "what dermatologists said of the diagnosis",
        "url": "often spells the diagnosis",
        "url_alphanum": "often spells the diagnosis",
    },
    acquisition={"source": "the atlas: each has its own mix of diagnoses"},
    notes=(
        "labels come from the atlases' captions: of 504 that dermatologists looked at 348 are "
        "called diagnostic (column qc)",
        "many images are there twice or nearly so: toolkit data audit names them",
    ),
)


def load_fitzpatrick17k(identifier: str, name: str, options: Mapping[str, str]) -> ImageData:
    """Read the table and those images that are there.

    Raises:
        InputError: If the table, a column or all images are missing, or a label is unknown.
    """
    # The default first: the rows that have an image.
    request = read_request(identifier, name, options, own={"allow_partial": ("1", "0")})
    path = request.root / TABLE
    if not path.is_file():
        raise missing_table(request, TABLE, SHEET)
    frame = read_table(path)
    columns = (column.name for column in SHEET.columns)
    require_columns(frame, ("md5hash", "label", THREE, NINE, *columns), path=path)
    strange = ~frame[THREE].isin(CALLS)
    if strange.any():
        raise InputError(f"{path}: {THREE} {frame[THREE][strange].iloc[0]!r} is none of "
                         f"{', '.join(CALLS)}")  # fmt: skip
    frame["image_id"] = frame["lesion_id"] = frame["md5hash"]
    frame["diagnosis"], frame["malignant"] = frame["label"], frame[THREE].map(CALLS)
    if "url" in frame:
        frame["source"] = frame["url"].str.extract(r"//(?:www\.)?([^./]+)")[0]
    places = find_images(request.root, frame["image_id"])
    hint = f"put them anywhere below {request.root}, called MD5HASH.jpg"
    whole = len(frame)
    frame, notes = add_images(frame, places, request, hint=hint)
    absent = whole - len(frame)
    line = f"{absent:,} of {whole:,} images are not there and left out (?allow_partial=0 asks)"
    data = finish(frame, SHEET, request, path=path, notes=notes)
    return replace(data, choices=(line,)) if absent else data
