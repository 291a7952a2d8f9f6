"""Metadata as they are, for encoders of images that know none: numbers standardised, words one-hot.

Fitted on training rows. What is missing is the training mean, or no word; whether it was missing is
no input of its own, as that tells the label of some data sets (docs/slimp.md).

Shapes: n rows, k inputs of a level.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from toolkit_common.backbones.metadata import LEVELS, EncodedMetadata
from toolkit_common.data.extrapolated import NUMBERS
from toolkit_common.data.sheet import Column, Level
from toolkit_common.runs.files import sha256_of_text


class PlainMetadata:
    """Encodes columns of a table without any training but that of means, deviations and words.

    Args:
        columns: Which ones, and what they are.
        train: Training rows.
    """

    def __init__(self, columns: Sequence[Column], train: pd.DataFrame) -> None:
        self._columns = columns
        self._means: dict[str, tuple[float, float]] = {}
        self._words: dict[str, list[str]] = {}
        for column in columns:
            known = train[column.name].dropna()
            if column.kind in NUMBERS:
                values = known.to_numpy(float)
                varies = len(values) > 0 and np.ptp(values) > 0
                mean = float(values.mean()) if len(values) else 0.0
                # Of equal values rounding may leave a deviation of 1e-17, not 0.
                self._means[column.name] = mean, float(values.std()) if varies else 1.0
            else:
                self._words[column.name] = sorted(known.astype(str).unique())
        self.columns: Mapping[Level, tuple[str, ...]] = {
            level: tuple(item.name for item in columns if item.level == level) for level in LEVELS
        }
        self.digest = sha256_of_text(repr((columns, self._means, self._words)))

    def encode(self, table: pd.DataFrame, level: Level) -> EncodedMetadata:
        """Encode the rows of a table at one level; words that training has not are none."""
        blocks, unseen = [np.zeros((len(table), 0))], {}
        for column in (item for item in self._columns if item.level == level):
            cells = table[column.name] if column.name in table else pd.Series([None] * len(table))
            if column.kind in NUMBERS:
                mean, deviation = self._means[column.name]
                scaled = (cells.to_numpy(float) - mean) / deviation
                blocks.append(np.nan_to_num(scaled)[:, None])
                continue
            words = np.array(self._words[column.name], object)
            blocks.append((cells.to_numpy(object)[:, None] == words[None]).astype(float))
            if count := int((cells.notna() & ~cells.isin(words)).sum()):
                unseen[column.name] = count
        return EncodedMetadata(torch.from_numpy(np.concatenate(blocks, axis=1)).float(), unseen)
