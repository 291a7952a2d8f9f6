"""From a data set's id to its rows.

Ids: `digits`, `lesions` (embedded), `imagefolder:PATH`, `csv:FILE`, `hf:ORG/NAME` or `hf:FOLDER`,
`torchvision:NAME`, and lesion sets such as `pad-ufes-20:PATH`; options follow as `?key=value&...`.
The path of a data card (`data.yaml`) stands for the data set that it describes.
`?range=LOW,HIGH` is an option of all: the pixel values that become black and white.
A path in place of an id is refused with the id that most likely reads it.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from toolkit_common.console import console
from toolkit_common.data.dataset import ImageData
from toolkit_common.errors import InputError
from toolkit_common.ids import add_option, split_options
from toolkit_common.images.ranges import choose_range, look_at, parse_range
from toolkit_common.images.walk import list_folder
from toolkit_common.images.wide import PixelRange
from toolkit_common.registry import did_you_mean
from toolkit_common.sources.card import apply_card, identifier_of, is_card, read_card
from toolkit_common.sources.digits import load_digits
from toolkit_common.sources.from_torchvision import load_torchvision
from toolkit_common.sources.huggingface import load_hf
from toolkit_common.sources.image_folder import load_imagefolder
from toolkit_common.sources.lesions.bcn20000 import load_bcn20000
from toolkit_common.sources.lesions.derm7pt import load_derm7pt
from toolkit_common.sources.lesions.fitzpatrick17k import load_fitzpatrick17k
from toolkit_common.sources.lesions.ham10000 import load_ham10000
from toolkit_common.sources.lesions.hiba import load_hiba
from toolkit_common.sources.lesions.isic import load_isic
from toolkit_common.sources.lesions.isic_2018 import load_isic_2018
from toolkit_common.sources.lesions.isic_2019 import load_isic_2019
from toolkit_common.sources.lesions.isic_2020 import load_isic_2020
from toolkit_common.sources.lesions.milk10k import load_milk10k
from toolkit_common.sources.lesions.pad_ufes_20 import load_pad_ufes_20
from toolkit_common.sources.lesions.ph2 import load_ph2
from toolkit_common.sources.lesions.sample import load_lesions
from toolkit_common.sources.lesions.slice_3d import load_slice_3d
from toolkit_common.sources.own_table import load_csv
from toolkit_common.sources.published.cub_200_2011 import load_cub_200_2011
from toolkit_common.sources.published.tiny_imagenet import load_tiny_imagenet

Loader = Callable[[str, str, Mapping[str, str]], ImageData]

SOURCES: dict[str, Loader] = {
    "bcn20000": load_bcn20000,
    "csv": load_csv,
    "cub-200-2011": load_cub_200_2011,
    "derm7pt": load_derm7pt,
    "digits": load_digits,
    "fitzpatrick17k": load_fitzpatrick17k,
    "ham10000": load_ham10000,
    "hf": load_hf,
    "hiba": load_hiba,
    "imagefolder": load_imagefolder,
    "isic": load_isic,
    "isic-2018": load_isic_2018,
    "isic-2019": load_isic_2019,
    "isic-2020": load_isic_2020,
    "lesions": load_lesions,
    "milk10k": load_milk10k,
    "pad-ufes-20": load_pad_ufes_20,
    "ph2": load_ph2,
    "slice-3d": load_slice_3d,
    "tiny-imagenet": load_tiny_imagenet,
    "torchvision": load_torchvision,
}
EMBEDDED = ("digits", "lesions")
WITHOUT_SHEET = (  # no diagnoses are known
    "csv", "cub-200-2011", "digits", "hf", "imagefolder", "tiny-imagenet", "torchvision",
)  # fmt: skip
PREMALIGNANT = "premalignant_as"
PARTIAL = "allow_partial"
RANGE = "range"
LOOKED_AT = 64  # images whose values a range is inferred from
LOOKED_AT_STREAMED = 16  # the first ones: a stream is read in its order
TABLES = (".csv", ".tsv", ".tab", ".txt", ".xlsx", ".parquet")
# A file that only the folder of a source holds -> the source.
MARKS = {
    "train-metadata.csv": "slice-3d",
    "HAM10000_metadata.csv": "ham10000",
    "HAM10000_metadata": "ham10000",
    "HAM10000_metadata.tab": "ham10000",
    "PH2_dataset.txt": "ph2",
    "PH2_dataset.xlsx": "ph2",
    "meta/meta.csv": "derm7pt",
    "release_v0/meta/meta.csv": "derm7pt",
    "SupplementaryData.csv": "hiba",
    "fitzpatrick17k.csv": "fitzpatrick17k",
    "MILK10k_Training_Metadata.csv": "milk10k",
    "supplements/training_gt.csv": "milk10k",
    "ISIC_2019_Training_GroundTruth.csv": "isic-2019",
    "ISIC_2020_Training_GroundTruth_v2.csv": "isic-2020",
    "ISIC_2020_Training_GroundTruth.csv": "isic-2020",
    "ISIC2018_Task3_Training_GroundTruth.csv": "isic-2018",
    "ISIC2018_Task3_Training_GroundTruth": "isic-2018",
    "ISIC2018_Task3_Training_LesionGroupings.csv": "isic-2018",
    "val/val_annotations.txt": "tiny-imagenet",
    "image_class_labels.txt": "cub-200-2011",
    "dataset_dict.json": "hf",
    "dataset_info.json": "hf",
}
COLUMNS = {  # table -> a column that only the table of a source has -> the source
    "metadata.csv": {"biopsed": "pad-ufes-20", "isic_id": "isic"},
    "train.csv": {"anatom_site_general_challenge": "isic-2020"},
}
NO_FOLDERS_OF_CLASSES = ("tiny-imagenet", "cub-200-2011")  # all of it, though it looks so


def load_data(
    identifier: str, *, premalignant_as: str | None = None, allow_partial: bool = False
) -> ImageData:
    """Load a data set by id; prints what was chosen among several and what was passed over.

    Args:
        identifier: See the module's docstring.
        premalignant_as: How `malignant` counts premalignant diagnoses: `benign`, `malignant` or
            `drop`, as if written after `?`; the data set's id then holds it.
        allow_partial: Leave out rows whose image is absent, as `?allow_partial=1` does.

    Raises:
        InputError: If the source is unknown, the data cannot be read, or they have no premalignant
            diagnoses to count.
    """
    if premalignant_as is not None:
        # Written into the id, so that results and resumed runs name what was judged.
        identifier = add_option(identifier, PREMALIGNANT, premalignant_as)
    if allow_partial:
        identifier = add_option(identifier, PARTIAL, "1")
    place, options = split_options(identifier)
    if is_card(place):
        path = Path(place).expanduser()
        card = read_card(path)
        data = apply_card(load_data(identifier_of(card, path, options)), card, path)
        return replace(data, id=identifier)
    source, _, name = place.partition(":")
    if source not in SOURCES:
        raise _unknown_source(place)
    if name and source in EMBEDDED:
        raise InputError(f"data set {source!r} is embedded and takes no place, got {identifier!r}")
    if not name and source not in EMBEDDED:
        raise InputError(f"data set {identifier!r} needs a place: {source}:PATH")
    if PREMALIGNANT in options and source in WITHOUT_SHEET:
        raise _nothing_premalignant(identifier)
    _refuse_other_kind(source, name)
    given = parse_range(options.pop(RANGE), identifier) if RANGE in options else None
    data = _with_range(SOURCES[source](identifier, name, options), given)
    # Known only now: whether any diagnosis counts either way is for the sheet to say.
    if PREMALIGNANT in options and not data.sheet.binary.either:
        raise _nothing_premalignant(identifier)
    for choice in data.choices:
        console.print(f"data: {choice}", markup=False, emoji=False)
    return data


def _with_range(data: ImageData, given: PixelRange | None) -> ImageData:
    """Give a data set the range of its values, by a sample of its images spread evenly."""
    count = min(len(data), LOOKED_AT_STREAMED if data.is_streamed else LOOKED_AT)
    rows = np.arange(count) if data.is_streamed else np.linspace(0, len(data) - 1, count)
    places = [data.images[int(row)]["image"] for row in rows]
    chosen, line = choose_range(look_at(places, total=len(data)), given, data.id)
    return replace(data, pixel_range=chosen, choices=(*data.choices, line)) if chosen else data


def _nothing_premalignant(identifier: str) -> InputError:
    return InputError(
        f"data set {identifier!r} knows no premalignant diagnoses: leave {PREMALIGNANT} out"
    )


def _unknown_source(place: str) -> InputError:
    """Return the error about an id whose source is unknown: it may be a path without one."""
    better = suggest_id(place)
    if better is not None:
        kind = "folder" if Path(place).expanduser().is_dir() else "file"
        return InputError(f"{place!r} is a {kind}, not the id of a data set: write {better}")
    source = place.partition(":")[0]
    absent = "; no file or folder is called so" if "/" in place or "." in place else ""
    return InputError(f"unknown data set {source!r}{absent}{did_you_mean(source, SOURCES)}")


def _refuse_other_kind(source: str, place: str) -> None:
    """Refuse a folder where a table is read, and the other way around."""
    path = Path(place).expanduser()
    is_wrong = path.is_dir() if source == "csv" else source == "imagefolder" and path.is_file()
    if is_wrong:
        better = suggest_id(place)
        hint = f": write {better}" if better else ""
        raise InputError(
            f"{source} reads a {'file' if path.is_dir() else 'folder'}, and {place} is a "
            f"{'folder' if path.is_dir() else 'file'}{hint}"
        )
    better = suggest_id(place) if source == "imagefolder" and path.is_dir() else None
    if better is not None and better.partition(":")[0] in NO_FOLDERS_OF_CLASSES:
        raise InputError(f"{place} is laid out as {better.partition(':')[0]} is published, not in "
                         f"folders of classes: write {better}")  # fmt: skip


def suggest_id(place: str) -> str | None:
    """Return the id that reads a place on disk; None where there is nothing, or nobody knows.

    Raises:
        InputError: If it is a folder that cannot be read.
    """
    path = Path(place).expanduser()
    if path.is_file():
        return f"csv:{place}" if path.suffix.lower() in TABLES else None
    if not place or not path.is_dir():  # an empty path is this folder
        return None
    for name, source in MARKS.items():
        if (path / name).exists():
            return f"{source}:{place}"
    for name, columns in COLUMNS.items():
        names = _header(path / name)
        for column, source in columns.items():
            if column in names:
                return f"{source}:{place}"
    own = [Path(entry.name) for entry in list_folder(path)]
    if any(item.suffix == ".parquet" for item in own):
        return f"hf:{place}"
    # Images beside a table, or below it, are those of its rows.
    tables = [item.name for item in own if item.suffix.lower() in (".csv", ".tsv")]
    return f"csv:{place.rstrip('/')}/{tables[0]}" if len(tables) == 1 else f"imagefolder:{place}"


def _header(path: Path) -> list[str]:
    """Return the columns of a table, none where it is not there."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        return [name.strip(' "\n') for name in file.readline().split(",")]
