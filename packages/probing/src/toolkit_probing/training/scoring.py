"""Heads on rows: their probabilities, their classes, and a metric of them; ranks share the work."""

import math
from collections.abc import Callable, Iterable

import numpy as np
import torch
from accelerate.utils import gather_object
from torch import Tensor

from toolkit_common.features.contract import FeatureSource
from toolkit_common.scores.metrics import CLASS_METRICS, LOWER_IS_BETTER, METRICS, Predictions
from toolkit_common.training.late import OnItsWay, send
from toolkit_probing.heads.bank import HeadBank, features_to
from toolkit_probing.training.compute import Compute
from toolkit_probing.training.examples import Examples

EVAL_BATCH = 256
NO_CLASS = -1
LOG_LOSS = "log_loss"
ReadOut = Callable[[Tensor, np.ndarray], Tensor]  # logits (b, c) at some positions -> (b, ...)
DIVERGED = -math.inf  # score of a head whose probabilities are not finite: anything beats it


def read_probabilities(logits: Tensor, _: np.ndarray) -> Tensor:
    """Return the probabilities `(b, c)`."""
    # In fp32: under autocast logits are half precision, and shares would not sum to 1.
    return logits.float().softmax(dim=1)


def read_classes(logits: Tensor, positions: np.ndarray) -> Tensor:
    """Return the most probable class `(b,)`, NO_CLASS for a row that is not finite."""
    is_finite = read_probabilities(logits, positions).isfinite().all(dim=1)
    return logits.argmax(dim=1).where(is_finite, NO_CLASS)


def read_true(targets: np.ndarray) -> ReadOut:
    """Return what reads the probability of the true class `(b,)`; `targets` are of all rows."""

    def read(logits: Tensor, positions: np.ndarray) -> Tensor:
        true = send(torch.from_numpy(targets[positions]), logits.device)
        return read_probabilities(logits, positions).gather(1, true[:, None])[:, 0]

    return read


@torch.no_grad()
def predict(
    bank: HeadBank,
    source: FeatureSource,
    positions: np.ndarray,
    *,
    compute: Compute,
    keys: Iterable[str] | None = None,
    read: ReadOut = read_probabilities,
) -> dict[str, np.ndarray]:
    """Return what is read out of the heads `keys` at some rows: by default all probabilities.

    Ranks share the batches; every rank returns all rows, in the order of `positions`.
    """
    bank.eval()
    batches = [positions[i : i + EVAL_BATCH] for i in range(0, len(positions), EVAL_BATCH)]
    # Whole batches in turn, so that a batch holds the same rows for any number of processes.
    numbers = range(compute.process_index, len(batches), compute.num_processes)
    mine = [batches[number] for number in numbers]
    sent: list[OnItsWay] = []
    keys = list(bank.specs if keys is None else keys)
    batches_read = source.iterate(mine, patches=bank.reads_tokens(keys))
    for number, features in zip(numbers, batches_read, strict=True):
        with compute.autocast():
            logits = bank(features_to(features, compute.device), keys)
        # All heads of a batch in one copy, which nobody waits for.
        values = torch.stack([read(logits[key], batches[number]) for key in keys])
        sent.append(OnItsWay(values))
    # Numbers say where a batch belongs.
    parts = [(number, item.read().numpy()) for number, item in zip(numbers, sent, strict=True)]
    if compute.num_processes > 1:
        parts = gather_object(parts)
    in_order = [part for _, part in sorted(parts, key=lambda item: item[0])]
    return dict(zip(keys, np.concatenate(in_order, axis=1), strict=True))


def score_heads(
    bank: HeadBank,
    examples: Examples,
    *,
    keys: Iterable[str],
    metric: str,
    compute: Compute,
) -> dict[str, float]:
    """Return a metric of the heads `keys` on the rows that pick, its sign such that more is better.

    Where it is undefined a head has DIVERGED, so that anything defined beats it.
    """
    # Probabilities of many rows and classes are kept for those metrics alone that read them all.
    rows = examples.select
    read: ReadOut = read_probabilities
    if metric in CLASS_METRICS:
        read = read_classes
    elif metric == LOG_LOSS:
        read = read_true(examples.targets)
    outputs = predict(bank, examples.source, rows, compute=compute, keys=keys, read=read)
    targets, weights = examples.targets[rows], examples.select_weights()
    scores: dict[str, float] = {}
    for key, values in outputs.items():
        if metric == LOG_LOSS:
            # The loss reads one class of each row: here there is but that.
            scores[key] = score(values[:, None], np.zeros_like(targets), metric, weights=weights)
            continue
        chances = _one_hot(values, bank.num_classes) if metric in CLASS_METRICS else values
        scores[key] = score(chances, targets, metric, weights=weights)
    return scores


def score(
    probabilities: np.ndarray,
    targets: np.ndarray,
    metric: str,
    *,
    weights: np.ndarray | None = None,
) -> float:
    """Return a metric of probabilities `(n, c)`, as `score_heads` does of a head's."""
    rows = np.ones((1, len(targets))) if weights is None else weights[None]
    value = float(METRICS[metric](Predictions(probabilities, targets), rows)[0])
    sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
    return DIVERGED if math.isnan(value) else sign * value


def _one_hot(classes: np.ndarray, num_classes: int) -> np.ndarray:
    """Return classes as probabilities; a row without a class has none."""
    certain = np.eye(num_classes, dtype=np.float32)[classes]
    certain[classes == NO_CLASS] = np.nan
    return certain
