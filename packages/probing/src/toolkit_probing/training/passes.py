"""A bank too large for memory is trained in several passes, to the same bits.

What a head costs is counted, not guessed: its weights, gradients and optimizer state for as long as
its pass lasts, and what autograd keeps of one forward pass, which only one head holds at a time, or
a few that read tokens together (`toolkit_probing.heads.bank`).
"""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from accelerate import Accelerator
from torch import Tensor

from toolkit_common.console import console
from toolkit_common.errors import InputError
from toolkit_common.features.contract import LayerFeatures
from toolkit_common.features.planner import GIB, SHARE_OF_FREE, available_memory
from toolkit_common.foreign.values import checked
from toolkit_common.runs.files import read_json, write_json
from toolkit_probing.heads.head import Head, HeadSpec, build_head
from toolkit_probing.heads.inputs import Inputs, read_inputs
from toolkit_probing.heads.together import AT_ONCE, kind_of
from toolkit_probing.training.checkpoint import Record
from toolkit_probing.training.plan import TrainingPlan

MOMENTS = {"adamw": 2, "lars": 1, "sgd": 1}  # tensors that an optimizer keeps a weight


@dataclass(frozen=True)
class HeadCost:
    """Bytes of a head: `kept` as long as it trains, `passing` while its turn in a step lasts.

    Where it takes its turn with others, `passing` is what all of them hold then.
    """

    kept: int
    passing: int


def head_cost(head: Head, inputs: Inputs, plan: TrainingPlan) -> HeadCost:
    """Count the memory that training a head takes.

    Args:
        head: The head.
        inputs: What it reads of two rows.
        plan: How it is trained; on several processes gradients are held once more, for the mean.
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
    # By storage: views of one tensor keep it once.
    storages = {item.untyped_storage().data_ptr(): item.untyped_storage() for item in held}
    # What is counted already, or shared by all heads, is not this head's.
    saved = sum(item.nbytes() for address, item in storages.items() if address not in own)
    # Weight, gradient, moments, and the copy that processes average.
    copies = 2 + MOMENTS[plan.settings.optimizer] + (plan.num_processes > 1)
    at_once = min(plan.rows_per_process, plan.settings.micro_batch or plan.rows_per_process)
    # Twice: the backward pass makes a gradient of what was kept.
    return HeadCost(copies * parameters, 2 * saved * at_once // len(inputs.main))


def plan_passes(costs: Mapping[str, HeadCost], budget: int) -> list[list[str]]:
    """Cut heads into passes whose memory stays within a budget, in the order given.

    A head that alone exceeds it gets a pass of its own.
    """
    passes: list[list[str]] = []
    kept = passing = 0
    for key, cost in costs.items():
        # All heads of a pass hold what they keep; one, or one group, at a time what passes.
        kept, passing = kept + cost.kept, max(passing, cost.passing)
        if not passes or kept + passing > budget:
            passes.append([])
            kept, passing = cost.kept, cost.passing
        passes[-1].append(key)
    return passes


def passes_for(
    specs: Sequence[HeadSpec],
    sample: LayerFeatures,
    plan: TrainingPlan,
    *,
    num_classes: int,
    accelerator: Accelerator,
    record: Record,
) -> dict[str, list[HeadSpec]]:
    """Return the heads of every pass that memory makes necessary, by the pass's name.

    Args:
        specs: Which heads.
        sample: Features of some rows.
        plan: How they are trained.
        num_classes: Number of classes.
        accelerator: Where; half of its free memory serves where `--bank-memory` gives no other.
        record: Keeps the division: a resumed run has it again, whatever memory it meets.
    """
    # Counted by all, as batch norm's statistics run over all processes.
    costs = _costs(specs, sample, plan, num_classes=num_classes, accelerator=accelerator)
    path, memory = record.folder / "passes.json", plan.settings.bank_memory
    # By one process, as free memory differs from one to the next and they must agree.
    if accelerator.is_main_process and not path.exists():
        budget = free_bytes(accelerator) if memory is None else int(memory * GIB)
        write_json(path, plan_passes(costs, budget))
    accelerator.wait_for_everyone()
    by_key = {spec.key: spec for spec in specs}
    passes: list[list[str]] = checked(list[list[str]], read_json(path), f"{path} is damaged")
    if sorted(key for keys in passes for key in keys) != sorted(by_key):
        raise InputError(f"{path} is damaged: it names other heads than the run has; delete it")
    if len(passes) > 1:
        console.print(
            f"training: {len(specs)} heads do not fit the memory for heads at once: {len(passes)} "
            "passes, to the same result (change with --bank-memory)"
        )
    return {
        f"pass-{number}": [by_key[key] for key in keys]
        for number, keys in enumerate(passes, start=1)
    }


def free_bytes(accelerator: Accelerator) -> int:
    """Return the bytes that heads may take unasked: half of what is free on the device."""
    if accelerator.device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(accelerator.device)
    else:
        free = available_memory() // accelerator.num_processes  # one memory for all of them
    return int(SHARE_OF_FREE * free)


def _costs(
    specs: Sequence[HeadSpec],
    sample: LayerFeatures,
    plan: TrainingPlan,
    *,
    num_classes: int,
    accelerator: Accelerator,
) -> dict[str, HeadCost]:
    """Heads that differ only in learning rate or seed cost the same and are counted once."""
    of_variant: dict[str, HeadCost] = {}
    kinds: dict[str, Hashable] = {}
    for spec in specs:
        if spec.variant not in of_variant:
            head = build_head(spec, sample[spec.layer], num_classes=num_classes)
            inputs = read_inputs(sample[spec.layer], spec.source)
            of_variant[spec.variant] = head_cost(head, inputs, plan)
            with accelerator.autocast():
                kind = kind_of(head, inputs.main.to(accelerator.device))
            kinds[spec.variant] = None if kind is None else (spec.place, kind)
    # So many of a kind pass at once; one cut off from its like counts too much, never too little.
    alike = Counter(kinds[spec.variant] for spec in specs)
    cut = plan.settings.micro_batch is not None  # each head goes alone
    at_once = {
        variant: 1 if kind is None or cut else min(AT_ONCE, alike[kind])
        for variant, kind in kinds.items()
    }
    return {
        spec.key: replace(cost, passing=cost.passing * at_once[spec.variant])
        for spec in specs
        for cost in [of_variant[spec.variant]]
    }
