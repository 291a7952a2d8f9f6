"""What an update changes and a checkpoint holds: model, optimizer, average of the weights."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, cast

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from toolkit_common.errors import InputError
from toolkit_common.runs.checkpoints import load_checkpoint
from toolkit_common.training.distributed import average_gradients_
from toolkit_common.training.optimizers import Groups, build_optimizer, parameter_groups
from toolkit_common.training.schedules import set_lr_, warmup_cosine
from toolkit_slimp.metadata.table import EncodedTable
from toolkit_slimp.model.slimp import SlimpModel
from toolkit_slimp.model.terms import NestedLoss
from toolkit_slimp.training.batches import Batch
from toolkit_slimp.training.diverged import save_batch
from toolkit_slimp.training.step import Stepper

BETAS = (0.9, 0.95)


@dataclass(frozen=True)
class Schedule:
    """How long and how fast; see `SlimpSettings` for what the fields mean."""

    total_steps: int
    lr: float
    image_lr: float
    weight_decay: float
    warmup: float
    clip_grad: float
    ema: float | None = None

    def factor(self, step: int) -> float:
        """Return the share of the peak learning rates at a step."""
        warmup_steps = int(self.warmup * self.total_steps)
        return warmup_cosine(step, total_steps=self.total_steps, warmup_steps=warmup_steps)


class Learner:
    """Learns from one batch after another, and can be put down and taken up again.

    Args:
        stepper: The model, and how it learns from a batch.
        schedule: How fast.
        table: Metadata of every row of the data set.
        folder: Of the run: a batch that diverges is saved there.
    """

    def __init__(
        self, stepper: Stepper, schedule: Schedule, *, table: EncodedTable, folder: Path
    ) -> None:
        self.stepper, self.schedule, self.table, self.folder = stepper, schedule, table, folder
        self.accelerator, self.model = stepper.accelerator, stepper.model
        self.model.to(self.accelerator.device)
        self.optimizer: Any = self.accelerator.prepare(_build_optimizer(self.model, schedule))
        self.average: AveragedModel | None = None
        if schedule.ema is not None:
            average = _averaging(schedule.ema)
            self.average = AveragedModel(self.model, avg_fn=average, use_buffers=True)

    @property
    def watched(self) -> SlimpModel:
        """The model that is judged and exported."""
        return self.model if self.average is None else cast(SlimpModel, self.average.module)

    def step_(self, batch: Batch, step: int) -> tuple[NestedLoss, float]:
        """Update the model once; returns the loss before it and the gradient's norm."""
        self.model.train()
        set_lr_(self.optimizer, self.schedule.factor(step))
        self.optimizer.zero_grad()
        loss = self.stepper.backward(batch, step)
        if not math.isfinite(value := float(loss.total.detach())):
            self.give_up(f"loss is {value}", batch, step)
        average_gradients_(self.model.parameters())
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), self.schedule.clip_grad)
        skips = self.accelerator.scaler is not None  # fp16's scaler expects such steps
        if not skips and not math.isfinite(value := float(norm)):
            self.give_up(f"gradient's norm is {value}", batch, step)
        self.optimizer.step()
        self.model.clamp_temperatures_()
        if self.average is not None:
            self.average.update_parameters(self.model)
        return loss, float(norm)

    def give_up(self, what: str, batch: Batch, step: int) -> NoReturn:
        """Save the batch, and say what is no finite number and where to go on from.

        Raises:
            InputError: Always.
        """
        place = save_batch(batch, self.table.image_ids, self.folder / "diverged", step)
        checkpoints = self.folder / "checkpoints"
        before = f", checkpoints from before are in {checkpoints}" if checkpoints.is_dir() else ""
        raise InputError(
            f"the {what} at step {step}: lower --lr and --image-lr; the batch is in {place}{before}"
        )

    def state(self) -> dict[str, Any]:
        """Return what `resume_` needs."""
        scaler = self.accelerator.scaler
        return {
            "schema": self.table.schema.digest(),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "scaler": None if scaler is None else scaler.state_dict(),
        }

    def resume_(self, folder: Path) -> int:
        """Take up the newest checkpoint; returns its step, 0 without one."""
        found = load_checkpoint(folder)
        if found is None:
            return 0
        step, state = found
        own = self.table.schema.digest()
        if state["schema"] != own:
            raise InputError(
                f"cannot resume {folder.parent} with another metadata schema (its checkpoint has "
                f"{state['schema'][:12]}, now {own[:12]}): give the one in "
                f"{folder.parent / 'schema.json'}, or start a new run"
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        return step

    def finish_(self) -> None:
        """Put the average in the model's place."""
        if self.average is not None:
            self.model.load_state_dict(self.average.module.state_dict())


def _averaging(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """An exponential moving average that forgets its first steps faster, as TensorFlow's does."""

    def average(mean: Tensor, new: Tensor, count: Tensor | int) -> Tensor:
        return mean + (1.0 - min(decay, (1 + int(count)) / (10 + int(count)))) * (new - mean)

    return average


def _build_optimizer(model: SlimpModel, schedule: Schedule) -> torch.optim.Optimizer:
    image = {id(parameter) for parameter in model.image_encoder.parameters()}
    rest = [parameter for parameter in model.parameters() if id(parameter) not in image]
    decay = schedule.weight_decay
    groups: Groups = [
        *parameter_groups(
            model.image_encoder.parameters(), lr=schedule.image_lr, weight_decay=decay
        ),
        *parameter_groups(rest, lr=schedule.lr, weight_decay=decay),
    ]
    return build_optimizer("adamw", [{**group, "betas": BETAS} for group in groups])
