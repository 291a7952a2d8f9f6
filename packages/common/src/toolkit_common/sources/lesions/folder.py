"""What the readers of lesion data sets share: options, images found by id, counts, their sheets.

Every reader takes `?allow_partial=1`, which leaves out rows whose image is absent, and those with
premalignant diagnoses `?premalignant_as=benign|malignant|drop`. Counts that differ from the sheet
are reported in the notes.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast, get_args

import pandas as pd

from toolkit_common.data.dataset import ImageData
from toolkit_common.data.sheet import Column, Sheet
from toolkit_common.errors import InputError
from toolkit_common.ids import refuse_options
from toolkit_common.images.walk import find_files, has_image_suffix
from toolkit_common.sources.lesions.build import Premalignant, build_lesion_data

# Lies in the folder that `toolkit data make` wrote; the data may be in a folder of it.
SYNTHETIC = "SYNTHETIC.md"
NO_PATIENTS = (
    "no patient ids: splits keep lesions on one side, a person may be on two; what is known of "
    "patients counts as the lesion's, and SLIMP has its lesion loss alone"
)
# The last are those of PH2; any other folder may be called after lesions.
MASK_FOLDER = re.compile(r"(.*[^a-z])?(masks?|segmentations?)|imd\d+_(lesion|roi)", re.IGNORECASE)
PROBE = 4096  # bytes
# Dermoscopic criteria (network, streaks, veil ...) were read from the same image by the experts who
# diagnosed: they are withheld from all inputs, unless `?criteria=inputs` asks for them (our choice;
# docs/datasets.md calls them leaks for an automatic system).
CRITERIA_OPTION = {"criteria": ("withheld", "inputs")}
CRITERIA_LEAK = "read from the image by the experts who diagnosed: a system has to see it itself"


@dataclass(frozen=True)
class Request:
    """What the user wants of a reader.

    Attributes:
        identifier: The data set's id, as written.
        root: The folder.
        premalignant_as: How `malignant` counts premalignant diagnoses.
        allow_partial: Leave out rows whose image is absent.
        options: Those of the reader's own.
    """

    identifier: str
    root: Path
    premalignant_as: Premalignant
    allow_partial: bool
    options: Mapping[str, str]


def read_request(
    identifier: str, name: str, options: Mapping[str, str], *, own: Mapping[str, tuple[str, ...]]
) -> Request:
    """Check the options; `own` are the reader's, with their choices, the default first.

    Raises:
        InputError: If there is no folder, or an option or its value is unknown.
    """
    choices = {"premalignant_as": get_args(Premalignant), "allow_partial": ("0", "1"), **own}
    refuse_options(identifier, options, tuple(choices))
    chosen = {key: options.get(key, values[0]) for key, values in choices.items()}
    for key, value in chosen.items():
        if value not in choices[key]:
            known = ", ".join(choices[key])
            raise InputError(f"{key} must be one of {known}, got {value!r} in {identifier!r}")
    root = Path(name).expanduser()
    premalignant = cast(Premalignant, chosen["premalignant_as"])
    return Request(identifier, root, premalignant, chosen["allow_partial"] == "1", chosen)


def place_criteria(
    sheet: Sheet,
    criteria: tuple[Column, ...],
    request: Request | None = None,
    *,
    why: str = CRITERIA_LEAK,
) -> Sheet:
    """Put the criteria on the sheet's leak list, or among its columns where that is requested."""
    if request is not None and request.options["criteria"] == "inputs":
        return replace(sheet, columns=(*sheet.columns, *criteria))
    leaks = dict.fromkeys((column.name for column in criteria), why)
    return replace(sheet, leaks={**sheet.leaks, **leaks})


def find_images(root: Path, wanted: Iterable[object]) -> dict[str, Path]:
    """Return the images anywhere under a folder, linked ones too, but for folders of masks.

    Args:
        root: The folder.
        wanted: Names in the table: those of other images may occur more than once.

    Returns:
        Name without suffix -> file; the first of several files that hold the same picture.

    Raises:
        InputError: If two pictures have a wanted name.
    """
    images: dict[str, Path] = {}
    doubled: list[Path] = []
    # In their order: of two copies the same one is read on every machine.
    for path in find_files(root):
        folders = path.relative_to(root).parts[:-1]
        if not has_image_suffix(path) or any(map(MASK_FOLDER.fullmatch, folders)):
            continue
        if images.setdefault(path.stem, path) != path:
            doubled.append(path)
    # Only then, as it walks over all rows of the table.
    names = set(wanted) if doubled else set()
    for path in doubled:
        if path.stem in names and not _is_copy(path, images[path.stem]):
            raise InputError(
                f"two pictures are called {path.stem}, {images[path.stem]} and {path}: move those "
                f"that are not meant out of {root}, or masks into a folder called masks"
            )
    return images


def _is_copy(one: Path, other: Path) -> bool:
    """Whether two files hold the same picture: as long, and the same in the middle.

    Archives that hold all images twice circulate: to read them whole would take minutes.
    """
    size = one.stat().st_size
    if size != other.stat().st_size:
        return False
    middles = []
    for path in (one, other):
        with path.open("rb") as file:
            # In the middle: files of one camera begin alike.
            file.seek(max(0, size - PROBE) // 2)
            middles.append(file.read(PROBE))
    return middles[0] == middles[1]


def add_images(
    frame: pd.DataFrame, places: Mapping[str, object], request: Request, *, hint: str
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Add the column `image` by `image_id`; return the notes on rows and images left out, too.

    Args:
        frame: Rows with `image_id`.
        places: Image id -> where the image is.
        request: Decides on rows whose image is absent.
        hint: What to download and where to put it.

    Raises:
        InputError: If a row has no id, images are absent and the request does not allow it, none
            is there, or one name is that of two.
    """
    nameless = int(frame["image_id"].isna().sum())
    if nameless:
        raise InputError(
            f"{nameless} of {len(frame)} rows in the table of {request.identifier!r} name no "
            "image: fill them in, or delete them"
        )
    absent = ~frame["image_id"].isin(places.keys())
    if absent.any() and not (request.allow_partial and not absent.all()):
        first = frame["image_id"][absent].iloc[0]
        way_out = "" if absent.all() else ", or add ?allow_partial=1 to leave those rows out"
        raise InputError(
            f"{int(absent.sum())} of {len(frame)} images are not under {request.root} (first: "
            f"{first}): {hint}{way_out}"
        )
    notes = []
    unread = len(places) - int(frame["image_id"].nunique() - frame["image_id"][absent].nunique())
    if unread:
        notes.append(f"{unread:,} images in the folder are of no row that is read")
    if absent.any():  # a large table is not copied for nothing
        notes.append(
            f"{absent.sum():,} of {len(frame):,} rows are left out, their image is not there "
            "(allow_partial)"
        )
        frame = frame[~absent].reset_index(drop=True)
    return frame.assign(image=frame["image_id"].map(lambda key: str(places[key]))), tuple(notes)


def refuse_strange_diagnoses(
    frame: pd.DataFrame, sheet: Sheet, *, path: Path, hint: str = ""
) -> None:
    """Raise InputError if a diagnosis is none of the sheet's classes; the hint says what to do."""
    diagnoses = frame["diagnosis"].dropna()
    strange = diagnoses[~diagnoses.isin(list(sheet.classes))]
    if not strange.empty:
        known = ", ".join(sheet.classes)
        raise InputError(f"{path}: diagnosis {strange.iloc[0]!r} is none of {known}{hint}")


def finish(
    frame: pd.DataFrame,
    sheet: Sheet,
    request: Request,
    *,
    path: Path,
    notes: Sequence[str] = (),
    published: pd.Series | None = None,
) -> ImageData:
    """Build the data set; note in its sheet what differs from the published one.

    Without patient ids there is no patient level: its columns become the lesion's. `published` is
    the diagnosis of each row as the file has it, where `diagnosis` has fewer.
    """
    counted = frame if published is None else frame.assign(diagnosis=published)
    first = _differences(counted, sheet)
    if any((place / SYNTHETIC).is_file() for place in (request.root, request.root.parent)):
        first = ["SYNTHETIC: drawn by toolkit data make, no person is behind it"]
        sheet = replace(sheet, title=f"{sheet.title} (SYNTHETIC)", licence="synthetic", counts={},
                        lesion_counts={})  # fmt: skip
    if "patient_id" not in frame:
        first.append(NO_PATIENTS)
        columns = tuple(replace(column, level="lesion") for column in sheet.columns)
        sheet = replace(sheet, columns=columns)
    for key in ("patient_id", "lesion_id"):
        if key in frame and frame[key].isna().any():
            nameless = f"{frame[key].isna().sum():,} of {len(frame):,} images"
            # Said, not refused: such rows are a problem of the splits, which names them.
            first.append(f"{nameless} have no {key.replace('_', ' ')}")
    sheet = replace(sheet, notes=(*first, *notes, *sheet.notes))
    return build_lesion_data(
        request.identifier, frame, sheet, path=path, premalignant_as=request.premalignant_as
    )


def _differences(frame: pd.DataFrame, sheet: Sheet) -> list[str]:
    """Note which counts differ; those of labels only where no other does: labels were changed."""
    keys = {"images": "image_id", "lesions": "lesion_id", "patients": "patient_id"}
    counts = {name: frame[key].nunique() for name, key in keys.items() if key in frame}
    if "split" in frame:
        counts |= {str(name): count for name, count in frame["split"].value_counts().items()}
    notes = []
    for name in ("images", "train", "val", "test", "lesions", "patients"):
        expected = sheet.counts.get(name)
        if expected is not None and counts.get(name, expected) != expected:
            fewer = counts[name] < expected
            why = "a part or another release" if fewer else "another release, or rows were added"
            notes.append(f"found {counts[name]:,} {name}, expected {expected:,}: {why}")
    changed = _changed_labels(frame, sheet) if "diagnosis" in frame and not notes else []
    if changed:
        notes.append(f"labels differ from the published ones: found {', '.join(changed)}")
    return notes


def _changed_labels(frame: pd.DataFrame, sheet: Sheet) -> list[str]:
    """Name the counts of classes that differ, however their names are written."""
    diagnosis = frame["diagnosis"].str.lower()
    malignant = frame["diagnosis"].isin(sheet.binary.positive)
    if not sheet.binary.positive and "malignant" in frame:  # the file has the answer
        malignant = frame["malignant"] == "malignant"
    counts = {str(name): int(count) for name, count in diagnosis.value_counts().items()}
    counts |= {"malignant": int(malignant.sum()), "undiagnosed": int(diagnosis.isna().sum())}
    if "patient_id" in frame:
        counts["malignant patients"] = frame["patient_id"][malignant].nunique()
    sizes = ("images", "train", "val", "test", "lesions", "patients")
    expected = {name: count for name, count in sheet.counts.items() if name not in sizes}
    if "lesion_id" in frame:
        lesions = frame.groupby(diagnosis)["lesion_id"].nunique()
        counts |= {f"{name} lesions": int(count) for name, count in lesions.items()}
        expected |= {f"{name} lesions": count for name, count in sheet.lesion_counts.items()}
    return [
        f"{name} {counts.get(name.lower(), 0):,} (expected {count:,})"
        for name, count in expected.items()
        if counts.get(name.lower(), 0) != count
    ]


def missing_table(request: Request, expected: str, sheet: Sheet) -> InputError:
    """Return the error that names what to download and where to put it."""
    place = f"doi {sheet.doi}" if sheet.doi else sheet.source
    return InputError(
        f"no {expected} in {request.root}: download {sheet.title} ({place}) and give the folder "
        "that holds it"
    )
