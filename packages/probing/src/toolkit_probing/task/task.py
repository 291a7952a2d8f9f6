"""A labelled data set, checked and split: what any judged run begins with."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pandas as pd

from toolkit_common.console import console
from toolkit_common.data.check import check_images
from toolkit_common.data.dataset import SPLITS, ImageData, Labels
from toolkit_common.data.labels import describe_label_map, label_map
from toolkit_common.data.splits import Splits, keep_labelled, make_splits
from toolkit_common.errors import InputError
from toolkit_common.sources.load import load_data
from toolkit_probing.settings import FeatureSettings


@dataclass(frozen=True)
class Task:
    """Rows with labels, in splits.

    Attributes:
        data: The data set.
        labels: What is predicted.
        splits: Row indices.
        bad_files: `row, image_id, problem` of the images that were left out.
    """

    data: ImageData
    labels: Labels
    splits: Splits
    bad_files: pd.DataFrame

    @property
    def rows(self) -> np.ndarray:
        """Every row that is in a split, ascending; features are kept in this order."""
        return self.splits.all

    @property
    def targets(self) -> np.ndarray:
        """Class of each of `rows`."""
        return self.labels.targets[self.rows]

    def positions(self, split: str) -> np.ndarray:
        """Where a split's rows are in `rows`."""
        # `rows` ascends and holds every row of a split.
        return np.searchsorted(self.rows, self.splits[split])

    def targets_of(self, split: str) -> np.ndarray:
        """Class of each row of a split."""
        return self.labels.targets[self.splits[split]]

    def groups_of(self, split: str) -> np.ndarray:
        """Group of each row of a split; the row itself where there are no groups."""
        rows = self.splits[split]
        # As strings, which ids of groups are too.
        return rows.astype(str) if self.data.groups is None else self.data.groups[rows]


def load_task(settings: FeatureSettings) -> Task:
    """Read and split the data of some settings, look at their images, and show what they are.

    Raises:
        InputError: As `read_task` and `look_at_images` do.
    """
    return look_at_images(read_task(settings), settings)


def read_task(settings: FeatureSettings, data: ImageData | None = None) -> Task:
    """Read and split the data of some settings; no image is looked at yet, which may take long.

    Args:
        settings: Which data, label and splits.
        data: The data set, where it is loaded already.

    Raises:
        InputError: If the data, its label or its splits are at fault, or premalignant diagnoses are
            to be counted under another label than the binary one.
    """
    return read_tasks([settings], data)[0]


def read_tasks(splittings: Sequence[FeatureSettings], data: ImageData | None = None) -> list[Task]:
    """Read the data of some settings once and split them by each, as `read_task` does for one.

    Args:
        splittings: Alike but for how they split.
        data: The data set, where it is loaded already.
    """
    settings = splittings[0]
    premalignant_as = settings.premalignant_as
    data = data or load_data(settings.data, premalignant_as=premalignant_as)
    labels, binary = data.labels(settings.label), data.sheet.binary
    if premalignant_as is not None and labels.name != binary.name:
        raise InputError(
            f"premalignant_as={premalignant_as} is about label {binary.name!r}, and "
            f"{labels.name!r} is to be predicted: add --label {binary.name}, or leave it out"
        )
    made = []
    for each in splittings:
        with naming_fold(each, several=len(splittings) > 1):
            splits = make_splits(data, each, hold_out=each.needs_validation)
            made.append((splits, keep_labelled(splits, data, labels)))
    everyone = made[0][0].all
    nameless = int((labels.targets[everyone] < 0).sum())
    if nameless:
        console.print(f"{nameless:,} of {len(everyone):,} rows have no {labels.name}: left out")
    return [Task(data, labels, kept, pd.DataFrame()) for _, kept in made]


@contextmanager
def naming_fold(settings: FeatureSettings, *, several: bool) -> Iterator[str]:
    """Begin errors with the fold that they are about, where there are several; yields that name."""
    name = f"fold {settings.fold}: " if several else ""
    try:
        yield name
    except InputError as error:
        raise InputError(f"{name}{error}") from None


def look_at_images(task: Task, settings: FeatureSettings) -> Task:
    """Look at the images of a task that was read, leave out bad ones, and show what is left.

    Raises:
        InputError: If images are bad and none may be, or too few are left.
    """
    bad = check_images(
        task.data, np.flatnonzero(task.labels.targets >= 0), policy=settings.bad_files
    )
    task = without_images(task, bad)
    data, labels, splits = task.data, task.labels, task.splits
    sizes = ", ".join(f"{name} {len(splits[name])}" for name in SPLITS)
    console.print(
        f"data: {data.sheet.title}, label {labels.name!r} with {len(labels.classes)} classes, "
        f"{sizes} ({splits.origin})"
    )
    binary = data.sheet.binary
    if labels.name == binary.name and (answers := label_map(data.table, data.sheet)):
        console.print(describe_label_map(answers, binary))
    return task


def without_images(task: Task, bad: pd.DataFrame) -> Task:
    """Return a task without the rows of images that were found to be bad.

    Raises:
        InputError: If too few are left.
    """
    targets = task.labels.targets.copy()
    # A row without a label is in no split: bad ones go the same way.
    targets[bad["row"].to_numpy(int)] = -1
    labels = Labels(task.labels.name, task.labels.classes, targets)
    return Task(task.data, labels, keep_labelled(task.splits, task.data, labels), bad)
