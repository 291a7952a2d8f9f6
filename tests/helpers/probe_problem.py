"""A small problem that heads can learn, shared by the tests of the probing package."""

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from toolkit_common.features.codec import keep
from toolkit_common.features.contract import Features, FeatureSource, LayerFeatures
from toolkit_common.features.store import MemoryStore
from toolkit_common.runs.folder import RunFolder
from toolkit_common.training.distributed import build_accelerator
from toolkit_probing.heads.bank import HeadBank, sample_of
from toolkit_probing.heads.head import HeadSpec
from toolkit_probing.settings import ProbeSettings
from toolkit_probing.training.checkpoint import Record
from toolkit_probing.training.examples import Examples
from toolkit_probing.training.loop import Best, train_bank
from toolkit_probing.training.passes import passes_for
from toolkit_probing.training.plan import TrainingPlan

# What the optimizer leaves: tests of its mechanics read its own weights.
SETTINGS = ProbeSettings(
    epochs=3, warmup_epochs=1.0, batch_size=8, optimizer="lars", select_by="balanced_accuracy",
    classifier="trained", patience=0,
)  # fmt: skip
FITTED: Mapping[str, Any] = {
    "classifier": "fitted", "optimizer": "adamw", "select_by": "log_loss", "c": (0.01, 0.1, 1.0),
}  # fmt: skip


def settings(**changes: Any) -> ProbeSettings:
    return SETTINGS.model_copy(update=changes)


def make_examples(num_rows: int = 40, *, num_train: int = 30, d: int = 8) -> Examples:
    """The problem, its first rows to train on, the others to pick the epoch."""
    store, targets = make_problem(num_rows, d)
    return Examples(store, targets, np.arange(num_train), np.arange(num_train, num_rows))


def train_heads(
    folder: Path,
    chosen: Sequence[HeadSpec],
    *,
    examples: Examples | None = None,
    d: int = 8,
    **changes: Any,
) -> tuple[HeadBank, dict[str, Best]]:
    """Train heads on the problem in one process and keep a record in a folder."""
    examples = examples or make_examples(d=d)
    folder.mkdir(parents=True, exist_ok=True)
    bank = HeadBank(chosen, sample_of(make_problem(d=d)[0]), num_classes=3)
    compute = build_accelerator(device="cpu")
    record = Record(RunFolder(folder))
    best = train_bank(bank, examples, settings(**changes), compute=compute, record=record)
    return bank, best


def divide(folder: Path, bank_memory: float | None, **changes: Any) -> dict[str, list[HeadSpec]]:
    """Cut heads into passes by a memory, as a run in a folder would; it has its record there."""
    folder.mkdir(exist_ok=True)
    return passes_for(
        specs(),
        sample_of(make_problem()[0]),
        TrainingPlan(settings(bank_memory=bank_memory, **changes), num_train=30),
        num_classes=3,
        accelerator=build_accelerator(device="cpu"),
        record=Record(RunFolder(folder), "all"),
    )


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


def fitted_specs() -> list[HeadSpec]:
    """Heads for FITTED on tokens of width 16: rates and seeds, norms within, and no pooling."""
    ep = HeadSpec("ep", 1, "patches", 0.01, 0, {"num_queries": 2})
    return [
        ep,
        replace(ep, base_lr=0.1),
        replace(ep, seed=1),
        HeadSpec("cbam", 1, "patches", 0.03, 0),
        HeadSpec("aim", 1, "patches", 0.03, 0, {"num_heads": 2}),
        HeadSpec("linear", 1, "cls", None, 0),
    ]


class RecordedSource:
    """A feature source that notes of each pass whether patch tokens were requested."""

    def __init__(self, source: FeatureSource) -> None:
        self.source = source
        self.read_patches: list[bool] = []

    def __len__(self) -> int:
        return len(self.source)

    def iterate(
        self, batches: Sequence[np.ndarray], *, patches: bool = True
    ) -> Iterator[LayerFeatures]:
        self.read_patches.append(patches)
        return self.source.iterate(batches, patches=patches)


class Interrupting:
    """A feature source during whose reading, at batch number `at` of a count, Ctrl-C is pressed."""

    def __init__(self, source: FeatureSource, count: Iterator[int], *, at: int = 4) -> None:
        self.source, self.count, self.at = source, count, at

    def __len__(self) -> int:
        return len(self.source)

    def iterate(
        self, batches: Sequence[np.ndarray], *, patches: bool = True
    ) -> Iterator[LayerFeatures]:
        for item in self.source.iterate(batches, patches=patches):
            if next(self.count) == self.at:
                os.kill(os.getpid(), signal.SIGINT)
            yield item
