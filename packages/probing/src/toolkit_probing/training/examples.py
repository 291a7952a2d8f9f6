"""What heads learn from: features with targets, in an order that is a function of seed and epoch.

Shapes: n rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch

from toolkit_common.features.contract import EpochSource, FeatureSource, LayerFeatures
from toolkit_common.seed import generator
from toolkit_probing.training.classifier import row_weights
from toolkit_probing.training.compute import Compute
from toolkit_probing.training.plan import TrainingPlan

Batch = tuple[np.ndarray, LayerFeatures]  # positions, and the features there


@dataclass(frozen=True)
class Examples:
    """Rows to learn from, and rows that pick the epoch.

    Attributes:
        source: Features of all rows.
        targets: Class of every row `(n,)`.
        train: Positions of the training rows.
        select: Positions of the rows that pick the epoch; without any the last one is kept.
        crops: Features of random crops to train on instead of `source`, new ones each epoch.
        weights: What every row counts `(n,)`, in the loss and where it picks; None for all alike.
    """

    source: FeatureSource
    targets: np.ndarray
    train: np.ndarray
    select: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    crops: EpochSource | None = None
    weights: np.ndarray | None = None

    def train_weights(self, num_classes: int, rule: str) -> torch.Tensor | None:
        """Return the weight of each training row in the loss (`classifier.row_weights`)."""
        targets = torch.from_numpy(self.targets[self.train])
        given = None if self.weights is None else torch.from_numpy(self.weights[self.train])
        return row_weights(targets, num_classes, rule, given=given)

    def select_weights(self) -> np.ndarray | None:
        """Return what each of the rows that pick counts."""
        return None if self.weights is None else self.weights[self.select]

    def batches(
        self, plan: TrainingPlan, *, epoch: int, first: int, compute: Compute, patches: bool = True
    ) -> Iterator[Batch]:
        """Yield this process's share of the batches of an epoch, from number `first` on."""
        order, size = epoch_order(self.train, plan.settings.seed, epoch), plan.batch_size
        # From `first` on: a resumed epoch goes on where it was left, in the same order.
        whole = [order[i * size : (i + 1) * size] for i in range(first, plan.steps_per_epoch)]
        # One more for some processes where they do not divide the batch.
        mine = [batch[compute.process_index :: compute.num_processes] for batch in whole]
        if self.crops is None:
            features = self.source.iterate(mine, patches=patches)
        else:
            features = self.crops.iterate(mine, epoch=epoch, patches=patches)
        yield from zip(mine, features, strict=True)


def epoch_order(train: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """Return the training positions in the order of an epoch."""
    shuffled = torch.randperm(len(train), generator=generator(seed, "epoch", epoch))
    return train[shuffled.numpy()]
