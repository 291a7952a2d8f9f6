"""The one loop: a bank of heads on features, of `toolkit probe` and of `ProbeClassifier`.

With a record it is resumable to the bit (`toolkit_probing.training.checkpoint`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from toolkit_common.errors import InputError
from toolkit_common.features.contract import LayerFeatures
from toolkit_common.printable import counted
from toolkit_common.scores.metrics import LOWER_IS_BETTER
from toolkit_common.training.distributed import average_gradients_
from toolkit_common.training.late import Agreement, Late, send
from toolkit_common.training.optimizers import Groups, build_optimizer, parameter_groups
from toolkit_common.training.schedules import set_lr_
from toolkit_probing.heads.bank import HeadBank, features_to
from toolkit_probing.settings import ProbeSettings
from toolkit_probing.training.checkpoint import (
    Record,
    State,
    copy_trained,
    load_trained_,
    logged_metric,
    open_journal,
    trained_state,
)
from toolkit_probing.training.classifier import penalty, weighted_loss
from toolkit_probing.training.compute import Compute
from toolkit_probing.training.examples import Examples
from toolkit_probing.training.fitting import Fitter, accumulate_
from toolkit_probing.training.loss_scales import LossScales
from toolkit_probing.training.plan import TrainingPlan
from toolkit_probing.training.scoring import score_heads


@dataclass
class Best:
    """The best epoch of one head so far, and the score from which its patience is counted.

    Attributes:
        value: Its score, more is better.
        epoch: 0 is before training.
        state: Its weights then.
        mark: Score from which patience is counted.
        mark_epoch: The epoch of that score.
        c: Inverse strength of the L2 penalty of its classifier, where that was fitted.
        shown: Balanced accuracy on the selection split of every C that was tried.
    """

    value: float
    epoch: int
    state: State
    mark: float
    mark_epoch: int
    c: float | None = None
    shown: Mapping[float, float] = field(default_factory=dict)


def train_bank(
    bank: HeadBank,
    examples: Examples,
    settings: ProbeSettings,
    *,
    compute: Compute,
    record: Record | None = None,
) -> dict[str, Best]:
    """Train every head and return its best epoch on the selection split, its classifier fitted.

    Args:
        bank: The heads; holds their last weights afterwards, or what was fitted to them.
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
    trainer, count = _Trainer(bank, examples, plan=plan, compute=compute), len(bank.specs)
    total, per_epoch = plan.total_steps, plan.steps_per_epoch
    takes_steps = bool(trainer.active(0))
    title = f"{'training' if takes_steps else 'fitting'} {counted(count, 'head')}"
    shown = total if takes_steps else count  # classifiers alone are counted as they are fitted
    with open_journal(record, compute, title=title, total=shown) as journal:
        step = journal.resume_(trainer.load_)
        if trainer.is_fitted and not trainer.starts:
            trainer.start_()
        active = trainer.active(step // per_epoch)
        # A part that was over keeps its lines.
        if active and step < total:
            journal.rewind(step)
        journal.advance(step if takes_steps else count)
        while step < total and active:
            epoch, first = divmod(step, per_epoch)
            trainer.train_(begins_epoch=first == 0)
            for positions, features in examples.batches(
                plan, epoch=epoch, first=first, compute=compute, patches=bank.reads_tokens(active)
            ):
                trainer.step_(features, positions, active, step=step, stop=journal.stop)
                step += 1
                journal.advance(1)
                if journal.is_stopped():
                    break
                if step % per_epoch:  # the end of an epoch is saved with its scores
                    journal.save(step, trainer.state, if_due=True)
            if step % per_epoch == 0:
                scores = trainer.score_(active, epoch + 1)
                journal.write(step, epoch=epoch + 1, **trainer.epoch_lines(active, scores))
                active = trainer.active(epoch + 1)
                journal.save(step, trainer.state, if_due=True)
            # After the scores of an epoch that is just over, so that they are in what is saved.
            if journal.is_stopped():
                journal.save(step, trainer.state)
                raise KeyboardInterrupt
        journal.save(step, trainer.state)
        return trainer.finish_() if trainer.is_fitted else trainer.best


class _Trainer:
    """Heads, their optimizer and their best epochs: what a step changes and a checkpoint holds."""

    def __init__(
        self, bank: HeadBank, examples: Examples, *, plan: TrainingPlan, compute: Compute
    ) -> None:
        self.bank = bank.to(compute.device)
        self.examples = examples
        self.plan = plan
        self.compute = compute
        self.best: dict[str, Best] = {}
        self.starts: dict[str, Best] = {}
        self.fitter = Fitter(self.bank, examples, plan, compute)
        self.is_fitted = plan.settings.classifier == "fitted"
        self.losses = dict.fromkeys(bank.specs, torch.zeros((), device=compute.device))
        self.weights, self.total = self._weights()
        # Not prepared: accelerate's would scale all losses alike.
        self.optimizer = _build_optimizer(bank, plan)
        self.scales = LossScales(bank.specs, enabled=compute.mixed_precision == "fp16")
        self.norms = Late()  # of the gradient, where it is clipped

    def start_(self) -> None:
        """Fit every head as it is before training; then let it begin at the class frequencies."""
        twins: dict[tuple[str, int], list[str]] = {}
        for key, spec in self.bank.specs.items():
            # What differs in the learning rate alone begins alike.
            twins.setdefault((spec.variant, spec.seed), []).append(key)
        for first, *others in twins.values():
            self.fitter.settle_inner_norms_(first)
            start = self._fit_(first, epoch=0)
            for key in (first, *others):
                self.starts[key] = start
                self.fitter.reset_(key)

    def finish_(self) -> dict[str, Best]:
        """Fit every head at its best epoch, and return that or its start, whichever is better."""
        chosen: dict[str, Best] = {}
        for key, start in self.starts.items():
            if not len(self.examples.select):
                self._fit_(key, epoch=self.plan.settings.epochs)
                continue
            chosen[key] = start
            if key in self.best:
                load_trained_(self.bank.heads[key], self.best[key].state)
                trained = self._fit_(key, epoch=self.best[key].epoch)
                chosen[key] = max(start, trained, key=lambda best: best.value)
            load_trained_(self.bank.heads[key], chosen[key].state)
        return chosen

    def train_(self, *, begins_epoch: bool) -> None:
        """Turn to training; an epoch begins without losses."""
        self.bank.train()
        if begins_epoch:
            self.losses = {key: torch.zeros_like(value) for key, value in self.losses.items()}

    def step_(
        self,
        features: LayerFeatures,
        positions: np.ndarray,
        active: list[str],
        *,
        step: int,
        stop: Agreement,
    ) -> None:
        """Update the heads `active` on one batch, that of a step of the whole training.

        Nothing in it waits for the device.
        """
        set_lr_(self.optimizer, self.plan.factor(step))
        for key in active if self.is_fitted else ():
            # Not of an encoder that is tuned, which keeps the statistics that it has.
            accumulate_(self.bank.head(key), step % self.plan.steps_per_epoch)
        device = self.compute.device
        targets, weights = self._rows(positions)
        micro_batch = self.plan.settings.micro_batch
        with self.compute.autocast():
            inputs = self.bank.read(features_to(features, device), active)
            groups = self.bank.groups(active, inputs, micro_batch=micro_batch)
        # To None, not to 0: a head without a gradient is left alone, by momentum and decay too.
        self.optimizer.zero_grad()
        losses: dict[str, torch.Tensor] = {}
        for group in groups:
            with self.compute.autocast():
                logits = self.bank.logits(group, inputs, micro_batch=micro_batch)
            # In fp32, whatever autocast says. Gradients are averaged over processes, whose shares
            # may differ by an image: each image counts once.
            share = self.compute.num_processes / self.plan.batch_size
            own = {
                key: weighted_loss(logits[key].float(), targets, weights) * share for key in group
            }
            losses |= {key: loss.detach() for key, loss in own.items()}
            # At once, so that the graph of one group is held at a time.
            torch.autograd.backward([self.scales.scale(key, loss) for key, loss in own.items()])
        means, votes = torch.stack([losses[key] for key in active]), stop.vote(device)
        # All at once: losses, as a checkpoint holds what every process goes on from, and votes.
        average_gradients_(self.bank.parameters(), beside=(means, votes))
        stop.count_(votes)
        self.losses |= {key: self.losses[key] + at for key, at in zip(active, means, strict=True)}
        self.scales.unscale_({key: [*self.bank.heads[key].parameters()] for key in active})
        self._penalise_(active)
        if self.plan.clip_grad is not None:
            norm = nn.utils.clip_grad_norm_(self.bank.parameters(), self.plan.clip_grad)
            _refuse_infinite(self.norms.swap(norm.view(1)))  # of the step before
        self.optimizer.step()  # leaves heads without a gradient as they are

    def score_(self, keys: list[str], epoch: int) -> dict[str, float]:
        """Score heads on the rows that pick, if there are any, and keep those better than ever."""
        if not len(self.examples.select):
            return {}
        scores = score_heads(
            self.bank,
            self.examples,
            keys=keys,
            metric=self.plan.settings.select_by,
            compute=self.compute,
        )
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
        return scores

    def epoch_lines(
        self, keys: list[str], scores: Mapping[str, float]
    ) -> dict[str, dict[str, float]]:
        """Return what metrics.jsonl says of an epoch, metrics with their own sign."""
        settings, steps = self.plan.settings, self.plan.steps_per_epoch
        sign = -1.0 if settings.select_by in LOWER_IS_BETTER else 1.0
        losses = torch.stack([self.losses[key] for key in keys]).tolist()
        return {
            "train_loss": {key: loss / steps for key, loss in zip(keys, losses, strict=True)},
            logged_metric(settings.select_on, settings.select_by): {
                key: sign * value for key, value in scores.items()
            },
        }

    def active(self, epoch: int) -> list[str]:
        """Return the heads that train on after `epoch`: those that have not run out of patience."""
        patience = self.plan.settings.patience
        # During warm-up rates are still small: no patience is used up.
        warm = math.ceil(self.plan.settings.warmup_epochs)
        return [
            key
            for key in self.bank.specs
            if self._has_more_than_classifier(key)
            and (
                not patience
                or key not in self.best
                or epoch - max(warm, self.best[key].mark_epoch) < patience
            )
        ]

    def state(self) -> State:
        """Return what a checkpoint holds, which is never what a diverged step left."""
        _refuse_infinite(self.norms.read())
        return {
            "bank": trained_state(self.bank),
            "optimizer": self.optimizer.state_dict(),
            "loss_scales": self.scales.state(),
            "losses": self.losses,
            "best": {key: vars(item) for key, item in self.best.items()},
            "starts": {key: vars(item) for key, item in self.starts.items()},
        }

    def load_(self, state: State) -> None:
        """Take up what a checkpoint holds."""
        load_trained_(self.bank, state["bank"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scales.load_(state["loss_scales"])
        self.losses.update(state["losses"])
        self.best.update({key: Best(**item) for key, item in state["best"].items()})
        self.starts.update({key: Best(**item) for key, item in state["starts"].items()})

    def _fit_(self, key: str, *, epoch: int) -> Best:
        fit = self.fitter.fit_(key)
        state = copy_trained(self.bank.heads[key])
        return Best(fit.value, epoch, state, fit.value, epoch, c=fit.c, shown=fit.shown)

    def _has_more_than_classifier(self, key: str) -> bool:
        """Whether steps have anything to do: a classifier alone is fitted."""
        head = self.bank.head(key)
        return not self.is_fitted or head.pool is not None or self.bank.is_tuned

    def _penalise_(self, keys: list[str]) -> None:
        """Add the gradient of the penalty `|W|^2 / (2 C n)` that was picked before training."""
        for key in keys if self.is_fitted else ():
            weight, c = self.bank.head(key).classifier.weight, self.starts[key].c
            assert c is not None
            if weight.grad is not None:  # of an overflow nothing is left
                strength = penalty(c, self.total, self.bank.num_classes)
                weight.grad.add_(weight.detach(), alpha=strength)

    def _rows(self, positions: np.ndarray) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return classes and weights of a batch on the device, which need not have arrived."""
        given = (torch.from_numpy(self.examples.targets), self.weights)
        rows = torch.from_numpy(positions)
        device = self.compute.device
        targets, weights = (None if item is None else send(item[rows], device) for item in given)
        assert targets is not None
        return targets, weights

    def _weights(self) -> tuple[torch.Tensor | None, float]:
        """Return the weight of each row in a step, 1 in the mean over training, and their sum."""
        examples, train = self.examples, torch.from_numpy(self.examples.train)
        weights = examples.train_weights(self.bank.num_classes, self.plan.settings.class_weight)
        if weights is None:
            return None, self.plan.num_train
        spread = torch.zeros(len(examples.targets))
        spread[train] = (weights / weights.mean()).float()
        return spread, float(weights.sum())


def _refuse_infinite(norms: Sequence[float] | None) -> None:
    # Of fp16 those are gone that a smaller scale mends.
    for norm in norms or ():
        if math.isfinite(norm):
            continue
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
        # Without a rate there is no step.
        groups += parameter_groups(head, lr=plan.lr(spec.base_lr or 0.0), weight_decay=decay)
        if encoder is not None:
            own = encoder.parameters()
            groups += parameter_groups(own, lr=plan.encoder_lr, weight_decay=decay)
    return build_optimizer(plan.settings.optimizer, groups)
