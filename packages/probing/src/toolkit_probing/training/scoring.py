"""What heads say about rows: probabilities, classes, scores; ranks share the work."""

import math
from collections.abc import Iterable

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor

from toolkit_common.features.contract import FeatureSource
from toolkit_common.scores.metrics import CLASS_METRICS, LOWER_IS_BETTER, METRICS, Predictions
from toolkit_probing.heads.bank import HeadBank, features_to

EVAL_BATCH = 256
NO_CLASS = -1
DIVERGED = -math.inf  # score of a head whose probabilities are not finite: anything beats it


@torch.no_grad()
def predict(
    bank: HeadBank,
    source: FeatureSource,
    positions: np.ndarray,
    accelerator: Accelerator,
    *,
    keys: Iterable[str] | None = None,
    probabilities: bool,
) -> dict[str, np.ndarray]:
    """Return the probabilities `(n, c)` of the heads `keys`, or only their classes `(n,)`.

    A row whose probabilities are not finite, as those of a head that diverged, has NO_CLASS.

    Ranks share the batches; every rank returns all rows, in the order of `positions`.
    """
    bank.eval()
    batches = [positions[i : i + EVAL_BATCH] for i in range(0, len(positions), EVAL_BATCH)]
    numbers = range(accelerator.process_index, len(batches), accelerator.num_processes)
    mine = [batches[number] for number in numbers]
    found: list[tuple[int, dict[str, np.ndarray]]] = []
    for number, features in zip(numbers, source.iterate(mine), strict=True):
        with accelerator.autocast():
            logits = bank(features_to(features, accelerator.device), keys)
        found.append(
            (number, {key: _read_out(item, probabilities) for key, item in logits.items()})
        )
    if accelerator.num_processes > 1:
        found = gather_object(found)
    parts = [part for _, part in sorted(found, key=lambda item: item[0])]
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def score_heads(
    bank: HeadBank,
    source: FeatureSource,
    targets: np.ndarray,
    *,
    positions: np.ndarray,
    keys: Iterable[str],
    metric: str,
    accelerator: Accelerator,
) -> dict[str, float]:
    """Return a metric of the heads `keys` on some rows, its sign such that more is better.

    Where it is undefined a head has DIVERGED, so that anything defined beats it.
    """
    needs_all = metric not in CLASS_METRICS
    found = predict(bank, source, positions, accelerator, keys=keys, probabilities=needs_all)
    num_classes = bank.num_classes
    ones, scores = np.ones((1, len(positions))), {}
    sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
    for key, values in found.items():
        probabilities = values if needs_all else _one_hot(values, num_classes)
        value = float(METRICS[metric](Predictions(probabilities, targets[positions]), ones)[0])
        scores[key] = DIVERGED if math.isnan(value) else sign * value
    return scores


def _read_out(logits: Tensor, probabilities: bool) -> np.ndarray:
    values = logits.float().softmax(dim=1)
    if not probabilities:
        values = logits.argmax(dim=1).where(values.isfinite().all(dim=1), NO_CLASS)
    return values.cpu().numpy()


def _one_hot(classes: np.ndarray, num_classes: int) -> np.ndarray:
    """Return classes as probabilities; a row without a class has none."""
    found = np.eye(num_classes, dtype=np.float32)[classes]
    found[classes == NO_CLASS] = np.nan
    return found
