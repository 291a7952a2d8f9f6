"""A small problem that heads can learn, shared by the tests of the probing package."""

import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch

from toolkit_common.features.codec import keep
from toolkit_common.features.contract import Features, FeatureSource, LayerFeatures
from toolkit_common.features.store import MemoryStore
from toolkit_probing.heads.head import HeadSpec
from toolkit_probing.training.loop import TrainingPlan

PLAN = TrainingPlan(
    epochs=3, warmup_epochs=1.0, batch_size=8, optimizer="lars", weight_decay=0.0, seed=0,
    select_by="balanced_accuracy",
)  # fmt: skip


def make_problem(num_rows: int = 40, d: int = 8) -> tuple[MemoryStore, np.ndarray]:
    draws = torch.Generator().manual_seed(0)
    targets = torch.randint(3, (num_rows,), generator=draws)
    patches = torch.randn(num_rows, 4, d, generator=draws)
    patches[:, 0] += 3 * torch.eye(d)[targets]
    vectors = {"mean": patches.mean(1), "cls": patches[:, 0].clone()}
    store = MemoryStore(keep({1: Features(vectors, patches, (2, 2))}, "fp32"))
    return store, targets.numpy()


def specs() -> list[HeadSpec]:
    ep = HeadSpec("ep", 1, "patches", 0.5, 0, {"num_queries": 2})
    return [
        ep,
        replace(ep, base_lr=2.0),
        replace(ep, seed=1),
        replace(ep, options={"num_queries": 4}),
        replace(ep, source="all"),
        HeadSpec("linear", 1, "cls", 0.5, 0),
    ]


class Interrupting:
    """A feature source during whose reading, at batch number `at` of a count, Ctrl-C is pressed."""

    def __init__(self, source: FeatureSource, count: Iterator[int], *, at: int = 4) -> None:
        self.source, self.count, self.at = source, count, at

    def __len__(self) -> int:
        return len(self.source)

    def iterate(self, batches: Sequence[np.ndarray]) -> Iterator[LayerFeatures]:
        for item in self.source.iterate(batches):
            if next(self.count) == self.at:
                os.kill(os.getpid(), signal.SIGINT)
            yield item
