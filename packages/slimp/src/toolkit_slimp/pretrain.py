"""The SLIMP loop: batches of patients, the nested loss, held-out retrieval; resumable to the bit.

What a step sees and draws is a pure function of seed and step, so that weights, optimizer state
and the step are all there is to save.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from toolkit_common.checkpoints import load_checkpoint, save_checkpoint
from toolkit_common.data.transforms import Preprocess
from toolkit_common.errors import InputError
from toolkit_common.runs import RunFolder
from toolkit_common.seed import seed_everything
from toolkit_common.training.interrupt import delayed_interrupt
from toolkit_common.training.optimizers import Groups, build_optimizer, parameter_groups
from toolkit_common.training.progress import progress
from toolkit_common.training.schedules import set_lr_, warmup_cosine
from toolkit_slimp.batches import BatchStream
from toolkit_slimp.model import NestedLoss, SlimpModel
from toolkit_slimp.retrieval import recall_at

BETAS = (0.9, 0.95)
SAVE_EVERY_S = 60.0
LOG_EVERY = 10


@dataclass(frozen=True)
class Schedule:
    """How long and how fast; see `SlimpSettings` for what the fields mean."""

    total_steps: int
    lr: float
    image_lr: float
    weight_decay: float
    warmup: float
    clip_grad: float
    seed: int


def pretrain(
    model: SlimpModel,
    stream: BatchStream,
    *,
    preprocess: Preprocess,
    schedule: Schedule,
    accelerator: Accelerator,
    run: RunFolder,
    watch: Callable[[SlimpModel], dict[str, float]],
) -> None:
    """Train the model in place.

    Args:
        model: What is trained.
        stream: Its batches.
        preprocess: How images are normalised.
        schedule: How long and how fast.
        accelerator: Where.
        run: Checkpoints and metrics.jsonl go there; its newest checkpoint is continued.
        watch: Called once an epoch; its values are logged.

    Raises:
        KeyboardInterrupt: After an interrupt, when the state is saved.
        InputError: If the loss is no finite number; the state before is kept.
    """
    wrapped, optimizer = accelerator.prepare(model, _build_optimizer(model, schedule))
    folder, last_saved = run.path / "checkpoints", time.monotonic()
    step = _resume_(model, optimizer, folder)
    if accelerator.is_main_process:
        run.rewind_log(step)
    total, warmup = schedule.total_steps, int(schedule.warmup * schedule.total_steps)
    per_epoch = stream.sampler.batches_per_epoch
    with progress("pre-training", total) as advance, delayed_interrupt() as interruption:
        advance(step)
        for batch in stream.batches(step, total):
            model.train()
            set_lr_(optimizer, warmup_cosine(step, total_steps=total, warmup_steps=warmup))
            seed_everything(schedule.seed, "step", step)
            loss = _forward(wrapped, batch, preprocess, accelerator)
            _refuse_nan(loss, step, run)
            optimizer.zero_grad()
            accelerator.backward(loss.total)
            accelerator.clip_grad_norm_(model.parameters(), schedule.clip_grad)
            optimizer.step()
            step += 1
            advance(note=f"loss {float(loss.total.detach()):.3f}")
            is_epoch_end = step % per_epoch == 0 or step == total
            seen = watch(model) if is_epoch_end else {}
            if accelerator.is_main_process and (seen or step % LOG_EVERY == 0):
                run.log(step=step, epoch=step / per_epoch, **_describe(loss, model), **seen)
            stop = interruption.agreed(accelerator)
            if accelerator.is_main_process and (
                stop or step == total or time.monotonic() - last_saved > SAVE_EVERY_S
            ):
                save_checkpoint(folder, step, _state(model, optimizer))
                last_saved = time.monotonic()
            if stop:
                raise KeyboardInterrupt


def _forward(
    model: Any, batch: dict[str, Any], preprocess: Preprocess, accelerator: Accelerator
) -> NestedLoss:
    device = accelerator.device
    images = preprocess.normalize(batch["images"].to(device, non_blocking=True))
    with accelerator.autocast():
        loss: NestedLoss = model(
            images,
            batch["lesions"].to(device),
            batch["segments"].to(device),
            batch["patients"].to(device),
        )
    return loss


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


@torch.no_grad()
def _describe(loss: NestedLoss, model: SlimpModel) -> dict[str, float]:
    values = {"loss": float(loss.total), "lesion_loss": float(loss.lesion)}
    values["lesion_recall_at_1"] = recall_at(*loss.lesion_pairs, 1)
    if loss.patient is not None and loss.patient_pairs is not None:
        values["patient_loss"] = float(loss.patient)
        values["patient_recall_at_1"] = recall_at(*loss.patient_pairs, 1)
    values["lesion_logit_scale"], values["patient_logit_scale"] = model.scales().tolist()
    return values


def _refuse_nan(loss: NestedLoss, step: int, run: RunFolder) -> None:
    if not math.isfinite(float(loss.total.detach())):
        raise InputError(
            f"the loss is {float(loss.total.detach())} at step {step}: lower --lr and --image-lr; "
            f"checkpoints from before are in {run.path / 'checkpoints'}"
        )


def _state(model: SlimpModel, optimizer: Any) -> dict[str, Any]:
    return {"model": model.state_dict(), "optimizer": optimizer.state_dict()}


def _resume_(model: SlimpModel, optimizer: Any, folder: Path) -> int:
    found = load_checkpoint(folder)
    if found is None:
        return 0
    step, state = found
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return step
