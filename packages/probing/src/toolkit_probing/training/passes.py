"""A bank too large for memory is trained in several passes, to the same bits.

What a head costs is counted, not guessed: its weights, gradients and optimizer state for as long as
its pass lasts, and what autograd keeps of one forward pass, which only one head holds at a time
(`toolkit_probing.heads.bank`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from toolkit_common.console import console
from toolkit_common.features.contract import EpochSource, FeatureSource, LayerFeatures
from toolkit_common.features.planner import SHARE_OF_FREE, available_memory
from toolkit_common.runs.files import read_json, write_json
from toolkit_common.runs.folder import RunFolder
from toolkit_probing.heads.bank import HeadBank
from toolkit_probing.heads.head import Head, HeadSpec, build_head
from toolkit_probing.heads.inputs import Inputs, read_inputs
from toolkit_probing.training.loop import Best, Part, TrainingPlan, step_size, train_bank

MOMENTS = {"adamw": 2, "lars": 1, "sgd": 1}  # tensors that an optimizer keeps a weight
SAMPLE = 2  # rows: batch norm needs two


@dataclass(frozen=True)
class HeadCost:
    """Bytes of a head: `kept` as long as it trains, `passing` while its turn in a step lasts."""

    kept: int
    passing: int


def head_cost(
    head: Head, inputs: Inputs, *, plan: TrainingPlan, rows: int, num_processes: int = 1
) -> HeadCost:
    """Count the memory that training a head takes.

    Args:
        head: The head.
        inputs: What it reads of two rows.
        plan: How it is trained.
        rows: Rows of a step on one device.
        num_processes: With several, gradients are held once more to be averaged.
    """
    parameters = sum(item.numel() * item.element_size() for item in head.parameters())
    held: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        held.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        head.train()(*inputs)
    given = [item for item in inputs if item is not None]
    mine = (*head.parameters(), *head.buffers(), *given)
    own = {item.untyped_storage().data_ptr() for item in mine}
    storages = {item.untyped_storage().data_ptr(): item.untyped_storage() for item in held}
    saved = sum(item.nbytes() for address, item in storages.items() if address not in own)
    copies = 2 + MOMENTS[plan.optimizer] + (num_processes > 1)
    at_once = rows if plan.micro_batch is None else min(rows, plan.micro_batch)
    # Twice: the backward pass makes a gradient of what was kept.
    return HeadCost(copies * parameters, 2 * saved * at_once // len(inputs.main))


def plan_passes(costs: Mapping[str, HeadCost], budget: int) -> list[list[str]]:
    """Cut heads into passes whose memory stays within a budget, in the order given.

    A head that alone exceeds it gets a pass of its own.
    """
    passes: list[list[str]] = []
    kept = passing = 0
    for key, cost in costs.items():
        kept, passing = kept + cost.kept, max(passing, cost.passing)
        if not passes or kept + passing > budget:
            passes.append([])
            kept, passing = cost.kept, cost.passing
        passes[-1].append(key)
    return passes


def train_in_passes(
    specs: Sequence[HeadSpec],
    source: FeatureSource,
    targets: np.ndarray,
    *,
    train: np.ndarray,
    select: np.ndarray,
    plan: TrainingPlan,
    accelerator: Accelerator,
    run: RunFolder,
    part: Part,
    crops: EpochSource | None = None,
    num_classes: int,
    budget: int | None = None,
) -> tuple[dict[str, Best], Part]:
    """Train heads in as many passes as memory asks for; arguments as `train_bank`.

    Args:
        specs: Which heads.
        source: Features of all rows.
        targets: Class of every row.
        train: Positions of the training rows.
        select: Positions of the rows that pick the epoch.
        plan: How to train.
        accelerator: Where.
        run: Checkpoints and metrics.jsonl go there.
        part: Which part of the run this is.
        crops: Features of random crops to train on instead.
        num_classes: Number of classes.
        budget: Bytes for training; half of what is free when not given.

    Returns:
        The best epoch of every head, and the part that comes after.
    """
    sample = next(iter(source.iterate([np.arange(SAMPLE)])))
    ranks = accelerator.num_processes
    size = step_size(plan, len(train), ranks)
    rows = -(-size // ranks)
    how: dict[str, Any] = {"plan": plan, "rows": rows, "num_processes": ranks}
    # Counted by all, as batch norm's statistics run over all processes.
    costs = _costs(specs, sample, num_classes, how)
    plan_path = run.path / "checkpoints" / part.name / "passes.json"
    if accelerator.is_main_process and not plan_path.exists():
        bytes_free = free_bytes(accelerator) if budget is None else budget
        write_json(plan_path, plan_passes(costs, bytes_free))
    accelerator.wait_for_everyone()
    passes: list[list[str]] = read_json(plan_path)  # a resumed run keeps it, whatever memory it has
    if len(passes) > 1:
        console.print(
            f"training: {len(specs)} heads do not fit the memory for heads at once: {len(passes)} "
            "passes, to the same result (change with --bank-memory)"
        )
    by_key = {spec.key: spec for spec in specs}
    best: dict[str, Best] = {}
    steps = plan.epochs * (len(train) // size)
    for number, keys in enumerate(passes):
        bank = HeadBank([by_key[key] for key in keys], sample, num_classes=num_classes)
        at = Part(f"{part.name}/pass-{number + 1}", part.first_step + number * steps)
        best |= train_bank(
            bank, source, targets, train=train, select=select, plan=plan, accelerator=accelerator,
            run=run, part=at, crops=crops,
        )  # fmt: skip
        accelerator.free_memory()
    return best, replace(part, first_step=part.first_step + len(passes) * steps)


def free_bytes(accelerator: Accelerator) -> int:
    """Return the bytes that heads may take unasked: half of what is free on the device."""
    if accelerator.device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(accelerator.device)
    else:
        free = available_memory() // accelerator.num_processes
    return int(SHARE_OF_FREE * free)


def _costs(
    specs: Sequence[HeadSpec], sample: LayerFeatures, num_classes: int, how: Mapping[str, Any]
) -> dict[str, HeadCost]:
    """Heads that differ only in learning rate or seed cost the same and are counted once."""
    of_variant: dict[str, HeadCost] = {}
    for spec in specs:
        if spec.variant not in of_variant:
            head = build_head(spec, sample[spec.layer], num_classes=num_classes)
            inputs = read_inputs(sample[spec.layer], spec.source)
            of_variant[spec.variant] = head_cost(head, inputs, **how)
    return {spec.key: of_variant[spec.variant] for spec in specs}
