"""A labelled data set, checked and split: what any judged run begins with."""

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
    premalignant_as = settings.premalignant_as
    data = data or load_data(settings.data, premalignant_as=premalignant_as)
    labels, binary = data.labels(settings.label), data.sheet.binary
    if premalignant_as is not None and labels.name != binary.name:
        raise InputError(
            f"premalignant_as={premalignant_as} is about label {binary.name!r}, and "
            f"{labels.name!r} is to be predicted: add --label {binary.name}, or leave it out"
        )
    made = make_splits(data, settings)
    nameless = int((labels.targets[made.all] < 0).sum())
    if nameless:
        console.print(f"{nameless:,} of {len(made.all):,} rows have no {labels.name}: left out")
    return Task(data, labels, keep_labelled(made, data, labels), pd.DataFrame())


def look_at_images(task: Task, settings: FeatureSettings) -> Task:
    """Look at the images of a task that was read, leave out bad ones, and show what is left.

    Raises:
        InputError: If images are bad and none may be, or too few are left.
    """
    data, labels = task.data, task.labels
    bad = check_images(data, np.flatnonzero(labels.targets >= 0), policy=settings.bad_files)
    targets = labels.targets.copy()
    # A row without a label is in no split: bad ones go the same way.
    targets[bad["row"].to_numpy(int)] = -1
    labels = Labels(labels.name, labels.classes, targets)
    splits = keep_labelled(task.splits, data, labels)
    sizes = ", ".join(f"{name} {len(splits[name])}" for name in SPLITS)
    console.print(
        f"data: {data.sheet.title}, label {labels.name!r} with {len(labels.classes)} classes, "
        f"{sizes} ({splits.origin})"
    )
    binary = data.sheet.binary
    if labels.name == binary.name and (answers := label_map(data.table, data.sheet)):
        console.print(describe_label_map(answers, binary))
    return Task(data, labels, splits, bad)
