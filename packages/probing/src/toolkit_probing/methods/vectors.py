"""Features of whole splits as vectors, for methods that are not trained step by step."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from toolkit_common.features.contract import FeatureSource
from toolkit_common.scores.metrics import LOWER_IS_BETTER, METRICS, Predictions
from toolkit_probing.heads.inputs import read_inputs
from toolkit_probing.training.select import select_setting

READ_BATCH = 256

Setting = TypeVar("Setting", bound=tuple[float, ...])
Judge = Callable[[Setting], np.ndarray]


def read_vectors(source: FeatureSource, positions: np.ndarray, layer: int, vector: str) -> Tensor:
    """Return a vector of every row of `positions`, in their order, as `(n, d)`."""
    batches = [positions[at : at + READ_BATCH] for at in range(0, len(positions), READ_BATCH)]
    return torch.cat([read_inputs(item[layer], vector).main for item in source.iterate(batches)])


def pick_setting(
    found: Sequence[Mapping[Setting, np.ndarray]], targets: np.ndarray, metric: str
) -> tuple[Setting, dict[Setting, float]]:
    """Pick a setting by its mean score over the draws.

    Args:
        found: For each draw, every setting's probabilities `(n, c)` on the selection split.
        targets: Classes of that split `(n,)`.
        metric: By which one.

    Returns:
        The best setting, and the score of all; more is better.
    """
    sign, ones = -1.0 if metric in LOWER_IS_BETTER else 1.0, np.ones((1, len(targets)))

    def score(setting: Setting) -> float:
        values = [METRICS[metric](Predictions(draw[setting], targets), ones)[0] for draw in found]
        return float(np.nan_to_num(sign * np.mean(values), nan=-np.inf))

    scores = {setting: score(setting) for setting in found[0]}
    return select_setting(scores), scores
