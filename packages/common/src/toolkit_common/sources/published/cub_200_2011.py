"""Caltech-UCSD Birds 200-2011: 11,788 images of 200 species, with the official split.

Source: Wah et al., CNS-TR-2011-001, California Institute of Technology (2011). Layout, with or
without a folder `CUB_200_2011/` around it: `images.txt` (number, path), `image_class_labels.txt`
(number, class), `classes.txt` (class, name), `train_test_split.txt` (number, 1 for training),
`images/CLASS/*.jpg`.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd

from toolkit_common.data.dataset import ImageData, build_image_data
from toolkit_common.data.sheet import Sheet
from toolkit_common.errors import InputError
from toolkit_common.ids import refuse_options

SHEET = Sheet(
    title="CUB-200-2011",
    source="Wah et al., The Caltech-UCSD Birds-200-2011 dataset, CNS-TR-2011-001, "
    "doi 10.22002/D1.20098",
    licence="non-commercial research and education",
)
IMAGES, LABELS, CLASSES, SPLIT = (
    "images.txt", "image_class_labels.txt", "classes.txt", "train_test_split.txt",
)  # fmt: skip
COUNT = 11_788


def load_cub_200_2011(identifier: str, name: str, options: Mapping[str, str]) -> ImageData:
    """Read the images with their official split.

    Raises:
        InputError: If a table is missing, or lacks an image or a class that another names.
    """
    refuse_options(identifier, options, ())
    given = Path(name).expanduser()
    root = next((at for at in (given, given / "CUB_200_2011") if (at / IMAGES).is_file()), None)
    if root is None:
        raise InputError(f"no {IMAGES} in {given}: download {SHEET.title} ({SHEET.source}) and "
                         "give the folder that holds it")  # fmt: skip
    paths, names = _read(root / IMAGES), _read(root / CLASSES)
    labels, sides = _read(root / LABELS, of=paths), _read(root / SPLIT, of=paths)
    classes = sorted(names, key=int)
    codes = {number: code for code, number in enumerate(classes)}
    strange = [number for number, label in labels.items() if label not in codes]
    if strange:
        raise InputError(f"{root / LABELS}: image {strange[0]} is of class {labels[strange[0]]}, "
                         f"which {CLASSES} does not name")  # fmt: skip
    frame = pd.DataFrame({
        "image": [str(root / "images" / path) for path in paths.values()],
        "image_id": list(paths.values()),
        "label": [codes[labels[number]] for number in paths],
        "split": ["train" if sides[number] == "1" else "test" for number in paths],
    })  # fmt: skip
    species = tuple(names[number].partition(".")[2].replace("_", " ") or names[number]
                    for number in classes)  # fmt: skip
    note = f"found {len(frame):,} images, expected {COUNT:,}"
    sheet = SHEET if len(frame) == COUNT else replace(SHEET, notes=(note,))
    return build_image_data(identifier, frame, sheet, class_names=species)


def _read(path: Path, *, of: Mapping[str, str] | None = None) -> dict[str, str]:
    """Read a table of a number and a value a line; every number of `of` must be there."""
    if not path.is_file():
        raise InputError(f"no {path.name} in {path.parent}: unpack {SHEET.title} again")
    lines = (line.split(maxsplit=1) for line in path.read_text(encoding="utf-8").splitlines())
    table = {parts[0]: parts[1].strip() for parts in lines if len(parts) == 2}
    missing = [number for number in of or () if number not in table]
    if missing:
        raise InputError(f"{path} has no line for image {missing[0]} ({len(missing)} such images)")
    return table
