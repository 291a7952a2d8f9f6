"""The rows of `ProbeClassifier` that pick: held out class by class, a group on one side.

Shapes: n rows.
"""

import warnings
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from torch import Tensor

from toolkit_common.errors import InputError


def hold_out(targets: np.ndarray, groups: Any, *, share: Any, seed: int) -> np.ndarray:
    """Return about a share of the rows, stratified, whole groups, none of a class's last rows.

    Of `round(1 / share)` folds it is the one with most classes, of those that nearest to the share.

    Args:
        targets: Class of every row `(n,)`, from 0 on.
        groups: Any label `(n,)` of what stays together, or None where every row stands for itself.
        share: Of the rows, at most a half.
        seed: Of the folds.

    Raises:
        InputError: If share or groups are at fault, or nothing can be held out.
    """
    if not isinstance(share, int | float | np.floating) or not 0 < share <= 0.5:
        raise InputError(f"validation_fraction must be above 0 and at most 0.5, got {share!r}")
    units = np.arange(len(targets)) if groups is None else _codes(groups, len(targets))
    num_folds = min(round(1 / share), int(np.bincount(targets).max()), len(np.unique(units)))
    held_out = np.zeros(0, int)
    if num_folds > 1:
        # Without groups the plain kind does the same in seconds, not in minutes.
        kind = StratifiedKFold if groups is None else StratifiedGroupKFold
        folds = kind(num_folds, shuffle=True, random_state=seed % 2**32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of rare classes, which are seen to here
            parts = [
                _give_back(part, targets, units) for _, part in folds.split(units, targets, units)
            ]
        wanted = share * len(targets)
        held_out = min(
            parts, key=lambda part: (-len(np.unique(targets[part])), abs(len(part) - wanted))
        )
    if not len(held_out):
        raise InputError(
            f"validation_fraction={share} can hold no row out without taking a class's last one "
            "from training: give more rows or groups, or validation_fraction=None with one lr and "
            "one c"
        )
    return held_out


def _give_back(part: np.ndarray, targets: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Return a part without the groups that have the last rows of a class."""
    absent = np.setdiff1d(targets, np.delete(targets, part))
    lost = units[part][np.isin(targets[part], absent)]
    return part[~np.isin(units[part], lost)]


def _codes(groups: Any, num_rows: int) -> np.ndarray:
    """Return a number for each row's group."""
    values = groups.detach().cpu().numpy() if isinstance(groups, Tensor) else np.asarray(groups)
    if values.shape != (num_rows,):
        raise InputError(f"groups must have the shape ({num_rows},), got {values.shape}")
    # Sorted, so that codes depend on the names and not on the order of rows.
    codes: np.ndarray = pd.factorize(values, sort=True)[0]
    if (codes < 0).any():
        raise InputError(f"row {int(codes.argmin())} has no group: name it, or leave the row out")
    return codes
