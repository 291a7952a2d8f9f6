"""What a reader must know before trusting a row: edges of grids, untrained poolings, bad losses."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolkit_probing.settings import ProbeSettings

DISAGREES = 0.05  # balanced accuracy that another C would have had on the selection split


def log_loss_of_frequencies(train: np.ndarray, test: np.ndarray, num_classes: int) -> float:
    """Return the log-loss on `test` of the class frequencies of `train`, both targets `(n,)`."""
    # Half a row for a class that is not there, as heads begin (`training.classifier`).
    counts = np.maximum(np.bincount(train, minlength=num_classes), 0.5)
    return float(-np.log(counts / counts.sum())[test].mean())


@dataclass(frozen=True)
class Picked:
    """What was picked for a row, and among what.

    Attributes:
        settings: What was picked: learning rate, epochs and C, or k.
        grid: The score of every setting that was tried, of what is no head.
        shown: Balanced accuracy on the selection split of every C.
    """

    settings: Mapping[str, Any]
    grid: Sequence[Mapping[str, Any]]
    shown: Mapping[float, float]


def remarks_on(
    picked: Picked, settings: ProbeSettings, *, log_loss: float | None, of_frequencies: float | None
) -> list[str]:
    """Return what must be said of a row, a sentence each.

    Args:
        picked: What was picked.
        settings: Of the run.
        log_loss: Its log-loss on test, mean over repeats.
        of_frequencies: That of predicting the class frequencies of its training rows, if known.
    """
    remarks = [
        *_training_remarks(picked.settings, settings),
        *_crops_remarks(picked, settings),
        *_grid_remarks(picked, settings),
    ]
    # Votes of neighbours are no probabilities: a class without one makes any loss meaningless.
    if log_loss is None or of_frequencies is None or "k" in picked.settings:
        return remarks
    if log_loss > of_frequencies:
        better = f"{of_frequencies:.3f} of predicting the class frequencies"
        remarks.insert(0, f"LOG-LOSS {log_loss:.3f}, above the {better}")
    return remarks


def _training_remarks(picked: Mapping[str, Any], settings: ProbeSettings) -> Iterator[str]:
    epochs = _as_list(picked.get("epoch"))
    if 0 in epochs:
        yield f"training its pooling gained nothing on {settings.select_on}: judged untrained"
    if 1 in epochs:
        yield "best after its first epoch: try lower rates (--lr)"
    if any(epochs):
        yield from _edge("learning rate", picked["lr"], settings.lr, option="--lr")


def _crops_remarks(picked: Picked, settings: ProbeSettings) -> Iterator[str]:
    if settings.augment == "crops" and "epoch" not in picked.settings:
        yield "read the images as they are: --augment crops trains poolings alone"


def _grid_remarks(picked: Picked, settings: ProbeSettings) -> Iterator[str]:
    if "C" in picked.settings:
        option = "--set logreg.c" if picked.grid else "--c"
        tried = [item["C"] for item in picked.grid] or settings.c
        yield from _edge("C", picked.settings["C"], tried, option=option)
    if "k" in picked.settings:
        tried = [item["k"] for item in picked.grid]
        yield from _edge("k", picked.settings["k"], tried, option="--set knn.k")
    yield from _disagreement(picked.shown, _as_list(picked.settings.get("C")), settings)


def _edge(name: str, picked: Any, tried: Sequence[Any], *, option: str) -> Iterator[str]:
    values = set(_as_list(picked))
    for end, word in ((min(tried, default=None), "lowest"), (max(tried, default=None), "highest")):
        if end in values and len(set(tried)) > 1:
            yield f"{name} {end:g} is the {word} that was tried: widen the grid ({option})"


def _disagreement(
    shown: Mapping[float, float], picked: Sequence[float], settings: ProbeSettings
) -> Iterator[str]:
    """Yield whether another C is better by what the table shows."""
    if not shown or not picked or settings.select_by == "balanced_accuracy":
        return
    mine = float(np.mean([shown[c] for c in picked if c in shown] or [np.inf]))
    other = max(shown, key=lambda c: shown[c])
    if shown[other] > mine + DISAGREES:
        yield (
            f"picked by {settings.select_by}: balanced accuracy {mine:.2f} on "
            f"{settings.select_on}, its penalty C {other:g} would have {shown[other]:.2f} "
            "(--class-weight balanced, or --select-by balanced_accuracy)"
        )


def _as_list(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]
