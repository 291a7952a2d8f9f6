"""Tiny ImageNet: 200 classes, 64 x 64 pixels, 500 images a class for training, 50 for validation.

Source: Stanford CS231n, cs231n.stanford.edu/tiny-imagenet-200.zip, images of ImageNet. Layout:
`train/WNID/images/*.JPEG`, `val/images/*.JPEG` with `val/val_annotations.txt`, `test/images/`
without labels, `words.txt` with the names. A validation set that somebody sorted into `val/WNID/`
is read as well.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd

from toolkit_common.data.dataset import ImageData, build_image_data
from toolkit_common.data.sheet import Sheet
from toolkit_common.errors import InputError
from toolkit_common.ids import refuse_options
from toolkit_common.images.walk import find_files, has_image_suffix
from toolkit_common.printable import counted

SHEET = Sheet(
    title="Tiny ImageNet",
    source="Stanford CS231n, cs231n.stanford.edu/tiny-imagenet-200.zip; images of ImageNet, "
    "image-net.org",
    licence="research, see the terms of ImageNet",
    counts={"train": 100_000, "val": 10_000},
)
ANNOTATIONS = "val/val_annotations.txt"


def load_tiny_imagenet(identifier: str, name: str, options: Mapping[str, str]) -> ImageData:
    """Read the training and the validation set; the test set has no labels.

    Raises:
        InputError: If a folder is missing, or an image of the validation set has no label.
    """
    refuse_options(identifier, options, ())
    root = Path(name).expanduser()
    found = {split: _images(root, split) for split in SHEET.counts}
    for split, paths in found.items():
        if not paths:
            raise InputError(
                f"{root / split} has no images: download Tiny ImageNet ({SHEET.source}) and give "
                "the folder that holds train and val"
            )
    wnids = [path.relative_to(root).parts[1] for path in found["train"]]
    wnids += _validation_classes(root, found["val"], known=set(wnids))
    paths = [*found["train"], *found["val"]]
    frame = pd.DataFrame({
        "image": [str(path) for path in paths],
        "image_id": [path.relative_to(root).as_posix() for path in paths],
        "label": wnids,
        "split": [path.relative_to(root).parts[0] for path in paths],
    })  # fmt: skip
    classes = sorted(set(wnids))
    frame["label"] = frame["label"].map({wnid: code for code, wnid in enumerate(classes)})
    sizes = {split: len(found[split]) for split in found}
    notes = tuple(
        f"found {sizes[split]:,} images in {split}, expected {expected:,}"
        for split, expected in SHEET.counts.items()
        if sizes[split] != expected
    )
    sheet = replace(SHEET, counts={}, notes=notes)
    data = build_image_data(identifier, frame, sheet, class_names=_names(root, classes))
    tests = len(_images(root, "test"))
    line = (
        f"test is not read: its {counted(tests, 'image has', 'images have')} no labels; val "
        "is the test split"
    )
    return replace(data, choices=(line,)) if tests else data


def _images(root: Path, split: str) -> list[Path]:
    folder = root / split
    return (
        [path for path in find_files(folder) if has_image_suffix(path)] if folder.is_dir() else []
    )


def _validation_classes(root: Path, paths: list[Path], *, known: set[str]) -> list[str]:
    """Return the class of each image of the validation set: by the table, else by its folder."""
    table = root / ANNOTATIONS
    lines = table.read_text(encoding="utf-8").splitlines() if table.is_file() else []
    listed = {line.split("\t")[0]: line.split("\t")[1] for line in lines if "\t" in line}
    classes = [listed.get(path.name, path.relative_to(root / "val").parts[0]) for path in paths]
    for path, wnid in zip(paths, classes, strict=True):
        if wnid not in known:
            raise InputError(f"{path} is not in {table}, or of a class that train lacks ({wnid})")
    return classes


def _names(root: Path, classes: list[str]) -> tuple[str, ...]:
    """Return the first word for each class, with its number where two have one word."""
    table = root / "words.txt"
    if not table.is_file():
        return tuple(classes)
    lines = (line.split("\t") for line in table.read_text(encoding="utf-8").splitlines())
    words = {parts[0]: parts[1].split(",")[0].strip() for parts in lines if len(parts) > 1}
    names = [words.get(wnid, wnid) for wnid in classes]
    return tuple(f"{name} ({wnid})" if names.count(name) > 1 else name
                 for name, wnid in zip(names, classes, strict=True))  # fmt: skip
