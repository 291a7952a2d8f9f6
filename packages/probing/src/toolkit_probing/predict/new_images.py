"""Images that a probe is to predict: files, folders and patterns, or a data set with its labels.

What comes from the run: how labels count, the classes and their order, and which pixel values
become black and white. Images that would be read differently from the run's are refused.
"""

import glob
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from toolkit_common.console import console
from toolkit_common.data.check import check_images
from toolkit_common.data.dataset import ImageData, Labels, build_image_data
from toolkit_common.data.settings import SplitSettings
from toolkit_common.data.sheet import Sheet
from toolkit_common.data.splits import Splits, make_splits
from toolkit_common.errors import InputError
from toolkit_common.ids import split_options
from toolkit_common.images.ranges import look_at
from toolkit_common.images.walk import count_endings, is_image, walk
from toolkit_common.images.wide import PixelRange
from toolkit_common.printable import one_line
from toolkit_common.sources.load import LOOKED_AT, WITHOUT_SHEET, load_data
from toolkit_probing.predict.saved_probe import SavedProbe
from toolkit_probing.predict.settings import PredictSettings
from toolkit_probing.task.task import Task

NO_ROWS = np.zeros(0, np.int64)


def read_images(probe: SavedProbe, places: Sequence[str]) -> Task:
    """Return the images at some places, without labels; nothing of them is decoded yet.

    Args:
        probe: The probe.
        places: Files, folders (with all below them) and patterns such as `new/**/*.png`.

    Raises:
        InputError: If a place has no image, or images hold 8 bits and the run's did not.
    """
    files = list(dict.fromkeys(file for place in places for file in _images_at(place)))
    for file in files:
        if str(file).encode(errors="ignore").decode() != str(file):
            raise InputError(f"{one_line(str(file))}: its name is no UTF-8 text: rename it")
    names = [one_line(str(file)) for file in files]
    frame = pd.DataFrame({"image": list(map(str, files)), "image_id": names})
    data = build_image_data(" ".join(places), frame, Sheet("images"))
    pixels = probe.results.data.pixel_range
    _refuse_other_depth(data, pixels)
    unknown = Labels(probe.results.data.label, probe.classes, np.full(len(data), -1))
    return _task(
        replace(data, pixel_range=pixels), unknown, np.arange(len(data)), origin="all images"
    )


def read_data(probe: SavedProbe, settings: PredictSettings) -> Task:
    """Return the rows of a data set, with what is known of their classes.

    Raises:
        InputError: If the data set is at fault, has a class that the run does not know, or its
            pixel values are read differently.
    """
    assert settings.data is not None
    source = split_options(settings.data)[0].partition(":")[0]
    # How diagnoses count, where the data set knows any.
    counted = None if source in WITHOUT_SHEET else probe.settings.premalignant_as
    data = load_data(settings.data, premalignant_as=counted)
    _refuse_other_range(data, probe.results.data.pixel_range, run=probe.run)
    rows, origin = _rows_of(data, settings.split, probe)
    return _task(data, _labels_of(data, rows, probe, column=settings.label), rows, origin=origin)


def split_settings(probe: SavedProbe) -> SplitSettings:
    """Return how the run split its data, the splits of a file as the run has kept them."""
    own = {name: getattr(probe.settings, name) for name in SplitSettings.model_fields}
    if own["splits"] is not None:
        own["splits"] = probe.run / "splits.csv"
    return SplitSettings(**own)


def leave_out_bad(task: Task, settings: PredictSettings) -> Task:
    """Look at the images, and leave out those that do not decode, a line each.

    Raises:
        InputError: If there are any and none may be, or all are.
    """
    rows = task.splits.test
    bad = check_images(task.data, rows, policy=settings.bad_files, listed="below")
    for problem in bad["problem"]:
        console.print(f"  left out: {problem}", markup=False)
    kept = np.setdiff1d(rows, bad["row"].to_numpy(np.int64))
    return replace(task, splits=replace(task.splits, test=kept), bad_files=bad)


def _task(data: ImageData, labels: Labels, rows: np.ndarray, *, origin: str) -> Task:
    # All are for the probe to answer, whatever split a data set has them in.
    return Task(data, labels, Splits(NO_ROWS, NO_ROWS, rows, origin), pd.DataFrame())


def _images_at(place: str) -> list[Path]:
    path = Path(place).expanduser()
    if path.is_file():
        return [path]
    if not path.is_dir():
        matches = map(Path, sorted(glob.glob(str(path), recursive=True)))  # noqa: PTH207 (`**` follows links)
        files = [match for match in matches if match.is_file() and is_image(match)]
        if not files:
            raise InputError(
                f"no image at {place}: give a file, a folder with images, or a pattern in quotes "
                "such as 'new/**/*.png'"
            )
        return files
    walked = walk(path)
    files = list(filter(is_image, walked.files))
    rest = sorted({*walked.files} - {*files})
    passed = walked.passed_over(path)
    if rest:
        passed.append(f"{len(rest):,} not images ({count_endings(rest)})")
    if not files:
        also = f" ({'; '.join(passed)})" if passed else ""
        raise InputError(f"no image in the folder {place}{also}")
    if passed:
        console.print(f"passed over in {place}: {'; '.join(passed)}", markup=False)
    return files


def _refuse_other_depth(data: ImageData, pixels: PixelRange | None) -> None:
    """Refuse images of 8 bits where the run's held more: they would be read as they are."""
    if pixels is None or pixels.of_8_bits:
        return
    count = min(len(data), LOOKED_AT)
    rows = np.linspace(0, len(data) - 1, count).astype(int)
    looked = look_at([data.images[int(row)]["image"] for row in rows], total=len(data))
    if looked.wide < looked.images and pixels.high != 65535:
        raise InputError(
            f"{looked.images - looked.wide} of {looked.images} images looked at hold 8 bits, and "
            f"the run's hold values {pixels} in more: as numbers they are another brightness; give "
            "images as the run's are, or a data set that says its range (--data ID?range=LOW,HIGH)"
        )


def _refuse_other_range(data: ImageData, pixels: PixelRange | None, *, run: Path) -> None:
    own = data.pixel_range
    if _ends(own) == _ends(pixels):
        return
    here, there = (
        "8 bits as they are" if item is None else f"values {item}" for item in (own, pixels)
    )
    line = (
        f"{data.id!r} is read as {here}, and the run {run} as {there}: the same brightness means "
        "other numbers to the probe"
    )
    if own is None or not own.is_given:
        same = "0,255" if pixels is None else f"{pixels.low:g},{pixels.high:g}"
        raise InputError(f"{line}; say which values are black and white here: ?range={same}")
    console.print(f"PIXEL VALUES READ DIFFERENTLY, as you say: {line}", markup=False)


def _ends(pixels: PixelRange | None) -> tuple[float, float]:
    return (0.0, 255.0) if pixels is None else (pixels.low, pixels.high)


def _rows_of(data: ImageData, split: str, probe: SavedProbe) -> tuple[np.ndarray, str]:
    if split == "all":
        return np.arange(len(data)), "all rows"
    needed = probe.settings.needs_validation
    splits = make_splits(data, split_settings(probe), hold_out=needed)
    if not len(splits[split]):
        raise InputError(f"the {split} split of {data.id!r} is empty ({splits.origin})")
    return splits[split], f"{split} split: {splits.origin}"


def _labels_of(
    data: ImageData, rows: np.ndarray, probe: SavedProbe, *, column: str | None
) -> Labels:
    """Return the rows' classes by the run's numbers, -1 where they have none.

    Raises:
        InputError: If a row's class is none of the run's.
    """
    wanted, classes = probe.results.data.label, probe.classes
    unknown = Labels(wanted, classes, np.full(len(data), -1))
    name = column or (wanted if wanted in data.table else None)
    if name is None:
        others = [item for item in data.sheet.labels if item in data.table]
        also = f"; it has {', '.join(others)}" if others else ""
        console.print(
            f"data: {data.id} has no column {wanted!r}, which the probe predicts: no figures "
            f"(--label names the column that holds the classes{also})",
            markup=False,
        )
        return unknown
    own = data.labels(name, min_classes=1)
    counts = Counter(own.classes[code] for code in own.targets[rows] if code >= 0)
    strange = [
        f"{item!r} ({count} images)" for item, count in counts.items() if item not in classes
    ]
    if strange:
        raise InputError(
            f"label {name!r} of {data.id!r} has classes that the run {probe.run} does not know: "
            f"{', '.join(strange)}; it knows {', '.join(map(repr, classes))}: name or leave out "
            "those rows"
        )
    numbers = {item: code for code, item in enumerate(classes)}
    codes = np.array([numbers.get(item, -1) for item in own.classes] + [-1])
    return replace(unknown, targets=codes[own.targets])
