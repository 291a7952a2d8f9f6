"""What a head is judged with: its pooling as it was trained, its classifier fitted to it.

Of a pooling that is held still the classifier is a convex problem (`classifier`). It is solved
twice: for the pooling before training and for that of its best epoch, with the norm's statistics
exactly those of the training rows, for every strength of the L2 penalty; the selection split picks.
So a head never does worse there than what it started from, and one without a pooling, which has
nothing to train, is logistic regression (docs/protocols.md, "Fitted heads"). With an encoder that
is tuned the first is linear probing before fine-tuning.

Shapes: n rows, o width, c classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from accelerate.utils import broadcast_object_list
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from toolkit_common.features.contract import LayerFeatures
from toolkit_common.training.distributed import broadcast_
from toolkit_probing.heads.bank import HeadBank, features_to
from toolkit_probing.training.classifier import (
    Solution,
    fit_classifiers,
    log_frequencies,
)
from toolkit_probing.training.compute import Compute
from toolkit_probing.training.examples import Examples
from toolkit_probing.training.plan import TrainingPlan
from toolkit_probing.training.scoring import DIVERGED, EVAL_BATCH, score

SHOWN = "balanced_accuracy"  # what a reader looks at first, whatever picks


@dataclass(frozen=True)
class Fit:
    """What was picked for the classifier of a head.

    Attributes:
        c: Inverse strength of its L2 penalty, scikit-learn's C.
        value: Its score on the selection split, more is better; NaN where nothing picks.
        shown: Balanced accuracy on the selection split of every C.
    """

    c: float
    value: float
    shown: Mapping[float, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Fitter:
    """Fits heads to their poolings.

    Every process does all of it, on the same rows, and takes over what the main one has: where sums
    have no fixed order, another C or another start could win elsewhere, and heads would part.

    Attributes:
        bank: The heads, on their device.
        examples: What they learn from, and what picks C; without such rows there is one C.
        plan: How they train.
        compute: Where.
    """

    bank: HeadBank
    examples: Examples
    plan: TrainingPlan
    compute: Compute

    def fit_(self, key: str) -> Fit:
        """Fit the norm and the classifier of a head to its pooling; leaves it in eval mode."""
        fit = self._fit_here_(key)
        if self.compute.num_processes > 1:
            broadcast_(self.bank.head(key))
            (fit,) = broadcast_object_list([fit])
        return fit

    def _fit_here_(self, key: str) -> Fit:
        head, settings = self.bank.head(key), self.plan.settings
        rows = self._pool(key, self.examples.train)
        if not rows.isfinite().all():
            return Fit(settings.c[0], DIVERGED)
        given = self.examples.train_weights(self.bank.num_classes, "none")
        set_statistics_(head.norm, rows, None if given is None else given.to(rows.device))
        targets = torch.from_numpy(self.examples.targets[self.examples.train]).to(rows.device)
        weights = self._weights()
        solutions = fit_classifiers(
            head.norm(rows),
            targets,
            cs=settings.c,
            num_classes=self.bank.num_classes,
            weights=None if weights is None else weights.to(rows.device),
        )
        best, fit = self._pick(key, [*solutions])
        with torch.no_grad():
            head.classifier.weight.copy_(best.weight)
            head.classifier.bias.copy_(best.bias)
        return fit

    def reset_(self, key: str) -> None:
        """Let a head predict the class frequencies, as the loss weighs them: there it begins."""
        classifier, num_classes = self.bank.head(key).classifier, self.bank.num_classes
        targets = torch.from_numpy(self.examples.targets[self.examples.train])
        with torch.no_grad():
            classifier.weight.zero_()
            classifier.bias.copy_(log_frequencies(targets, num_classes, self._weights()))

    def _weights(self) -> Tensor | None:
        rule = self.plan.settings.class_weight
        return self.examples.train_weights(self.bank.num_classes, rule)

    @torch.no_grad()
    def settle_inner_norms_(self, key: str) -> None:
        """Let batch norms within an untrained pooling see an epoch's batches, as training will."""
        pool = self.bank.head(key).pool
        if pool is None or not batch_norms(pool):
            return
        self.bank.heads[key].train()
        # Shared among processes as in training: these norms' statistics run over all of them.
        batches = self.examples.batches(self.plan, epoch=0, first=0, compute=self.compute)
        for number, (_, features) in enumerate(batches):
            accumulate_(pool, number)
            self._pooled(key, features)

    def _pick(self, key: str, solutions: Sequence[Solution]) -> tuple[Solution, Fit]:
        """Return the solution that the selection split picks, the strongest penalty of equals."""
        if not len(self.examples.select):
            (only,) = solutions
            return only, Fit(only.c, float("nan"))
        rows = self.bank.head(key).norm(self._pool(key, self.examples.select))
        targets = self.examples.targets[self.examples.select]
        weights = self.examples.select_weights()
        select_by = self.plan.settings.select_by
        values, shown = dict[float, float](), dict[float, float]()
        for item in solutions:
            probabilities = F.linear(rows, item.weight, item.bias).softmax(1).cpu().numpy()
            values[item.c] = score(probabilities, targets, select_by, weights=weights)
            shown[item.c] = score(probabilities, targets, SHOWN, weights=weights)
        best = max(solutions, key=lambda item: values[item.c])
        return best, Fit(best.c, values[best.c], shown)

    @torch.no_grad()
    def _pool(self, key: str, positions: np.ndarray) -> Tensor:
        """Return what a head's norm reads of some rows, `(n, o)` in fp32."""
        self.bank.heads[key].eval()
        batches = [positions[at : at + EVAL_BATCH] for at in range(0, len(positions), EVAL_BATCH)]
        patches = self.bank.reads_tokens([key])
        read = self.examples.source.iterate(batches, patches=patches)
        return torch.cat([self._pooled(key, item) for item in read])

    def _pooled(self, key: str, features: LayerFeatures) -> Tensor:
        moved = features_to(features, self.compute.device)
        with self.compute.autocast():
            read = self.bank.read(moved, [key])[self.bank.specs[key].place]
            pooled = self.bank.pooled(key, read)
        return pooled.float()


def accumulate_(module: nn.Module, number: int) -> None:
    """Let batch norms add batch `number` to an even mean of those before; 0 begins anew.

    With torch's momentum of 0.1 the last few batches decide, and validation curves jump. A momentum
    of None averages as here, but reads its count of batches back from the device at every step.
    """
    for norm in batch_norms(module):
        norm.momentum = 1 / (number + 1)
        if number == 0:
            norm.reset_running_stats()


def batch_norms(module: nn.Module) -> list[_BatchNorm]:
    """Return the batch norms of a module."""
    return [item for item in module.modules() if isinstance(item, _BatchNorm)]


def set_statistics_(norm: _BatchNorm, rows: Tensor, weights: Tensor | None = None) -> None:
    """Set the statistics of a norm to those of some rows `(n, o)`, weighted `(n,)`, exactly."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    if weights is None:
        variance, mean = torch.var_mean(rows.double(), dim=0, correction=0)
    else:
        shares = (weights / weights.sum()).unsqueeze(1)
        mean = (shares * rows.double()).sum(0)
        variance = (shares * (rows.double() - mean).square()).sum(0)
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
