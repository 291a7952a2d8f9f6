"""One training step: the gradient of a whole batch's loss, and the update that it makes.

A contrastive loss compares all lesions of a batch, so that adding up the losses of small batches
would be another loss. The gradient is cached instead (Gao et al., "Scaling Deep Contrastive
Learning Batch Size under Memory Limited Setup", RepL4NLP 2021): lesions are encoded in pieces
without a graph, the loss of all gives the gradient at the features, and each piece is encoded
again with a graph to carry its part of it back. Both times a piece sees the same random numbers
(dropout, stochastic depth). Exact for encoders that use no statistics of the batch.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, compress
from operator import not_
from pathlib import Path
from typing import Any, NoReturn, cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from toolkit_common.errors import InputError
from toolkit_common.runs.checkpoints import CHECKPOINTS, load_checkpoint
from toolkit_common.seed import seed_everything
from toolkit_common.training.distributed import average_gradients_, gather_rows
from toolkit_common.training.interrupt import Interruption
from toolkit_common.training.late import Agreement, Late
from toolkit_common.training.optimizers import Groups, build_optimizer, parameter_groups
from toolkit_common.training.schedules import set_lr_, warmup_cosine
from toolkit_slimp.metadata.table import EncodedTable
from toolkit_slimp.model.slimp import SlimpModel
from toolkit_slimp.model.terms import LesionFeatures, NestedLoss
from toolkit_slimp.training.batches import Batch
from toolkit_slimp.training.diverged import save_batch
from toolkit_slimp.training.keep import Keeper, Outcome

BETAS = (0.9, 0.95)

Watch = Callable[[SlimpModel], dict[str, float]]


@dataclass(frozen=True)
class Stepper:
    """How the gradient of a batch is computed.

    Attributes:
        model: What is trained, by its settings.
        accelerator: Where, and at which precision.
    """

    model: SlimpModel
    accelerator: Accelerator

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
        size = min(self.model.settings.lesions_per_pass or own, own)
        pieces = [batch.take(slice(start, start + size)) for start in range(0, own, size)]
        # One piece needs no second pass.
        if len(pieces) == 1:
            loss = self._loss(self._encode(batch, step, 0), batch, step)
            # Through accelerate, which scales for fp16.
            self.accelerator.backward(loss.total)
            return loss
        with torch.no_grad():
            encoded = [self._encode(piece, step, number) for number, piece in enumerate(pieces)]
        # Joined as leaves: the loss's gradient ends at the features.
        features = _join(encoded)
        loss = self._loss(features, batch, step)
        self.accelerator.backward(loss.total)
        gradients = [_gradient(part).split(size) for part in features.parts()]
        for number, piece in enumerate(pieces):
            again = self._encode(piece, step, number).parts()
            # Not through accelerate: what comes from the loss's gradient is scaled for fp16
            # already.
            parts = [pair for pair in zip(again, gradients, strict=True) if pair[0].requires_grad]
            # What is frozen whole has nothing to carry back.
            torch.autograd.backward(
                [part for part, _ in parts], [gradient[number] for _, gradient in parts]
            )
        return loss

    def _encode(self, batch: Batch, step: int, number: int) -> LesionFeatures:
        rank = self.accelerator.process_index
        # The same numbers both times a piece is encoded, others on each rank: lesions differ there.
        seed_everything(self.model.settings.seed, "encode", step, rank, number)
        normalize, views = self.model.preprocess.normalize, batch.views
        with self.accelerator.autocast():
            return self.model.encode(
                normalize(batch.images), batch.lesions, None if views is None else normalize(views)
            )

    def _loss(self, features: LesionFeatures, batch: Batch, step: int) -> NestedLoss:
        # Without the rank: all compute one loss, and whatever it drew would have to be equal.
        seed_everything(self.model.settings.seed, "loss", step)
        count = len(batch.members.segments)  # the last rank's part may be filled up
        gathered = LesionFeatures(*(gather_rows(part)[:count] for part in features.parts()))
        # Heads and loss are small, and autocast would round the logits to 8 bits: fp32 for them.
        return self.model.nested_loss(gathered, batch.members)


class Learner:
    """Learns from one batch after another, and can be put down and taken up again.

    Args:
        stepper: The model, and how it learns from a batch.
        table: Metadata of every row of the data set.
        folder: Of the run: a batch that diverges is saved there.
        total_steps: How long the run is, for its learning rates.
    """

    def __init__(
        self, stepper: Stepper, table: EncodedTable, folder: Path, *, total_steps: int
    ) -> None:
        self.stepper, self.table, self.folder = stepper, table, folder
        self.total_steps = total_steps
        self.accelerator, self.model = stepper.accelerator, stepper.model
        self.settings = stepper.model.settings
        self.model.to(self.accelerator.device)
        # The optimizer alone: DDP would average during each piece's pass (docs/decisions.md).
        self.optimizer: Any = self.accelerator.prepare(_build_optimizer(self.model))
        self.average: AveragedModel | None = None
        if self.settings.ema is not None:
            self.average = AveragedModel(self.model)
        self.keeper = Keeper(self.settings)
        self.stop = Agreement(Interruption(), self.accelerator.num_processes)
        self._values = Late()
        self._taken: tuple[Batch, int] | None = None  # what they are of

    @property
    def watched(self) -> SlimpModel:
        """The model that is watched and exported."""
        return self.model if self.average is None else cast(SlimpModel, self.average.module)

    def step_(self, batch: Batch, step: int) -> tuple[NestedLoss, Tensor]:
        """Update the model once; returns the loss before it and the gradient's norm.

        Nothing in it waits for the device: that loss and norm are finite is checked after the next
        step, or by `check`, and so before anything of it is kept.
        """
        # At each step, as a look at held-out patients leaves the model in eval mode.
        self.model.train()
        set_lr_(self.optimizer, self.lr_factor(step))
        self.optimizer.zero_grad()
        loss = self.stepper.backward(batch, step)
        votes = self.stop.vote(self.accelerator.device)
        # Once, after the last piece; clipping is of the mean gradient.
        average_gradients_(self.model.parameters(), beside=(votes,))
        self.stop.count_(votes)
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), self.settings.clip_grad)
        self.optimizer.step()
        # Before the average, which is to hold temperatures that are allowed.
        self.model.clamp_temperatures_()
        if self.average is not None:
            assert self.settings.ema is not None
            _average_(self.average, self.model, step=step, decay=self.settings.ema)
        # Both are of the whole batch, the same on every rank: all of them give up, or none.
        values = torch.stack([loss.total.detach(), norm.to(loss.total)])
        self._refuse_diverged(self._values.swap(values))
        self._taken = batch, step
        return loss, norm

    def check(self) -> None:
        """Check the last step too, for which the device is waited for.

        Raises:
            InputError: If its loss or its gradient is no finite number.
        """
        self._refuse_diverged(self._values.read())

    def _refuse_diverged(self, values: list[float] | None) -> None:
        if values is None:
            return
        assert self._taken is not None
        loss, norm = values
        if not math.isfinite(loss):
            self.give_up(f"loss is {loss}", *self._taken)
        # fp16's scaler expects such steps, and skips them.
        if self.accelerator.scaler is None and not math.isfinite(norm):
            self.give_up(f"gradient's norm is {norm}", *self._taken)

    def look(self, watch: Watch, batch: Batch, step: int) -> dict[str, float]:
        """Return what `watch` says after a step; gives up where that is no finite number.

        What it has seen is kept if it is the best so far, and the settings keep the best.
        """
        try:
            values = watch(self.watched)
        except FloatingPointError as error:
            self.give_up(f"{error} is no finite number", batch, step)
        self.keeper.look_(self.watched, step + 1, values)  # of that many updates
        return values

    def lr_factor(self, step: int) -> float:
        """Return the share of the peak learning rates at a step."""
        warmup_steps = int(self.settings.warmup * self.total_steps)
        return warmup_cosine(step, total_steps=self.total_steps, warmup_steps=warmup_steps)

    def give_up(self, what: str, batch: Batch, step: int) -> NoReturn:
        """Save the batch, then name what is no finite number and where to go on from.

        Raises:
            InputError: Always.
        """
        place = save_batch(batch, self.table.image_ids, self.folder / "diverged", step=step)
        checkpoints = self.folder / CHECKPOINTS
        before = f", checkpoints from before are in {checkpoints}" if checkpoints.is_dir() else ""
        raise InputError(
            f"the {what} at step {step}: lower --lr and --image-lr; the batch is in {place}{before}"
        )

    def state(self) -> dict[str, Any]:
        """Return what `resume_` needs."""
        scaler = self.accelerator.scaler
        return {
            # Other columns may give the same shapes, which loading would not notice.
            "schema": self.table.schema.digest(),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "scaler": None if scaler is None else scaler.state_dict(),
            "best": self.keeper.state(),
        }

    def resume_(self, folder: Path) -> int:
        """Take up the newest checkpoint; returns its step, 0 without one."""
        if (checkpoint := load_checkpoint(folder)) is None:
            return 0
        step, state = checkpoint
        own = self.table.schema.digest()
        if state["schema"] != own:
            raise InputError(
                f"cannot resume {folder.parent} with another metadata schema (its checkpoint has "
                f"{state['schema'][:12]}, now {own[:12]}): give the one in "
                f"{folder.parent / 'schema.json'}, or start a new run"
            )
        self.keeper.resume_(state.get("best"))  # none before there was a choice
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        return step

    def finish_(self, watch: Watch, seen: dict[str, float]) -> Outcome:
        """Put the average, or the best, in the model's place; returns what it is.

        Args:
            watch: Looks at the model where nothing of it was seen.
            seen: The last look's values; none if the run died after its last step.
        """
        if self.average is not None:
            self.model.load_state_dict(self.average.module.state_dict())
        if self.keeper.best is None and not seen:
            seen = watch(self.model)
        return self.keeper.finish_(self.model, Outcome(self.total_steps, seen))


def _join(parts: list[LesionFeatures]) -> LesionFeatures:
    columns = zip(*(part.parts() for part in parts), strict=True)
    return LesionFeatures(*(torch.cat(column).requires_grad_() for column in columns))


def _gradient(features: Tensor) -> Tensor:
    """A weight of 0 leaves features without a gradient."""
    return torch.zeros_like(features) if features.grad is None else features.grad


@torch.no_grad()
def _average_(average: AveragedModel, model: SlimpModel, *, step: int, decay: float) -> None:
    """Move an average of a model on; it forgets its first steps faster, as TensorFlow's does.

    torch's own reads its count of updates, or sends it, for every tensor. Here it is the step.
    """
    pairs = zip(_tensors(average.module), _tensors(model), strict=True)
    means, news = map(list, zip(*pairs, strict=True))
    # Counts, which batch norms have, are no averages.
    is_mean = [item.is_floating_point() and step > 0 for item in means]
    for mean, new in compress(zip(means, news, strict=True), map(not_, is_mean)):
        mean.copy_(new)
    share = 1.0 - min(decay, (1 + step) / (10 + step))
    if any(is_mean):
        torch._foreach_lerp_([*compress(means, is_mean)], [*compress(news, is_mean)], share)
    average.n_averaged += 1


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    return chain(module.parameters(), module.buffers())


def _build_optimizer(model: SlimpModel) -> torch.optim.Optimizer:
    settings, decay = model.settings, model.settings.weight_decay
    # By identity, as == of tensors compares what they hold.
    image = {id(parameter) for parameter in model.image_encoder.parameters()}
    rest = [parameter for parameter in model.parameters() if id(parameter) not in image]
    groups: Groups = [
        *parameter_groups(
            model.image_encoder.parameters(), lr=settings.image_lr, weight_decay=decay
        ),
        *parameter_groups(rest, lr=settings.lr, weight_decay=decay),
    ]
    return build_optimizer("adamw", [{**group, "betas": BETAS} for group in groups])
