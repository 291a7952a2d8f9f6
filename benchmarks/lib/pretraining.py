"""The loop that pre-trains an encoder by an objective, resumable to the same weights; of `mim`.

Every draw is a function of seed and step, so that weights, the optimizer's state and the step are
all there is to save.
"""

import argparse
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lib.objectives import draw_views
from toolkit_common.backbones.contract import ImageEncoder
from toolkit_common.console import progress
from toolkit_common.data.dataset import ImageData
from toolkit_common.data.loaders import build_loader, choose_num_workers
from toolkit_common.images.transforms import Preprocess, build_eval_transform
from toolkit_common.runs.checkpoints import load_checkpoint, save_checkpoint
from toolkit_common.seed import generator
from toolkit_common.training.interrupt import delayed_interrupt
from toolkit_common.training.optimizers import parameter_groups
from toolkit_common.training.schedules import set_lr_, warmup_cosine

WARMUP = 0.05  # of all steps
WEIGHT_DECAY, BETAS = 0.05, (0.9, 0.95)  # MAE, table 8
SAVE_EVERY_S = 60.0
FAR_BELOW = 0.8  # of the loss of predicting the mean: what has learned stays below


@dataclass(frozen=True)
class Work:
    """What a run trains, on what.

    Attributes:
        given: Its arguments.
        data: The data set.
        targets: Class of every row of it; zeros where labels are not read.
        train: Rows to learn.
        held_out: Rows to look at when it is done.
        encoder: What is kept.
        objective: What is trained, the encoder in it.
        accelerator: Where it runs.
    """

    given: argparse.Namespace
    data: ImageData
    targets: np.ndarray
    train: np.ndarray
    held_out: np.ndarray
    encoder: ImageEncoder
    objective: nn.Module
    accelerator: Any

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        device: torch.device = self.accelerator.device
        return device

    def read(self, rows: np.ndarray) -> Tensor:
        """Return the images of some rows as the encoder takes them, in bytes `(m, 3, h, w)`."""
        loader = build_loader(
            self.data,
            rows,
            transform=build_eval_transform(self.encoder.preprocess),
            batch_size=256,
            num_workers=choose_num_workers(None, self.accelerator),
        )
        with progress("reading images", len(rows)) as advance:
            parts = []
            for batch in loader:
                parts.append(batch["image"])
                advance(len(batch["image"]))
        return torch.cat(parts)


def train_(work: Work) -> None:
    """Train the objective in place; every draw is a function of seed and step.

    Raises:
        KeyboardInterrupt: After an interrupt, when the state is saved.
    """
    given, rows, folder = work.given, work.train, work.given.output / "checkpoints"
    images, targets = work.read(rows), torch.from_numpy(work.targets[rows])
    per_epoch = len(rows) // given.batch_size
    total = given.epochs * per_epoch
    groups = parameter_groups(work.objective.parameters(), lr=given.lr, weight_decay=WEIGHT_DECAY)
    optimizer = torch.optim.AdamW(groups, betas=BETAS, fused=True)
    step, state = load_checkpoint(folder) or (0, None)
    if state is not None:
        work.objective.load_state_dict(state["objective"])
        optimizer.load_state_dict(state["optimizer"])
    saved = time.monotonic()
    with progress(given.objective, total) as advance, delayed_interrupt() as interruption:
        advance(step)
        while step < total:
            epoch, at = divmod(step, per_epoch)
            order = torch.randperm(len(rows), generator=generator(given.seed, "epoch", epoch))
            picked = order[at * given.batch_size : (at + 1) * given.batch_size]
            factor = warmup_cosine(step, total_steps=total, warmup_steps=int(WARMUP * total))
            set_lr_(optimizer, factor)
            loss = step_(work, optimizer, (images[picked], targets[picked]), step)
            step += 1
            advance(note=f"loss {loss:.3f}" if step % 20 == 0 or step == total else "")
            if interruption.requested or step == total or time.monotonic() - saved > SAVE_EVERY_S:
                state = {
                    "objective": work.objective.state_dict(), "optimizer": optimizer.state_dict()
                }  # fmt: skip
                save_checkpoint(folder, step, state)
                saved = time.monotonic()
            if interruption.requested:
                raise KeyboardInterrupt


def step_(
    work: Work, optimizer: torch.optim.Optimizer, batch: tuple[Tensor, Tensor], step: int
) -> float:
    """Update the weights once; returns the loss."""
    images, targets = (item.to(work.device) for item in batch)
    draws = generator(work.given.seed, "step", step)
    views = normalise(draw_views(images, work.given.objective, draws), work.encoder.preprocess)
    work.objective.train()
    with work.accelerator.autocast():
        loss: Tensor = work.objective(views, targets, draws)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def normalise(pixels: Tensor, preprocess: Preprocess) -> Tensor:
    """Return pixels of [0, 1] as the encoder takes them."""
    mean, std = (
        torch.tensor(item, device=pixels.device).view(3, 1, 1)
        for item in (preprocess.mean, preprocess.std)
    )
    return (pixels - mean) / std


def doubts(checks: Mapping[str, float]) -> str:
    """Return whether the checks of an encoder say that it has learned nothing; empty if not."""
    linear, random = (
        checks.get(f"linear probing, top-1, {name}") for name in ("trained", "random")
    )
    loss = checks.get("held-out loss of masked patches")
    mean = checks.get("held-out loss of predicting the mean")
    found = []
    if linear is not None and random is not None and linear <= random:
        found.append("linear probing is not above that of random weights")
    if loss is not None and mean is not None and loss > FAR_BELOW * mean:
        found.append("hidden patches are hardly better inferred than by their mean")
    return f"IT HAS NOT LEARNED: {', '.join(found)}" if found else ""
