"""The layouts of SLICE-3D: which lies in a folder, its table with labels, its packed images."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
from typing_extensions import override

from toolkit_common.data.large_tables import Wanted, read_large_table
from toolkit_common.data.sheet import Sheet
from toolkit_common.data.tables import require_columns
from toolkit_common.errors import InputError
from toolkit_common.sources.lesions.folder import Request, find_images, missing_table

Part = Literal["train", "test", "permissive"]

PACKED = ".hdf5"
LABEL = "target"
NO_TEST_LABELS = "no labels: those of the test set are not public"


@dataclass(frozen=True)
class Layout:
    """What lies in the folder.

    Attributes:
        frame: The rows.
        path: Their file.
        labels: The file that the labels are from.
        images: A folder, or an HDF5 file.
        part: Of the published data.
        no_labels: Why `target` is absent; empty where it is there.
    """

    frame: pd.DataFrame
    path: Path
    labels: Path
    images: Path
    part: Part
    no_labels: str


def read_layout(request: Request, sheet: Sheet, wanted: Wanted) -> Layout:
    """Read the table of whichever layout is there.

    Args:
        request: What the user asked.
        sheet: The data set's sheet, for messages.
        wanted: Columns of its tables.

    Raises:
        InputError: If there is none, or more than one archive, or a table is none.
    """
    for part in ("train", "test"):
        path = request.root / f"{part}-metadata.csv"
        if path.is_file():
            return _read_kaggle(path, part, sheet, wanted)
    inputs = sorted(request.root.glob("ISIC_2024_*_Input"))
    if len(inputs) > 1:
        names = ", ".join(path.name for path in inputs)
        raise InputError(f"{request.root} holds {names}: put each into a folder of its own")
    if not inputs:
        raise missing_table(request, "train-metadata.csv or ISIC_2024_Training_Input", sheet)
    return _read_archive(inputs[0], sheet, wanted)


def _read_kaggle(
    path: Path, part: Literal["train", "test"], sheet: Sheet, wanted: Wanted
) -> Layout:
    frame = read_large_table(path, wanted, key="isic_id")
    packed = path.with_name(f"{part}-image{PACKED}")
    images = packed if packed.is_file() else path.with_name(f"{part}-image")
    no_labels = ""
    if LABEL not in frame:
        no_labels = NO_TEST_LABELS
        if part == "train":
            no_labels = (f"no labels: {path.name} has no column {LABEL!r}: download it again "
                         f"(doi {sheet.doi})")  # fmt: skip
    return Layout(frame, path, path, images, part, no_labels)


def _read_archive(images: Path, sheet: Sheet, wanted: Wanted) -> Layout:
    stem = images.name.removesuffix("_Input")
    part: Part = "permissive" if "Permissive" in stem else "test" if "Test" in stem else "train"
    beside = images.with_name(f"{stem}_metadata.csv")
    path = beside if beside.is_file() else images / "metadata.csv"
    frame = read_large_table(path, wanted, key="isic_id")
    truth, supplement = (images.with_name(f"{stem}_{name}.csv")
                         for name in ("GroundTruth", "Supplement"))  # fmt: skip
    labels = path
    if truth.is_file():
        frame, labels = _add_labels(frame, truth), truth
    if supplement.is_file():
        more = read_large_table(supplement, wanted, key="isic_id")
        _refuse_doubled(more, supplement)
        new = [key for key in more if key == "isic_id" or key not in frame]
        frame = frame.merge(more[new], on="isic_id", how="left")
    no_labels = ""
    if LABEL not in frame:
        doi = f"{sheet.doi}-permissive" if part == "permissive" else sheet.doi
        no_labels = NO_TEST_LABELS if part == "test" else (
            f"no labels: {truth.name} is not in {truth.parent}: download it (doi {doi}) and put it "
            f"beside {images.name}"
        )  # fmt: skip
    return Layout(frame, path, labels, images, part, no_labels)


def _add_labels(frame: pd.DataFrame, truth: Path) -> pd.DataFrame:
    table = read_large_table(truth, Wanted(words=("isic_id", "malignant")), key="isic_id")
    require_columns(table, ("malignant",), path=truth)
    _refuse_doubled(table, truth)
    labels = dict(zip(table["isic_id"], table["malignant"], strict=True))
    return frame.assign(**{LABEL: frame["isic_id"].map(labels)})


def _refuse_doubled(table: pd.DataFrame, path: Path) -> None:
    doubled = table["isic_id"].duplicated()
    if doubled.any():
        first = table["isic_id"][doubled].iloc[0]
        count = int((table["isic_id"] == first).sum())
        raise InputError(f"{path}: isic_id {first!r} occurs {count} times: keep one row of it")


def find_places(images: Path, wanted: Iterable[object]) -> Mapping[str, object]:
    """Return the place of each image by its id, in a folder or an HDF5 file.

    Args:
        images: The folder or the file.
        wanted: The ids.

    Raises:
        InputError: If it is no HDF5 file, or cut short, or two pictures in a folder have one id.
    """
    if images.suffix != PACKED:
        return find_images(images, wanted)
    import h5py

    try:
        with h5py.File(images, "r") as file:
            return _Entries(images, frozenset(file))
    except (OSError, RuntimeError) as error:  # h5py raises both on damaged files
        reason = str(error).partition("\n")[0]
        raise InputError(f"{images} cannot be read as HDF5, download it again: {reason}") from None


class _Entries(Mapping[str, str]):
    """Places of the entries of an HDF5 file, each made when it is asked for."""

    def __init__(self, file: Path, keys: frozenset[str]) -> None:
        self.file = file
        self.entries = keys

    @override
    def __getitem__(self, key: str) -> str:
        if key not in self.entries:
            raise KeyError(key)
        return f"{self.file}#{key}"

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    @override
    def __len__(self) -> int:
        return len(self.entries)
