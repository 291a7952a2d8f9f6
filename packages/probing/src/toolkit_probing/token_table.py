"""Tokens that somebody holds in memory, as a source of features.

Shapes: b rows, n tokens, d token width.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
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

    def iterate(self, batches: Sequence[np.ndarray]) -> Iterator[LayerFeatures]:
        """Yield the features of each batch of rows."""
        for rows in batches:
            tokens = self.tokens[torch.from_numpy(rows)]
            if self.has_patches:
                yield {LAYER: Features({}, tokens, self.grid)}
            else:
                yield {LAYER: Features({"mean": tokens.mean(1)}, None, self.grid)}


def as_tokens(values: Any) -> Tensor:
    """Return numpy or torch tokens `(b, n, d)` in fp32.

    Raises:
        InputError: If they have another shape or hold what is no finite number.
    """
    tokens = values.detach() if isinstance(values, Tensor) else torch.as_tensor(np.asarray(values))
    if tokens.ndim != 3 or min(tokens.shape) < 1 or tokens.dtype == torch.bool:
        raise InputError(
            f"tokens must be numbers of shape (rows, tokens, width), got "
            f"tokens.shape={tuple(tokens.shape)}, {tokens.dtype}"
        )
    tokens = tokens.float()
    if not tokens.isfinite().all():
        row = int((~tokens.isfinite()).flatten(1).any(1).nonzero()[0])
        raise InputError(f"tokens hold NaN or infinity, first in row {row}")
    return tokens
