"""The probe loop: a bank of heads on frozen features, resumable to the bit.

The order of samples is a pure function of seed and epoch, the learning rate of the step, and the
heads use no other randomness, so that weights, optimizer state and the step are all there is to
save.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch.nn import functional as F

from toolkit_common.console import progress
from toolkit_common.errors import InputError
from toolkit_common.features.contract import EpochSource, FeatureSource, LayerFeatures
from toolkit_common.runs.checkpoints import load_checkpoint
from toolkit_common.runs.folder import RunFolder
from toolkit_common.seed import generator
from toolkit_common.training.distributed import average_gradients_
from toolkit_common.training.interrupt import delayed_interrupt
from toolkit_common.training.optimizers import Groups, build_optimizer, parameter_groups
from toolkit_common.training.schedules import set_lr_, warmup_cosine
from toolkit_probing.heads.bank import HeadBank, features_to
from toolkit_probing.training.checkpoint import (
    Saver,
    State,
    copy_trained,
    load_trained_,
    trained_state,
)
from toolkit_probing.training.scoring import score_heads

REFERENCE_BATCH = 256  # base learning rates are given for this batch size
MIN_BATCH, MAX_BATCH, BATCHES_PER_EPOCH = 16, 1024, 32


@dataclass(frozen=True)
class TrainingPlan:
    """How a bank is trained; see `ProbeSettings` for what the fields mean."""

    epochs: int
    warmup_epochs: float
    batch_size: int
    optimizer: str
    weight_decay: float
    seed: int
    select_by: str
    micro_batch: int | None = None
    patience: int = 0
    min_delta: float = 0.0
    encoder_lr: float = 0.0
    clip_grad: float | None = None


@dataclass
class Best:
    """The best epoch of one head so far, and the score from which its patience is counted."""

    value: float
    epoch: int
    state: State
    mark: float
    mark_epoch: int


@dataclass(frozen=True)
class Part:
    """Which part of a run a bank is: its checkpoints' folder, and its first step in the log."""

    name: str = "heads"
    first_step: int = 0


WHOLE = Part()


def infer_batch_size(num_train: int) -> int:
    """Return a batch size that gives about 32 steps an epoch, a power of two from 16 to 1024."""
    wanted = max(1, num_train // BATCHES_PER_EPOCH)
    return int(min(MAX_BATCH, max(MIN_BATCH, 2 ** (wanted.bit_length() - 1))))


def step_size(plan: TrainingPlan, num_train: int, num_processes: int) -> int:
    """Return the images of one step over all processes, however many these are.

    Raises:
        InputError: If there are too few for every process to have one, and two in all.
    """
    size = min(plan.batch_size, num_train)
    if size < max(2, num_processes):
        raise InputError(
            f"a step of {num_processes} processes needs {max(2, num_processes)} training images, "
            f"got {num_train} and batch_size={plan.batch_size}: use fewer processes or more images"
        )
    return size


def train_bank(
    bank: HeadBank,
    source: FeatureSource,
    targets: np.ndarray,
    *,
    train: np.ndarray,
    select: np.ndarray,
    plan: TrainingPlan,
    accelerator: Accelerator,
    run: RunFolder,
    part: Part = WHOLE,
    crops: EpochSource | None = None,
) -> dict[str, Best]:
    """Train every head and return its best epoch on the selection split.

    Args:
        bank: The heads; holds their last weights afterwards.
        source: Features of all rows.
        targets: Class of every row `(n,)`.
        train: Positions of the training rows.
        select: Positions of the rows that pick the epoch.
        plan: How to train.
        accelerator: Where.
        run: Checkpoints and metrics.jsonl go there; its newest checkpoint is continued.
        part: Which part of the run this is.
        crops: Features of random crops to train on instead of `source`, new ones each epoch.

    Raises:
        InputError: If there are too few training rows.
        KeyboardInterrupt: After an interrupt, when the state is saved.
    """
    ranks, my_rank = accelerator.num_processes, accelerator.process_index
    size = step_size(plan, len(train), ranks)
    per_epoch = len(train) // size
    total, warmup = plan.epochs * per_epoch, int(plan.warmup_epochs * per_epoch)
    trainer = _Trainer(bank, plan, size, accelerator)
    folder = run.path / "checkpoints" / part.name
    step = trainer.resume_(folder)
    active = trainer.active(step // per_epoch)
    if accelerator.is_main_process and active and step < total:
        run.rewind_log(part.first_step + step)
    saver = Saver(folder, accelerator, trainer.state)
    count = len(bank.specs)
    with (
        progress(f"training {count} head{'s' if count > 1 else ''}", total) as advance,
        delayed_interrupt() as stop,
    ):
        advance(step)
        while step < total and active:
            epoch, first = divmod(step, per_epoch)
            order = epoch_order(train, plan.seed, epoch)
            batches = [order[i * size : (i + 1) * size] for i in range(first, per_epoch)]
            mine = [batch[my_rank::ranks] for batch in batches]  # one more for some, perhaps
            bank.train()
            read = crops.iterate(mine, epoch=epoch) if crops else source.iterate(mine)
            for positions, features in zip(mine, read, strict=True):
                factor = warmup_cosine(step, total_steps=total, warmup_steps=warmup)
                trainer.step_(features, torch.from_numpy(targets[positions]), active, factor)
                step += 1
                advance()
                if stop.agreed(accelerator):
                    break
                if step % per_epoch:
                    saver.save_if_due(step)
            if step % per_epoch == 0:
                scores = score_heads(
                    bank, source, targets, positions=select, keys=active, metric=plan.select_by,
                    accelerator=accelerator,
                )  # fmt: skip
                trainer.note_(scores, step // per_epoch)
                if accelerator.is_main_process:
                    at = {"step": part.first_step + step, "part": part.name}
                    run.log(**at, epoch=step // per_epoch, **{plan.select_by: scores})
                active = trainer.active(step // per_epoch)
                saver.save_if_due(step)
            if stop.agreed(accelerator):
                saver.save(step)
                raise KeyboardInterrupt
    saver.save(step)
    return trainer.best


def epoch_order(train: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """Return the training positions in the order of an epoch."""
    shuffled = torch.randperm(len(train), generator=generator(seed, "epoch", epoch))
    return train[shuffled.numpy()]


class _Trainer:
    """Heads, their optimizer and their best epochs: what a step changes and a checkpoint holds."""

    def __init__(
        self, bank: HeadBank, plan: TrainingPlan, batch_size: int, accelerator: Accelerator
    ) -> None:
        self.bank = bank.to(accelerator.device)
        self.plan = plan
        self.step_images = batch_size
        self.accelerator = accelerator
        self.best: dict[str, Best] = {}
        optimizer = _build_optimizer(bank, plan, batch_size)
        if bank.is_tuned:  # gradients of what is reached are averaged here: DDP wants all of them
            models, self.optimizer = bank.heads.values(), accelerator.prepare(optimizer)
        else:
            # A model a head: each goes forward and backward by itself, also over several processes.
            *models, self.optimizer = accelerator.prepare(*bank.heads.values(), optimizer)
        self.models = dict(zip(bank.specs, models, strict=True))

    def step_(
        self, features: LayerFeatures, goals: torch.Tensor, active: list[str], factor: float
    ) -> None:
        """Update the heads `active` on one batch; `factor` scales their learning rates."""
        set_lr_(self.optimizer, factor)
        goals = goals.to(self.accelerator.device)
        # Gradients are averaged over processes, whose shares may differ by an image: each counts
        # as its share of the step.
        weight = len(goals) * self.accelerator.num_processes / self.step_images
        inputs = self.bank.read(features_to(features, self.accelerator.device), active)
        self.optimizer.zero_grad()
        for key in active:
            with self.accelerator.autocast():
                logits = self.models[key](
                    *inputs[self.bank.specs[key].place], micro_batch=self.plan.micro_batch
                )
            self.accelerator.backward(F.cross_entropy(logits.float(), goals) * weight)
        if self.bank.is_tuned:
            average_gradients_(self.bank.parameters())
        if self.plan.clip_grad is not None:
            norm = self.accelerator.clip_grad_norm_(self.bank.parameters(), self.plan.clip_grad)
            if self.accelerator.scaler is None:  # fp16's scaler expects some and skips their steps
                _refuse_infinite(float(norm))
        self.optimizer.step()  # leaves heads without a gradient as they are

    def note_(self, scores: Mapping[str, float], epoch: int) -> None:
        """Keep the heads that are better than ever."""
        for key, value in scores.items():
            if key not in self.best:
                self.best[key] = Best(
                    value, epoch, copy_trained(self.bank.heads[key]), value, epoch
                )
                continue
            best = self.best[key]
            if value > best.mark + self.plan.min_delta:
                best.mark, best.mark_epoch = value, epoch
            if value > best.value:
                best.value, best.epoch, best.state = (
                    value,
                    epoch,
                    copy_trained(self.bank.heads[key]),
                )

    def active(self, epoch: int) -> list[str]:
        """Return the heads that train on after `epoch`: those that have not run out of patience."""
        warm = math.ceil(self.plan.warmup_epochs)
        return [
            key
            for key in self.bank.specs
            if not self.plan.patience
            or key not in self.best
            or epoch - max(warm, self.best[key].mark_epoch) < self.plan.patience
        ]

    def state(self) -> State:
        """Return what a checkpoint holds."""
        return {
            "bank": trained_state(self.bank),
            "optimizer": self.optimizer.state_dict(),
            "best": {key: vars(item) for key, item in self.best.items()},
        }

    def resume_(self, folder: Path) -> int:
        """Take up the newest checkpoint and return its step; 0 without any."""
        found = load_checkpoint(folder)
        if found is None:
            return 0
        step, state = found
        load_trained_(self.bank, state["bank"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.best.update({key: Best(**item) for key, item in state["best"].items()})
        return step


def _refuse_infinite(norm: float) -> None:
    if not math.isfinite(norm):
        raise InputError(
            f"the gradient's norm is {norm}, the tuning has diverged: lower --encoder-lr or --lr"
        )


def _build_optimizer(bank: HeadBank, plan: TrainingPlan, batch_size: int) -> torch.optim.Optimizer:
    """One optimizer for all heads; each head's parameters have its own learning rate."""
    groups: Groups = []
    for key, spec in bank.specs.items():
        lr = spec.base_lr * batch_size / REFERENCE_BATCH
        decay, encoder = plan.weight_decay, bank.encoder(key)
        groups += parameter_groups(bank.head(key).parameters(), lr=lr, weight_decay=decay)
        if encoder is not None:
            own = encoder.parameters()
            groups += parameter_groups(own, lr=plan.encoder_lr, weight_decay=decay)
    return build_optimizer(plan.optimizer, groups)
