"""`--tune`: heads that are trained together with an encoder, each with one of its own."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from toolkit_common.backbones.contract import Backbone
from toolkit_common.console import console
from toolkit_common.features.encode import (
    CropSource,
    Extraction,
    OnlineSource,
    RowEncoder,
    RowImages,
)
from toolkit_common.features.extract import Extracted
from toolkit_common.features.planner import duration
from toolkit_probing.heads.bank import SAMPLE, HeadBank, features_to
from toolkit_probing.heads.head import Head, HeadSpec
from toolkit_probing.heads.trainable_encoder import ALPHA, Tuning, build_tuned_head
from toolkit_probing.methods.frozen import Trial
from toolkit_probing.methods.method import Method
from toolkit_probing.methods.specs import head_specs
from toolkit_probing.results.rows import Outcome
from toolkit_probing.settings import ProbeSettings
from toolkit_probing.task.context import Context
from toolkit_probing.task.task import Task
from toolkit_probing.training.plan import TrainingPlan

FEW = 16  # images that are timed


def tuning_of(settings: ProbeSettings) -> Tuning | None:
    """Return how the settings want the encoder tuned, if at all."""
    return None if settings.tune == "none" else Tuning(settings.tune, settings.lora_rank)


def describe_tuning(settings: ProbeSettings, num_train: int) -> dict[str, Any] | None:
    """Return what results record of the tuning; None where the encoder stays frozen."""
    tuning = tuning_of(settings)
    if tuning is None:
        return None
    plan = TrainingPlan(settings, num_train)
    rank = {"rank": tuning.rank, "alpha": ALPHA * tuning.rank} if tuning.kind == "lora" else {}
    rates = {"encoder_lr": plan.encoder_lr, "clip_grad": plan.clip_grad}
    return {"tune": tuning.kind, **rank, **rates}


def refuse_untunable(
    methods: Sequence[Method], settings: ProbeSettings, backbone: Backbone
) -> None:
    """Refuse an encoder that cannot be tuned so, before anything is written.

    Raises:
        InputError: If LoRA does not reach its attention, or peft is not installed.
    """
    tuning = tuning_of(settings)
    if tuning is None:
        return
    source = head_specs(methods, settings, backbone.info)[0].source
    # Before the run's folder is made: what peft or the encoder lacks is known now.
    placeholder = Head(None, dim=1, num_classes=2)  # only the encoder is looked at
    build_tuned_head(backbone, placeholder, tuning, source=source, seed=0, rows_at_once=1)


def image_sources(
    backbone: Backbone, task: Task, how: Extraction, *, accelerator: Accelerator
) -> Extracted:
    """Return the task's images in the place of features: the encoder that reads them changes."""
    images = RowImages(backbone, task.data, how, accelerator)
    crops = CropSource(images, task.rows) if how.random_crops else None
    source = OnlineSource(images, task.rows)
    return Extracted(source, "online", was_cached=False, seconds=0.0, key="", crops=crops)


def probe_with_tuning(context: Context, methods: Sequence[Method]) -> list[Outcome]:
    """Tune an encoder with every head and return what the picked ones do on the test split.

    Args:
        context: Its features are what `image_sources` gave.
        methods: Whose heads.
    """
    task, backbone = context.task, context.backbone
    # All vectors, of few rows: heads are built from the shapes of what they name.
    how = Extraction(context.run.path, with_pooled=True)
    few = RowEncoder(backbone, task.data, how, context.accelerator)
    sample = next(few.batches(task.rows[:SAMPLE]))
    specs = head_specs(methods, context.settings, backbone.info)
    trial = Trial(context, specs, sample, tuning_of(context.settings))
    show_price(context, trial.build(specs[:1]), specs)
    return trial.run()


def show_price(context: Context, bank: HeadBank, specs: Sequence[HeadSpec]) -> None:
    """Print what training will take, from a step of a few images with a bank of one head."""
    task, settings, accelerator = context.task, context.settings, context.accelerator
    images = RowImages(context.backbone, task.data, Extraction(context.run.path), accelerator)
    each = time_training(bank, images, task.rows)
    sizes = [size for subset in context.subsets for size in subset.sizes]
    judged = len(sizes) * len(task.positions(settings.select_on))
    # The backward pass takes about twice as long as the forward pass, which judges.
    passes = len(specs) * settings.epochs * (sum(sizes) + judged / 3)
    heads = "1 head with" if len(specs) == 1 else f"{len(specs)} heads, each with"
    often = "1 epoch" if settings.epochs == 1 else f"each of {settings.epochs} epochs"
    console.print(
        f"tuning: {heads} an encoder of its own, which runs forward and backward over "
        f"{sum(sizes):,} images in {often}, about "
        f"{duration(each * passes / accelerator.num_processes)} in all"
    )
    accelerator.free_memory()


def time_training(bank: HeadBank, images: RowImages, rows: np.ndarray) -> float:
    """Return the seconds that an image takes in training: decoding, forward and backward.

    Args:
        bank: Heads with the encoder that is trained; their weights stay as they are.
        images: Reads images.
        rows: Of the data set; a few are read.
    """
    accelerator = images.accelerator
    few = rows[: min(len(rows), FEW)]
    bank.to(accelerator.device).train()
    seconds = 0.0
    for _ in range(2):  # the first builds caches, picks kernels
        start = time.perf_counter()
        read = features_to(next(images.batches(few)), accelerator.device)
        with accelerator.autocast():
            logits = bank(read)
        # Any loss does: only its time counts.
        torch.stack([item.float().sum() for item in logits.values()]).sum().backward()
        # Kernels are queued: without this the clock stops before they have run.
        if accelerator.device.type == "cuda":
            torch.cuda.synchronize(accelerator.device)
        seconds = time.perf_counter() - start
    return seconds / len(few)
