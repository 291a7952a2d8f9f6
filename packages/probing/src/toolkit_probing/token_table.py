"""Tokens that somebody holds in memory, as a source of features.

Shapes: b rows, n tokens, d token width.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import validate_data
from torch import Tensor

from toolkit_common.errors import InputError
from toolkit_common.features.contract import Features, LayerFeatures

LAYER = 1  # a head spec names a layer; tokens that are given have only one


@dataclass(frozen=True)
class TokenTable:
    """Tokens in memory as a source of features.

    Attributes:
        tokens: `(b, n, d)`.
        grid: Patch grid (gh, gw).
        has_patches: Whether it gives the tokens, or their mean alone.
    """

    tokens: Tensor
    grid: tuple[int, int]
    has_patches: bool

    def __len__(self) -> int:
        return len(self.tokens)

    def iterate(
        self, batches: Sequence[np.ndarray], *, patches: bool = True
    ) -> Iterator[LayerFeatures]:
        """Yield the features of each batch of rows."""
        for rows in batches:
            tokens = self.tokens[torch.from_numpy(rows)]
            if self.has_patches and patches:
                yield {LAYER: Features({}, tokens, self.grid)}
            else:
                yield {LAYER: Features({"mean": tokens.mean(1)}, None, self.grid)}


def read_tokens(estimator: Any, values: Any, *, reset: bool) -> Tensor:
    """Return what a scikit-learn estimator is given as tokens `(b, n, d)` in fp32.

    Tables, lists and arrays of vectors are checked as scikit-learn's own estimators do, names of
    columns included.

    Args:
        estimator: Whose `n_features_in_` is the width.
        values: Tokens `(b, n, d)`, or vectors `(b, d)`, which are one token a row.
        reset: Whether that is noted (`fit`), or held against what was noted.

    Raises:
        InputError: If tokens have another shape or width, or hold what is no finite number.
        ValueError: As scikit-learn says it, of vectors.
    """
    if not isinstance(values, Tensor):
        values = values if hasattr(values, "ndim") else np.asarray(values)
        if values.ndim != 3:
            return as_tokens(validate_data(estimator, values, reset=reset))
    tokens = as_tokens(values)
    if reset:
        estimator.n_features_in_ = tokens.shape[2]
        vars(estimator).pop("feature_names_in_", None)  # of a fit before
    elif tokens.shape[2] != estimator.n_features_in_:
        raise InputError(
            f"the probe was fitted on tokens of width {estimator.n_features_in_}, got "
            f"tokens.shape={tuple(tokens.shape)}"
        )
    return tokens


def read_weights(values: Any, num_rows: int) -> np.ndarray | None:
    """Return the weight of each row, fp64; None where none are given.

    Raises:
        InputError: If they have another shape, one is negative or no number, or all are 0.
    """
    if values is None:
        return None
    weights = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values, float)
    if weights.shape != (num_rows,):
        raise InputError(f"sample_weight must have the shape ({num_rows},), got {weights.shape}")
    if not np.isfinite(weights).all() or weights.min() < 0 or not weights.any():
        raise InputError(
            "sample_weight must be numbers of at least zero, some above, got "
            f"{weights.min():g} to {weights.max():g}"
        )
    return weights


def as_tokens(values: Any) -> Tensor:
    """Return numpy or torch tokens `(b, n, d)` in fp32; vectors `(b, d)` are one token a row.

    Raises:
        InputError: If they have another shape or hold what is no finite number.
    """
    if isinstance(values, Tensor):
        tokens = values.detach()
    else:
        array = np.asarray(values)
        # torch warns of what it could write to, such as columns of a table.
        tokens = torch.as_tensor(array if array.flags.writeable else array.copy())
    if tokens.ndim == 2:
        tokens = tokens.unsqueeze(1)
    if tokens.ndim != 3 or min(tokens.shape) < 1 or tokens.dtype == torch.bool:
        raise InputError(
            f"tokens must be numbers of shape (rows, tokens, width), or vectors (rows, width), got "
            f"tokens.shape={tuple(tokens.shape)}, {tokens.dtype}"
        )
    tokens = tokens.float()
    if not tokens.isfinite().all():
        row = int((~tokens.isfinite()).flatten(1).any(1).nonzero()[0])
        raise InputError(f"tokens hold NaN or infinity, first in row {row}")
    return tokens
