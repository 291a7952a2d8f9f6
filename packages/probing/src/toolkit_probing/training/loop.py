"""The one loop: a bank of heads on features, of `toolkit probe` and of `ProbeClassifier`.

With a record it is resumable to the bit (`toolkit_probing.training.checkpoint`).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from toolkit_common.errors import InputError
from toolkit_common.features.contract import LayerFeatures
from toolkit_common.training.distributed import average_gradients_
from toolkit_common.training.optimizers import Groups, build_optimizer, parameter_groups
from toolkit_common.training.schedules import set_lr_
from toolkit_probing.heads.bank import HeadBank, features_to
from toolkit_probing.settings import ProbeSettings
from toolkit_probing.training.checkpoint import (
    Record,
    State,
    copy_trained,
    load_trained_,
    open_journal,
    trained_state,
)
from toolkit_probing.training.compute import Compute
from toolkit_probing.training.examples import Examples
from toolkit_probing.training.loss_scales import LossScales
from toolkit_probing.training.plan import TrainingPlan
from toolkit_probing.training.scoring import score_heads


@dataclass
class Best:
    """The best epoch of one head so far, and the score from which its patience is counted."""

    value: float
    epoch: int
    state: State
    mark: float
    mark_epoch: int


def train_bank(
    bank: HeadBank,
    examples: Examples,
    settings: ProbeSettings,
    *,
    compute: Compute,
    record: Record | None = None,
) -> dict[str, Best]:
    """Train every head and return its best epoch on the selection split.

    Args:
        bank: The heads; holds their last weights afterwards.
        examples: What they learn from. Without rows that pick, nothing is best: the result is
            empty, and the last weights are what was trained.
        settings: How to train.
        compute: Where.
        record: Where it is kept; its newest checkpoint is continued. None keeps nothing.

    Raises:
        InputError: If there are too few training rows.
        KeyboardInterrupt: After an interrupt, when the state is saved.
    """
    plan = TrainingPlan(settings, len(examples.train), compute.num_processes)
    trainer, count = _Trainer(bank, plan, compute), len(bank.specs)
    total, per_epoch, metric = plan.total_steps, plan.steps_per_epoch, settings.select_by
    title = f"training {count} head{'s' if count > 1 else ''}"
    with open_journal(record, compute, title=title, total=total) as journal:
        step = journal.resume_(trainer.load_)
        active = trainer.active(step // per_epoch)
        # A part that was over keeps its lines.
        if active and step < total:
            journal.rewind(step)
        journal.advance(step)
        while step < total and active:
            epoch, first = divmod(step, per_epoch)
            bank.train()
            for positions, features in examples.batches(
                plan, epoch=epoch, first=first, compute=compute
            ):
                targets = torch.from_numpy(examples.targets[positions])
                trainer.step_(features, targets, active, factor=plan.factor(step))
                step += 1
                journal.advance(1)
                if journal.is_stopped():
                    break
                if step % per_epoch:  # the end of an epoch is saved with its scores
                    journal.save(step, trainer.state, if_due=True)
            if step % per_epoch == 0:
                if len(examples.select):
                    scores = score_heads(
                        bank, examples, keys=active, metric=metric, compute=compute
                    )
                    trainer.note_(scores, epoch + 1)
                    journal.write(step, epoch=epoch + 1, metric=metric, scores=scores)
                active = trainer.active(epoch + 1)
                journal.save(step, trainer.state, if_due=True)
            # After the scores of an epoch that is just over, so that they are in what is saved.
            if journal.is_stopped():
                journal.save(step, trainer.state)
                raise KeyboardInterrupt
        journal.save(step, trainer.state)
    return trainer.best


class _Trainer:
    """Heads, their optimizer and their best epochs: what a step changes and a checkpoint holds."""

    def __init__(self, bank: HeadBank, plan: TrainingPlan, compute: Compute) -> None:
        self.bank = bank.to(compute.device)
        self.plan = plan
        self.compute = compute
        self.best: dict[str, Best] = {}
        # Not prepared: accelerate's would scale all losses alike.
        self.optimizer = _build_optimizer(bank, plan)
        self.scales = LossScales(bank.specs, enabled=compute.mixed_precision == "fp16")
        # A model a head: each goes forward and backward by itself, also over several processes.
        # Of tuned ones gradients are averaged here: DDP wants one for every parameter.
        self.models = {
            key: head if bank.is_tuned else compute.prepare(head)
            for key, head in bank.heads.items()
        }

    def step_(
        self, features: LayerFeatures, targets: torch.Tensor, active: list[str], *, factor: float
    ) -> None:
        """Update the heads `active` on one batch; `factor` scales their learning rates."""
        set_lr_(self.optimizer, factor)
        targets = targets.to(self.compute.device)
        # Gradients are averaged over processes, whose shares may differ by an image: each counts
        # as its share of the step.
        weight = len(targets) * self.compute.num_processes / self.plan.batch_size
        inputs = self.bank.read(features_to(features, self.compute.device), active)
        micro_batch = self.plan.settings.micro_batch
        # To None, not to 0: a head without a gradient is left alone, by momentum and decay too.
        self.optimizer.zero_grad()
        for key in active:
            read = inputs[self.bank.specs[key].place]
            with self.compute.autocast():
                logits = self.models[key](*read, micro_batch=micro_batch)
            # At once, so that one head's graph is held at a time; in fp32, whatever autocast says.
            loss = F.cross_entropy(logits.float(), targets) * weight
            self.scales.scale(key, loss).backward()
        if self.bank.is_tuned:
            # Before the norm is taken, which is that of the mean.
            average_gradients_(self.bank.parameters())
        self.scales.unscale_({key: [*self.bank.heads[key].parameters()] for key in active})
        if self.plan.clip_grad is not None:
            norm = nn.utils.clip_grad_norm_(self.bank.parameters(), self.plan.clip_grad)
            _refuse_infinite(float(norm))  # of fp16 those are gone that a smaller scale mends
        self.optimizer.step()  # leaves heads without a gradient as they are

    def note_(self, scores: Mapping[str, float], epoch: int) -> None:
        """Keep the heads that are better than ever."""
        for key, value in scores.items():
            best = self.best.get(key)
            if best is None:
                # Whatever its score: what diverged at once needs a state to be judged by.
                state = copy_trained(self.bank.heads[key])
                self.best[key] = Best(value, epoch, state, value, epoch)
                continue
            # Patience counts from gains of `min_delta`; a smaller one is still the best epoch.
            if value > best.mark + self.plan.settings.min_delta:
                best.mark, best.mark_epoch = value, epoch
            if value > best.value:
                best.value, best.epoch = value, epoch
                best.state = copy_trained(self.bank.heads[key])

    def active(self, epoch: int) -> list[str]:
        """Return the heads that train on after `epoch`: those that have not run out of patience."""
        patience = self.plan.settings.patience
        # During warm-up rates are still small: no patience is used up.
        warm = math.ceil(self.plan.settings.warmup_epochs)
        return [
            key
            for key in self.bank.specs
            if not patience
            or key not in self.best
            or epoch - max(warm, self.best[key].mark_epoch) < patience
        ]

    def state(self) -> State:
        """Return what a checkpoint holds."""
        return {
            "bank": trained_state(self.bank),
            "optimizer": self.optimizer.state_dict(),
            "loss_scales": self.scales.state(),
            "best": {key: vars(item) for key, item in self.best.items()},
        }

    def load_(self, state: State) -> None:
        """Take up what a checkpoint holds."""
        load_trained_(self.bank, state["bank"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scales.load_(state["loss_scales"])
        self.best.update({key: Best(**item) for key, item in state["best"].items()})


def _refuse_infinite(norm: float) -> None:
    if not math.isfinite(norm):
        raise InputError(
            f"the gradient's norm is {norm}, the tuning has diverged: lower --encoder-lr or --lr"
        )


def _build_optimizer(bank: HeadBank, plan: TrainingPlan) -> torch.optim.Optimizer:
    """One optimizer for all heads; each head's parameters have its own learning rate."""
    # Updates go parameter by parameter, norms of lars included: one optimizer is as many.
    groups: Groups = []
    decay = plan.settings.weight_decay
    for key, spec in bank.specs.items():
        head, encoder = bank.head(key).parameters(), bank.encoder(key)
        groups += parameter_groups(head, lr=plan.lr(spec.base_lr), weight_decay=decay)
        if encoder is not None:
            own = encoder.parameters()
            groups += parameter_groups(own, lr=plan.encoder_lr, weight_decay=decay)
    return build_optimizer(plan.settings.optimizer, groups)
