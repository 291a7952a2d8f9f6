"""Train, validation and test: given ones checked, missing ones made, no group on two sides.

Made splits are stratified by class and grouped by patient (or lesion), and depend on nothing but
the labels, the groups and the split seed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from toolkit_common.data.dataset import SPLITS, ImageData, Labels
from toolkit_common.data.settings import SplitSettings
from toolkit_common.data.tables import read_table, require_columns
from toolkit_common.errors import InputError
from toolkit_common.printable import counted
from toolkit_common.seed import derive_seed

NUM_FOLDS = 5  # one fold is the test split, one the validation split: 60 / 20 / 20
ATTEMPTS = 20  # seeds tried to get every class into every split


@dataclass(frozen=True)
class Splits:
    """Row indices of each split, ascending, and how they came about."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray
    origin: str

    def __getitem__(self, name: str) -> np.ndarray:
        indices: np.ndarray = getattr(self, name)
        return indices

    @property
    def all(self) -> np.ndarray:
        """Every row that is in a split, ascending."""
        return np.sort(np.concatenate([self.train, self.val, self.test]))


def make_splits(
    data: ImageData,
    settings: SplitSettings | None = None,
    *,
    hold_out: bool = True,
    stratify: bool = True,
) -> Splits:
    """Return the data set's splits: the given ones where there are any, else made ones.

    Made ones are stratified by the data set's default label, whatever label is predicted later:
    pre-training and every probe of one data set and split seed share their test patients. Without
    a given test split the given validation split takes its place, and validation rows come out of
    the training split.

    Args:
        data: The data set.
        settings: `folds` cuts all rows into parts: the test splits of all folds are a partition,
            the next part is the validation split, and given splits are not used. A file `splits`
            says where each row belongs; others are left out.
        hold_out: Whether a data set that gives no validation split loses a part of train to one;
            where the test split picks, nobody needs it.
        stratify: Whether the label decides; without it made splits are cut by group alone.

    Raises:
        InputError: If a group is on two sides, a row has none, there are too few groups, no fold
            is named, or the file does not fit.
    """
    settings = settings or SplitSettings()
    seed, folds, fold = settings.split_seed, settings.folds, settings.fold
    rows, groups = np.arange(len(data)), _groups(data)
    strata = _strata(data) if stratify else np.zeros(len(data), np.int64)
    facts = {"grouped": groups is not None, "stratified": stratify}
    kind = ", ".join(name for name, is_so in facts.items() if is_so) or "random"
    if settings.splits is not None:
        splits = read_splits(settings.splits, data)
        _check_groups(splits, data)
        splits = _complete(splits, strata, groups, seed=seed, hold_out=hold_out)
    elif folds is not None and fold is None:
        raise InputError(
            f"folds={folds} needs a fold, which is then the test split: add --fold, 0 to "
            f"{folds - 1}"
        )
    elif folds is not None and fold is not None:
        made = derive_seed(seed, "split", 0)
        parts = _stratified_folds(rows, strata, groups, seed=made, num_folds=folds)
        test, val = parts[fold], parts[(fold + 1) % folds]
        train = np.setdiff1d(rows, np.concatenate([test, val]))
        splits = Splits(
            train, val, test, f"made: {kind}, fold {fold} of {folds}, split seed {seed}"
        )
    elif "split" in data.table:
        # Rows whose split is neither of the three are in none.
        given = data.table["split"].to_numpy()
        train, val, test = (np.flatnonzero(given == name) for name in SPLITS)
        splits = Splits(train, val, test, "given")
        # Before `_complete` makes a given val the test split: the message names splits as given.
        _check_groups(splits, data)
        splits = _complete(splits, strata, groups, seed=seed, hold_out=hold_out)
    else:
        train, val, test = _grouped_parts(rows, strata, groups, seed=seed)
        splits = Splits(train, val, test, f"made: {kind}, 60/20/20, split seed {seed}")
    # Once more: made ones too, as every figure depends on it.
    _check_groups(splits, data)
    return splits


def keep_labelled(splits: Splits, data: ImageData, labels: Labels) -> Splits:
    """Return the splits without the rows that have no label.

    Raises:
        InputError: If a class has one image or is missing from train, or a split is left empty
            by it.
    """
    _refuse_tiny_classes(labels, data.id)
    kept = {name: splits[name][labels.targets[splits[name]] >= 0] for name in SPLITS}
    for name, rows in kept.items():
        # One that nobody made is wanted by nobody.
        if rows.size == 0 and (name != "val" or splits.val.size):
            raise InputError(f"the {name} split of {data.id!r} is empty ({splits.origin})")
    absent = sorted(set(range(len(labels.classes))) - set(labels.targets[kept["train"]].tolist()))
    if absent:
        raise InputError(
            f"class {labels.classes[absent[0]]!r} of {data.id!r} has no image in the train split: "
            "give it images of more groups, or leave it out"
        )
    return Splits(**kept, origin=splits.origin)


def read_splits(file: Path, data: ImageData) -> Splits:
    """Read what `splits_table` wrote, or a user did; groups are not looked at.

    Raises:
        InputError: If a column is missing, a split or an image unknown, or an image there twice.
    """
    table = read_table(file)
    require_columns(table, ("image_id", "split"), path=file)
    strange = ~table["split"].isin(SPLITS)
    if strange.any():
        name = table["split"][strange].iloc[0]
        raise InputError(f"{file}: split {name!r} is none of {', '.join(SPLITS)}")
    if table["image_id"].duplicated().any():
        image = table["image_id"][table["image_id"].duplicated()].iloc[0]
        raise InputError(f"{file}: image id {image!r} occurs more than once")
    # As strings: a table read from text has no other kind.
    at = dict(zip(data.table["image_id"].astype(str), range(len(data)), strict=True))
    absent = ~table["image_id"].isin(list(at))
    # A file that places every row was made of a larger set, of which this is a part.
    is_part = table["image_id"].nunique() - int(absent.sum()) == len(data)
    if absent.any() and not is_part:
        raise InputError(
            f"{file}: {int(absent.sum())} image ids are not in {data.id!r} "
            f"(first: {table['image_id'][absent].iloc[0]})"
        )
    table = table[~absent]
    rows = table["image_id"].map(at).to_numpy(np.int64)
    train, val, test = (np.sort(rows[(table["split"] == name).to_numpy()]) for name in SPLITS)
    out = len(data) - len(rows)
    origin = f"given by {file.name}" + (f", {out} left out" if out else "")
    origin += f", {int(absent.sum())} of its ids are not in this data set" if absent.any() else ""
    return Splits(train, val, test, origin)


def splits_table(splits: Splits, data: ImageData) -> pd.DataFrame:
    """Return `image_id, split`, to be saved beside results."""
    ids = data.table["image_id"].to_numpy()
    parts = [pd.DataFrame({"image_id": ids[splits[name]], "split": name}) for name in SPLITS]
    return pd.concat(parts, ignore_index=True)


def _check_groups(splits: Splits, data: ImageData) -> None:
    if data.groups is None:
        return
    for first, second in (("train", "val"), ("train", "test"), ("val", "test")):
        shared = np.intersect1d(data.groups[splits[first]], data.groups[splits[second]])
        if shared.size:
            raise InputError(
                f"group {shared[0]!r} of {data.id!r} is in {first} and in {second} "
                f"({counted(shared.size, 'such group')}): figures would be "
                "inflated; keep each patient on one side"
            )


def _strata(data: ImageData) -> np.ndarray:
    label = next((name for name in data.sheet.labels if name in data.table), None)
    if label is None:
        return np.zeros(len(data), np.int64)
    return data.table[label].astype(object).map(str).to_numpy()


def _groups(data: ImageData) -> np.ndarray | None:
    """Return a number for each row's group, or None where every row stands for itself."""
    if data.groups is None:
        return None
    # Sorted, so that codes depend on the names and not on the order of rows.
    codes, _ = pd.factorize(data.groups, sort=True)
    if (codes < 0).any():
        raise InputError(
            f"image {data.table['image_id'].iloc[int(codes.argmin())]!r} of {data.id!r} has no "
            f"group ({int((codes < 0).sum())} of {len(codes)}): name its patient or lesion, or "
            "leave it out"
        )
    return codes


def _complete(
    given: Splits, strata: np.ndarray, groups: np.ndarray | None, *, seed: int, hold_out: bool
) -> Splits:
    train, val, test, origin = given.train, given.val, given.test, given.origin
    if test.size == 0:
        # A figure needs a test split, and picking needs another one: what is given is for testing.
        test, val = val, test
        origin += "; its validation split is the test split"
    if val.size == 0 and not hold_out:
        origin += "; no validation split"
    elif val.size == 0 and train.size:
        *_, held_out = _stratified_folds(train, strata, groups, seed=seed)
        train, val = np.setdiff1d(train, held_out), held_out
        origin += f"; validation: a fifth of train, split seed {seed}"
    return Splits(train, val, test, origin)


def _grouped_parts(
    rows: np.ndarray, strata: np.ndarray, groups: np.ndarray | None, *, seed: int
) -> Sequence[np.ndarray]:
    """Return train, val and test; of some seeds, the first that puts every class everywhere."""
    best: Sequence[np.ndarray] = ()
    most = -1
    wanted = np.unique(strata[rows]).size * len(SPLITS)
    for attempt in range(ATTEMPTS):
        drawn = derive_seed(seed, "split", attempt)
        folds = _stratified_folds(rows, strata, groups, seed=drawn)
        parts = (np.sort(np.concatenate(folds[2:])), folds[1], folds[0])
        present = sum(np.unique(strata[part]).size for part in parts)
        if present > most:  # of equals the first seed
            best, most = parts, present
        if present == wanted:
            break
    return best


def _stratified_folds(
    rows: np.ndarray,
    strata: np.ndarray,
    groups: np.ndarray | None,
    *,
    seed: int,
    num_folds: int = NUM_FOLDS,
) -> list[np.ndarray]:
    import warnings

    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    num_groups = rows.size if groups is None else np.unique(groups[rows]).size
    if num_groups < num_folds:
        what = "images" if groups is None else "groups"
        raise InputError(
            f"cannot split {num_groups} {what} into train, validation and test: at least "
            f"{num_folds} are needed"
        )
    # Without groups the plain kind does the same in seconds, not in minutes for a million rows.
    kind = StratifiedKFold if groups is None else StratifiedGroupKFold
    folds = kind(num_folds, shuffle=True, random_state=seed % 2**32)
    of_rows = np.unique(strata[rows], return_inverse=True)[1]
    if np.bincount(of_rows).max() < num_folds:
        of_rows = np.zeros_like(of_rows)  # no class reaches every fold: scikit-learn refuses
    with warnings.catch_warnings():
        # Rare classes are looked after by the caller, which tries several seeds.
        warnings.simplefilter("ignore", UserWarning)
        parts = folds.split(rows, of_rows, None if groups is None else groups[rows])
        return [rows[held_out] for _, held_out in parts]


def _refuse_tiny_classes(labels: Labels, identifier: str) -> None:
    counts = np.bincount(labels.targets[labels.targets >= 0], minlength=len(labels.classes))
    if (counts < 2).any():
        tiny = int((counts < 2).argmax())
        raise InputError(
            f"class {labels.classes[tiny]!r} of {identifier!r} has {counts[tiny]} image"
            f"{'' if counts[tiny] == 1 else 's'}: it cannot be both learned and tested; add images "
            "or leave the class out"
        )
