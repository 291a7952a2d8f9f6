"""EP on a frozen encoder as most people run it: the encoder runs again in every epoch.

    python benchmarks/plain_loop.py --backbone timm:NAME --data digits --epochs 2 --output FILE

The counterpart of `toolkit probe --method ep` in `benchmarks/engine.py`, with the same images,
splits, initial weights, order, optimizer and schedule, so that both must reach the same accuracy:
what differs is that nothing is kept of the frozen encoder's work, and that EP projects the values
of all tokens before it pools them. Writes `{"cpu_seconds": [...], "wall_seconds": [...],
"top1": ..., "encoded": ..., "images": ...}`, both times by epoch, images encoded in each, and all.
"""

import argparse
import copy
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lib.literal_probes import batched_ep
from toolkit_common.backbones.contract import Backbone
from toolkit_common.backbones.load import load_backbone
from toolkit_common.data.loaders import build_loader
from toolkit_common.features.contract import Features, features_of
from toolkit_common.images.transforms import build_eval_transform
from toolkit_common.runs.files import write_json
from toolkit_common.training.optimizers import build_optimizer, parameter_groups
from toolkit_common.training.schedules import set_lr_
from toolkit_probing.heads.head import Head, HeadSpec, build_head
from toolkit_probing.heads.inputs import read_source
from toolkit_probing.settings import ProbeSettings
from toolkit_probing.task.task import Task, load_task
from toolkit_probing.training.examples import epoch_order
from toolkit_probing.training.plan import TrainingPlan

QUERIES = 32


def main() -> None:
    """Train, keep the best epoch by validation loss, judge it on the test split."""
    given = vars(read_arguments())
    output = given.pop("output")
    settings = ProbeSettings(**given)
    torch.set_num_threads(1)
    backbone = load_backbone(given["backbone"], random_init=True)
    loop = PlainLoop(backbone, load_task(settings), settings)
    cpu, wall = loop.run_()
    top1 = loop.judge("test")[1]
    counts = {"encoded": loop.num_encoded, "images": len(loop.task.rows)}
    write_json(output, {"cpu_seconds": cpu, "wall_seconds": wall, "top1": top1, **counts})


def read_arguments() -> argparse.Namespace:
    """Read the command line: settings of `toolkit probe` by their names."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--warmup-epochs", type=float, required=True)
    parser.add_argument("--lr", type=float, required=True)
    parser.add_argument("--output", type=Path, required=True)
    return parser.parse_args()


class PlainLoop:
    """A frozen encoder and one EP head over the images of a task."""

    def __init__(self, backbone: Backbone, task: Task, settings: ProbeSettings) -> None:
        self.backbone, self.task = backbone, task
        self.plan = TrainingPlan(settings, len(task.splits.train))
        (base_lr,) = settings.lr
        self.head = self._build_head(base_lr)
        lr = self.plan.lr(base_lr)
        groups = parameter_groups(self.head.parameters(), lr=lr, weight_decay=0.0)
        self.optimizer = build_optimizer("adamw", groups)

    @property
    def num_encoded(self) -> int:
        """Images that the encoder sees in an epoch, training and validation."""
        steps = self.plan.steps_per_epoch * self.plan.batch_size
        return steps + len(self.task.splits.val)

    def run_(self) -> tuple[list[float], list[float]]:
        """Train, end with the best epoch by validation loss; returns CPU and wall s an epoch."""
        cpu, wall = [], []
        best, kept = float("inf"), copy.deepcopy(self.head.state_dict())
        for epoch in range(self.plan.settings.epochs):
            start = time.process_time(), time.perf_counter()
            self.train_epoch_(epoch)
            loss, _ = self.judge("val")
            cpu.append(time.process_time() - start[0])
            wall.append(time.perf_counter() - start[1])
            if loss < best:
                best, kept = loss, copy.deepcopy(self.head.state_dict())
        self.head.load_state_dict(kept)
        return cpu, wall

    def train_epoch_(self, epoch: int) -> None:
        """One pass over the training images: encoder forward, head forward and backward."""
        order = epoch_order(self.task.splits.train, 0, epoch)
        per_epoch = self.plan.steps_per_epoch
        self.head.train()
        rows = order[: per_epoch * self.plan.batch_size]
        for step, (images, targets) in enumerate(self._batches(rows), start=epoch * per_epoch):
            set_lr_(self.optimizer, self.plan.factor(step))
            self.optimizer.zero_grad()
            F.cross_entropy(self._logits(images), targets).backward()
            self.optimizer.step()

    @torch.no_grad()
    def judge(self, split: str) -> tuple[float, float]:
        """Return mean cross-entropy and top-1 on a split."""
        self.head.eval()
        losses, hits = [], []
        for images, targets in self._batches(self.task.splits[split]):
            logits = self._logits(images)
            losses.append(F.cross_entropy(logits, targets, reduction="none"))
            hits.append((logits.argmax(dim=1) == targets).float())
        return float(torch.cat(losses).mean()), float(torch.cat(hits).mean())

    def _logits(self, images: Tensor) -> Tensor:
        tokens = read_source(self._features(images), self.backbone.info.card.ep)
        return self.head.classifier(self.head.norm(batched_ep(self.head.pool, tokens)))

    def _features(self, images: Tensor) -> Features:
        info = self.backbone.info
        with torch.no_grad():
            tokens = self.backbone(info.preprocess.normalize(images))
            return features_of(tokens, info.facts, with_patches=True)

    def _batches(self, rows: np.ndarray) -> Any:
        transform, size = build_eval_transform(self.backbone.info.preprocess), self.plan.batch_size
        for batch in build_loader(self.task.data, rows, transform=transform, batch_size=size):
            yield batch["image"], torch.from_numpy(self.task.labels.targets)[batch["row"]]

    def _build_head(self, lr: float) -> Head:
        images, _ = next(iter(self._batches(self.task.splits.train[:2])))
        info = self.backbone.info
        spec = HeadSpec("ep", info.layers[-1], info.card.ep, lr, 0, {"num_queries": QUERIES})
        num_classes = len(self.task.labels.classes)
        return build_head(spec, self._features(images), num_classes=num_classes)


if __name__ == "__main__":
    main()
