"""One training step: the gradient of a whole batch's loss, however few lesions fit at once.

A contrastive loss compares all lesions of a batch, so that adding up the losses of small batches
would be another loss. The gradient is cached instead (Gao et al., "Scaling Deep Contrastive
Learning Batch Size under Memory Limited Setup", RepL4NLP 2021): lesions are encoded in pieces
without a graph, the loss of all gives the gradient at the features, and each piece is encoded
again with a graph to carry its part of it back. Both times a piece sees the same random numbers
(dropout, stochastic depth). Exact for encoders that use no statistics of the batch.
"""

from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor

from toolkit_common.images.transforms import Preprocess
from toolkit_common.seed import seed_everything
from toolkit_common.training.distributed import gather_rows
from toolkit_slimp.model.slimp import SlimpModel
from toolkit_slimp.model.terms import Features, NestedLoss
from toolkit_slimp.training.batches import Batch


@dataclass(frozen=True)
class Stepper:
    """How a step is carried out.

    Attributes:
        model: What is trained.
        accelerator: Where, and at which precision.
        preprocess: How images are normalised.
        seed: Of dropout and stochastic depth.
        lesions_per_pass: Lesions that a process encodes at once; None for all of them.
    """

    model: SlimpModel
    accelerator: Accelerator
    preprocess: Preprocess
    seed: int = 0
    lesions_per_pass: int | None = None

    def backward(self, batch: Batch, step: int) -> NestedLoss:
        """Add the gradient of a batch's loss to this process's parameters.

        Averaged over processes, it is the gradient that one process alone would find.

        Args:
            batch: This process's part of it, on the device.
            step: Number of the step; random numbers depend on it.

        Returns:
            The loss of the whole batch.
        """
        own = len(batch.rows)
        size = min(self.lesions_per_pass or own, own)
        pieces = [batch.take(slice(start, start + size)) for start in range(0, own, size)]
        if len(pieces) == 1:
            loss = self._loss(self._encode(batch, step, 0), batch, step)
            self.accelerator.backward(loss.total)
            return loss
        with torch.no_grad():
            found = [self._encode(piece, step, number) for number, piece in enumerate(pieces)]
        features = _join(found)
        loss = self._loss(features, batch, step)
        self.accelerator.backward(loss.total)
        gradients = [_gradient(part).split(size) for part in features.parts()]
        for number, piece in enumerate(pieces):
            again = self._encode(piece, step, number).parts()
            torch.autograd.backward(again, [gradient[number] for gradient in gradients])
        return loss

    def _encode(self, batch: Batch, step: int, number: int) -> Features:
        rank = self.accelerator.process_index
        seed_everything(self.seed, "encode", step, rank, number)
        views = batch.views
        with self.accelerator.autocast():
            return self.model.encode(
                self.preprocess.normalize(batch.images),
                batch.lesions,
                None if views is None else self.preprocess.normalize(views),
            )

    def _loss(self, features: Features, batch: Batch, step: int) -> NestedLoss:
        seed_everything(self.seed, "loss", step)
        count = len(batch.members.segments)  # the last rank's part may be filled up
        gathered = Features(*(gather_rows(part)[:count] for part in features.parts()))
        # Heads and loss are small, and autocast would round the logits to 8 bits: fp32 for them.
        return self.model.nested_loss(gathered, batch.members)


def _join(found: list[Features]) -> Features:
    parts = zip(*(item.parts() for item in found), strict=True)
    return Features(*(torch.cat(part).requires_grad_() for part in parts))


def _gradient(features: Tensor) -> Tensor:
    """A weight of 0 leaves features without a gradient."""
    return torch.zeros_like(features) if features.grad is None else features.grad
