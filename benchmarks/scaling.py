"""How does training a bank grow with images, tokens, classes and heads?

    make bench-scaling

Epochs of `train_bank` on features in memory, of heads of EP, each scored on a held-out tenth by
log-loss. One size at a time grows fourfold from a common start; the exponent is that of the time
between one size and the next (1: twice the size takes twice as long), and of the memory a step
holds. Expected: no exponent above 1.1. Below 1 is what does not grow with that size: of tokens,
what a head does after its pooling; of classes, all but the classifier; of heads, reading features.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from lib.harness import MIB, Step, cpu_seconds, peak_memory, write_report
from toolkit_common.features.contract import Features
from toolkit_common.features.store import MemoryStore
from toolkit_probing.heads.bank import HeadBank, sample_of
from toolkit_probing.heads.head import HeadSpec
from toolkit_probing.settings import ProbeSettings
from toolkit_probing.training.compute import OneDevice
from toolkit_probing.training.examples import Examples
from toolkit_probing.training.loop import train_bank

DIM, LAYER, BATCH, TARGET = 192, 12, 64, 1.1
FACTORS = (1, 4, 16)
REPEATS = 3
SETTINGS: Mapping[str, Any] = {
    "epochs": 1,
    "warmup_epochs": 0,
    "classifier": "trained",
    "patience": 0,
    "select_by": "log_loss",
}


@dataclass(frozen=True)
class Size:
    """What is trained: images, tokens of each (a square number), classes, heads."""

    images: int = 320
    tokens: int = 49
    classes: int = 100
    heads: int = 1


def main() -> None:
    """Measure every growth and write the report."""
    torch.manual_seed(0)
    rows = [row for what in ("images", "tokens", "classes", "heads") for row in grow(what)]
    exponents = [row[name] for row in rows for name in ("exponent", "of memory")]
    largest = max(value for value in exponents if value is not None)
    verdict = "reached" if largest <= TARGET else "missed"
    write_report(
        "scaling",
        title="How training a bank grows",
        rows=rows,
        notes=[
            f"Expected: no exponent of time or memory above {TARGET}; the largest is "
            f"{largest:.2f}: {verdict}.",
            f"Tokens of width {DIM}, batch {BATCH}, from {Size()}; CPU seconds of one thread an "
            f"epoch, scoring of a tenth of the images counted in, medians of {REPEATS} interleaved "
            "repeats. Memory: what an epoch holds at most beyond its features.",
        ],
    )


def grow(what: str, *, start: Size | None = None, repeats: int = REPEATS) -> list[dict[str, Any]]:
    """Return a row for each size of one kind, with its exponents."""
    start = start or Size()
    counts = [factor * int(getattr(start, what)) for factor in FACTORS]
    steps = {str(count): epoch_of(replace(start, **{what: count})) for count in counts}
    seconds = list(cpu_seconds(steps, repeats=repeats).values())
    memory = [peak_memory(step) for step in steps.values()]
    return [
        {
            "what": what,
            "how many": count,
            "CPU s an epoch": seconds[at],
            "exponent": exponent(counts, seconds, at),
            "MiB": memory[at] / MIB,
            "of memory": exponent(counts, memory, at),
        }
        for at, count in enumerate(counts)
    ]


def exponent(sizes: Sequence[float], values: Sequence[float], at: int) -> float | None:
    """Return the exponent of the growth from the size before; the first has none."""
    if not at:
        return None
    return math.log(values[at] / values[at - 1]) / math.log(sizes[at] / sizes[at - 1])


def epoch_of(size: Size) -> Step:
    """Return an epoch of a bank and its scores."""
    side = int(size.tokens**0.5)
    tokens = torch.randn(size.images, size.tokens, DIM)
    source = MemoryStore({LAYER: Features({"mean": tokens.mean(1)}, tokens, (side, side))})
    targets = np.random.default_rng(0).integers(0, size.classes, size.images)
    train, select = np.split(np.arange(size.images), [size.images - size.images // 10])
    examples = Examples(source, targets, train, select)
    heads = [HeadSpec("ep", LAYER, "patches", 1e-4 * (at + 1), 0) for at in range(size.heads)]
    bank = HeadBank(heads, sample_of(source), num_classes=size.classes)
    settings, compute = ProbeSettings(batch_size=BATCH, **SETTINGS), OneDevice("cpu")
    return lambda: train_bank(bank, examples, settings, compute=compute)


if __name__ == "__main__":
    main()
