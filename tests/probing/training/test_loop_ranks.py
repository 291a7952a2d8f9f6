"""The loop on several processes: the same order of samples, the same heads as on one.

What is left is the order of summation (docs/protocols.md, "Number of processes").
"""

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from accelerate import Accelerator

from helpers.probe_problem import Interrupting, make_examples, settings, specs
from helpers.probing_pools import DIM, SMALL
from helpers.ranks import run_ranks
from toolkit_common.features.contract import FeatureSource, LayerFeatures
from toolkit_common.runs.folder import RunFolder
from toolkit_common.training.distributed import build_accelerator
from toolkit_probing.heads import inputs
from toolkit_probing.heads.bank import HeadBank, sample_of
from toolkit_probing.heads.head import HeadSpec
from toolkit_probing.probes import POOLS
from toolkit_probing.training.checkpoint import Record
from toolkit_probing.training.loop import train_bank
from toolkit_probing.training.scoring import predict

# Pools with batch statistics of their own among them.
HEADS = [*specs()[::5], *(HeadSpec(name, 1, "patches", 0.5, 0) for name in ("cbam", "dolg"))]
HEADS += [HeadSpec("aim", 1, "patches", 0.5, 0, {"num_heads": 2})]
# And some that read tokens together. Of a map that begins as the identity the norm takes away the
# diagonal's gradient, and Adam would follow the rounding that is left.
UNIFORM = {"num_queries": 16, "value_init": "uniform"}
HEADS += [HeadSpec("ep", 1, "patches", 0.5, seed, UNIFORM) for seed in range(3)]

ADAM_RATE = 0.5 * 7 / 256  # which is not scaled by the batch, as that of lars and sgd
EVERY = [HeadSpec("linear", 1, "cls", ADAM_RATE, 0)]
EVERY += [HeadSpec(name, 1, "patches", ADAM_RATE, 0, SMALL.get(name, {})) for name in POOLS]
# Of a probability; the second of CaiT, whose sums cancel behind a layer scale of 1e-5.
TOLERANCES = {torch.float64: (1e-12, 1e-7), torch.float32: (1e-4, 0.05)}


def train_odd(
    folder: Path, accelerator: Accelerator, *, stop_at: int | None = None, **changes: Any
) -> dict[str, Any]:
    """Train in steps that no number of processes divides; Ctrl-C while batch `stop_at` is read.

    29 images are four steps of 7, and one left over.
    """
    examples = make_examples(num_train=29, d=16)
    is_adam = changes.get("optimizer") == "adamw"
    heads = [replace(spec, base_lr=ADAM_RATE) for spec in HEADS] if is_adam else HEADS
    heads = list({spec.key: spec for spec in heads}.values())
    bank = HeadBank(heads, sample_of(examples.source), num_classes=3)
    if stop_at is not None:
        source = Interrupting(examples.source, itertools.count(), at=stop_at)
        examples = replace(examples, source=source)
    chosen = settings(**{"batch_size": 7, **changes})
    record = Record(RunFolder(folder))
    try:
        best = train_bank(bank, examples, chosen, compute=accelerator, record=record)
    except KeyboardInterrupt:
        return {}
    return {key: (item.value, item.epoch, item.state) for key, item in best.items()}


def assert_alike(actual: dict[str, Any], expected: dict[str, Any]) -> None:
    assert actual.keys() == expected.keys()
    for key, (value, epoch, state) in expected.items():
        assert actual[key][:2] == (value, epoch), key
        for name, weights in state.items():
            # Adam divides a gradient by its size, rounding included.
            torch.testing.assert_close(actual[key][2][name], weights, rtol=3e-4, atol=1e-5)


def assert_same_log(expected: str, actual: str) -> None:
    """Scores are the same; losses, which are sums over processes, but for their order."""
    for one, other in zip(expected.splitlines(), actual.splitlines(), strict=True):
        line, again = json.loads(one), json.loads(other)
        assert again.pop("train_loss") == pytest.approx(line.pop("train_loss"), rel=1e-4)
        assert again == line


@pytest.mark.dist
@pytest.mark.parametrize(
    ("num_ranks", "changes"),
    [
        (2, {}),
        (3, {}),
        (2, {"optimizer": "sgd"}),
        (2, {"optimizer": "adamw"}),
        (2, {"micro_batch": 2}),
    ],
    ids=str,
)
def test_steps_that_no_number_of_processes_divides_are_those_of_one_process(
    tmp_path: Path, num_ranks: int, changes: dict[str, Any]
) -> None:
    folders = [tmp_path / str(ranks) for ranks in (1, num_ranks)]
    for folder in folders:
        folder.mkdir()
    expected = train_odd(folders[0], build_accelerator(device="cpu"), **changes)
    for actual in run_ranks(lambda acc: train_odd(folders[1], acc, **changes), num_ranks=num_ranks):
        assert_alike(actual, expected)
    one, several = ((folder / "metrics.jsonl").read_text() for folder in folders)
    assert_same_log(one, several)
    assert [json.loads(line)["step"] for line in one.splitlines()] == [4, 8, 12]


class InDouble:
    """A source whose vectors are in float64."""

    def __init__(self, source: FeatureSource) -> None:
        self.source = source

    def __len__(self) -> int:
        return len(self.source)

    def iterate(
        self, batches: Sequence[np.ndarray], *, patches: bool = True
    ) -> Iterator[LayerFeatures]:
        for item in self.source.iterate(batches):
            # Tokens are turned to `float` where they are read.
            yield {
                layer: replace(kept, vectors={k: v.double() for k, v in kept.vectors.items()})
                for layer, kept in item.items()
            }


def train_every(accelerator: Accelerator, dtype: torch.dtype) -> dict[str, np.ndarray]:
    """Train a head of every pooling by AdamW and return the probabilities it gives other rows."""
    examples = make_examples(60, num_train=31, d=DIM)
    bank = HeadBank(EVERY, sample_of(examples.source), num_classes=3).to(dtype)
    if dtype == torch.float64:
        examples = replace(examples, source=InDouble(examples.source))
    chosen = settings(batch_size=10, optimizer="adamw", epochs=2)
    train_bank(bank, examples, chosen, compute=accelerator)
    return predict(bank, examples.source, examples.select, compute=accelerator)


@pytest.mark.dist
@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_one_to_four_processes_give_the_same_probabilities(monkeypatch, dtype) -> None:
    if dtype == torch.float64:  # what tokens and logits are turned to
        monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
        monkeypatch.setattr(inputs, "widen", lambda features, _: features.patches.double())
    expected = train_every(build_accelerator(device="cpu"), dtype)
    for num_ranks in (2, 3, 4):
        for actual in run_ranks(lambda acc: train_every(acc, dtype), num_ranks=num_ranks):
            for spec in EVERY:
                difference = np.abs(actual[spec.key] - expected[spec.key]).max()
                tolerance = TOLERANCES[dtype][spec.method == "cait"]
                assert difference <= tolerance, (spec.method, num_ranks)


@pytest.mark.dist
def test_processes_meet_once_a_step_and_twice_for_each_norm() -> None:
    def count(accelerator: Accelerator) -> Counter[str]:
        examples, calls = make_examples(), Counter[str]()
        bank = HeadBank(specs()[:3], sample_of(examples.source), num_classes=3)
        chosen = settings(batch_size=30, epochs=1)  # one step
        for name in ("all_reduce", "all_gather", "broadcast"):
            original = getattr(dist, name)
            counted = partial(_counted, original, calls, name)
            setattr(dist, name, counted)  # in a process that ends after this
        train_bank(bank, replace(examples, select=examples.select[:0]), chosen, compute=accelerator)
        return calls

    # Statistics of each of three norms, and their gradients; then losses, gradients and votes.
    assert run_ranks(count) == [Counter(all_gather=3, all_reduce=3 + 1)] * 2


def _counted(original: Callable[..., Any], calls: Counter[str], name: str, *args: Any) -> Any:
    calls[name] += 1
    return original(*args)


@pytest.mark.dist
def test_a_run_may_be_resumed_by_another_number_of_processes(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    expected = train_odd(tmp_path / "whole", build_accelerator(device="cpu"))

    def cut(accelerator: Accelerator) -> dict[str, Any]:
        return train_odd(tmp_path / "cut", accelerator, stop_at=2)

    assert run_ranks(cut, num_ranks=3) == [{}] * 3
    for actual in run_ranks(lambda acc: train_odd(tmp_path / "cut", acc)):
        assert_alike(actual, expected)
    whole, resumed = ((tmp_path / name / "metrics.jsonl").read_text() for name in ("whole", "cut"))
    assert_same_log(whole, resumed)
