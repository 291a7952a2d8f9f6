"""The probe loop: a bank of heads on frozen features, resumable to the bit.

The order of samples is a pure function of seed and epoch, the learning rate of the step, and the
heads use no other randomness, so that weights, optimizer state and the step are all there is to
save.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn

from toolkit_common.checkpoints import load_checkpoint, save_checkpoint
from toolkit_common.features.base import FeatureSource
from toolkit_common.metrics import CLASS_METRICS, LOWER_IS_BETTER, METRICS, Predictions
from toolkit_common.runs import RunFolder
from toolkit_common.seed import generator
from toolkit_common.training.interrupt import delayed_interrupt
from toolkit_common.training.optimizers import Groups, build_optimizer, parameter_groups
from toolkit_common.training.progress import progress
from toolkit_common.training.schedules import set_lr_, warmup_cosine
from toolkit_probing.bank import HeadBank, bank_loss, features_to

EVAL_BATCH = 256
SAVE_EVERY_S = 30.0
REFERENCE_BATCH = 256  # base learning rates are given for this batch size
MIN_BATCH, MAX_BATCH, BATCHES_PER_EPOCH = 16, 1024, 32

State = dict[str, Any]


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


@dataclass
class Best:
    """The best epoch of one head so far."""

    value: float
    epoch: int
    state: State


def infer_batch_size(num_train: int) -> int:
    """Return a batch size that gives about 32 steps an epoch, a power of two from 16 to 1024."""
    wanted = max(1, num_train // BATCHES_PER_EPOCH)
    return int(min(MAX_BATCH, max(MIN_BATCH, 2 ** (wanted.bit_length() - 1))))


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

    Raises:
        KeyboardInterrupt: After an interrupt, when the state is saved.
    """
    ranks, my_rank = accelerator.num_processes, accelerator.process_index
    size = min(plan.batch_size, len(train)) // ranks * ranks
    per_epoch = len(train) // size
    total, warmup = plan.epochs * per_epoch, int(plan.warmup_epochs * per_epoch)
    model, optimizer = accelerator.prepare(bank, _build_optimizer(bank, plan, size))
    best: dict[str, Best] = {}
    folder = run.path / "checkpoints"
    step = _resume_(bank, optimizer, best, folder)
    if accelerator.is_main_process:
        run.rewind_log(step)
    saver = _Saver(folder, accelerator, lambda: _state(bank, optimizer, best))
    with progress("training heads", total) as advance, delayed_interrupt() as interruption:
        advance(step)
        while step < total:
            epoch, first = divmod(step, per_epoch)
            order = epoch_order(train, plan.seed, epoch)
            batches = [order[i * size : (i + 1) * size] for i in range(first, per_epoch)]
            mine = [batch[my_rank::ranks] for batch in batches]
            bank.train()
            for positions, features in zip(mine, source.iterate(mine), strict=True):
                set_lr_(optimizer, warmup_cosine(step, total_steps=total, warmup_steps=warmup))
                with accelerator.autocast():
                    logits = model(features_to(features, accelerator.device))
                goals = torch.from_numpy(targets[positions]).to(accelerator.device)
                optimizer.zero_grad()
                accelerator.backward(bank_loss(logits, goals))
                optimizer.step()
                step += 1
                advance()
                if interruption.agreed(accelerator):
                    break
                if step % per_epoch:
                    saver.save_if_due(step)
            if step % per_epoch == 0:
                scores = _scores(bank, source, targets, select, plan.select_by, accelerator)
                _update_best_(best, bank, scores, step // per_epoch)
                if accelerator.is_main_process:
                    run.log(step=step, epoch=step // per_epoch, **{plan.select_by: scores})
                saver.save_if_due(step)
            if interruption.agreed(accelerator):
                saver.save(step)
                raise KeyboardInterrupt
    saver.save(step)
    return best


def epoch_order(train: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """Return the training positions in the order of an epoch."""
    shuffled = torch.randperm(len(train), generator=generator(seed, "epoch", epoch))
    return train[shuffled.numpy()]


@torch.no_grad()
def predict(
    bank: HeadBank,
    source: FeatureSource,
    positions: np.ndarray,
    accelerator: Accelerator,
    *,
    keys: Sequence[str] | None = None,
    probabilities: bool,
) -> dict[str, np.ndarray]:
    """Return every head's probabilities `(n, c)`, or only its predicted classes `(n,)`.

    Ranks share the batches; every rank returns all rows, in the order of `positions`.
    """
    bank.eval()
    batches = [positions[i : i + EVAL_BATCH] for i in range(0, len(positions), EVAL_BATCH)]
    numbers = range(accelerator.process_index, len(batches), accelerator.num_processes)
    mine = [batches[number] for number in numbers]
    found: list[tuple[int, dict[str, np.ndarray]]] = []
    for number, features in zip(numbers, source.iterate(mine), strict=True):
        with accelerator.autocast():
            logits = bank(features_to(features, accelerator.device))
        wanted = logits if keys is None else {key: logits[key] for key in keys}
        found.append(
            (number, {key: _read_out(item, probabilities) for key, item in wanted.items()})
        )
    if accelerator.num_processes > 1:
        found = gather_object(found)
    parts = [part for _, part in sorted(found, key=lambda item: item[0])]
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def _read_out(logits: Tensor, probabilities: bool) -> np.ndarray:
    values = logits.float().softmax(dim=1) if probabilities else logits.argmax(dim=1)
    return values.cpu().numpy()


def _scores(
    bank: HeadBank,
    source: FeatureSource,
    targets: np.ndarray,
    positions: np.ndarray,
    metric: str,
    accelerator: Accelerator,
) -> dict[str, float]:
    needs_all = metric not in CLASS_METRICS
    found = predict(bank, source, positions, accelerator, probabilities=needs_all)
    num_classes = bank.num_classes
    ones, scores = np.ones((1, len(positions))), {}
    sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
    for key, values in found.items():
        probabilities = values if needs_all else np.eye(num_classes, dtype=np.float32)[values]
        value = float(METRICS[metric](Predictions(probabilities, targets[positions]), ones)[0])
        scores[key] = -math.inf if math.isnan(value) else sign * value
    return scores


def _build_optimizer(bank: HeadBank, plan: TrainingPlan, batch_size: int) -> torch.optim.Optimizer:
    """One optimizer for all heads; each head's parameters have its own learning rate."""
    groups: Groups = []
    for key, spec in bank.specs.items():
        lr = spec.base_lr * batch_size / REFERENCE_BATCH
        parameters = bank.heads[key].parameters()
        groups += parameter_groups(parameters, lr=lr, weight_decay=plan.weight_decay)
    return build_optimizer(plan.optimizer, groups)


def _update_best_(
    best: dict[str, Best], bank: HeadBank, scores: Mapping[str, float], epoch: int
) -> None:
    for key, value in scores.items():
        if key not in best or value > best[key].value:
            best[key] = Best(value, epoch, _copy(bank.heads[key]))


def _copy(module: nn.Module) -> State:
    return {name: value.detach().cpu().clone() for name, value in module.state_dict().items()}


class _Saver:
    """Saves the state once in a while; any step can be resumed to the same result."""

    def __init__(self, folder: Path, accelerator: Accelerator, state: Callable[[], State]) -> None:
        self._folder = folder
        self._is_main = accelerator.is_main_process
        self._state = state
        self._last = time.monotonic()

    def save_if_due(self, step: int) -> None:
        if time.monotonic() - self._last > SAVE_EVERY_S:
            self.save(step)

    def save(self, step: int) -> None:
        if self._is_main:
            save_checkpoint(self._folder, step, self._state())
        self._last = time.monotonic()


def _state(bank: HeadBank, optimizer: Any, best: Mapping[str, Best]) -> State:
    return {
        "bank": bank.state_dict(),
        "optimizer": optimizer.state_dict(),
        "best": {key: vars(item) for key, item in best.items()},
    }


def _resume_(bank: HeadBank, optimizer: Any, best: dict[str, Best], folder: Path) -> int:
    found = load_checkpoint(folder)
    if found is None:
        return 0
    step, state = found
    bank.load_state_dict(state["bank"])
    optimizer.load_state_dict(state["optimizer"])
    best.update({key: Best(**item) for key, item in state["best"].items()})
    return step
