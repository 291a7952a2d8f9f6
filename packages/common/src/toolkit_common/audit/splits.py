"""The splits that an audit judges: unlike a run it takes those that share groups, and tells."""

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np

from toolkit_common.audit.findings import Finding
from toolkit_common.audit.overlaps import KEYS
from toolkit_common.data.dataset import SPLITS, ImageData
from toolkit_common.data.splits import Splits, make_splits, read_splits, refuse_strange_folds
from toolkit_common.errors import InputError


def find_splits(
    data: ImageData, *, seed: int, file: Path | None, folds: int | None, fold: int
) -> tuple[Splits | None, list[Finding]]:
    """Return the splits that a run would use, or those given that it would refuse, and why.

    Args:
        data: The data set.
        seed: See `make_splits`, as the others.
        file: Saved splits.
        folds: Number of parts of a cross-validation.
        fold: Which of them is the test split.

    Raises:
        InputError: If file or fold do not fit.
    """
    refuse_strange_folds(folds, fold, file)
    given = None
    if file is not None:
        given = read_splits(file, data)
    elif "split" in data.table and folds is None:
        column = data.table["split"].to_numpy()
        train, val, test = (np.flatnonzero(column == name) for name in SPLITS)
        given = Splits(train, val, test, "given")
    try:
        splits: Splits | None = make_splits(data, seed=seed, folds=folds, fold=fold, file=file)
    except InputError as error:
        splits, problem = given, [Finding("warning", "splits", str(error))]
    else:
        problem = []
    shared = [] if splits is None else list(_shared_keys(data, splits))
    return splits, shared or problem  # what is shared is the problem, in more words


def _shared_keys(data: ImageData, splits: Splits) -> Iterator[Finding]:
    """Yield the patients, lesions and groups that lie in two splits, each name once."""
    for first, second in combinations(SPLITS, 2):
        told: set[str] = set()
        for key in (key for key in KEYS if key in data.table):
            names = data.table[key]
            sides = [set(names.iloc[splits[side]].dropna().map(str)) for side in (first, second)]
            shared = sorted((sides[0] & sides[1]) - told)
            told |= set(shared)
            if shared:
                mend = "" if "group" in data.table else f" (csv:FILE?group={key} splits by them)"
                yield Finding(
                    "leak", "group overlap",
                    f"{len(shared)} {key} values are in {first} and in {second} "
                    f"(first: {shared[0]}): keep each on one side{mend}",
                )  # fmt: skip
