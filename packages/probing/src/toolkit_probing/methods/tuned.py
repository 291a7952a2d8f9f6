"""`--tune`: heads that are trained together with an encoder, each with one of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from accelerate import Accelerator

from toolkit_common.backbones.contract import Backbone
from toolkit_common.console import console
from toolkit_common.features.contract import LayerFeatures
from toolkit_common.features.encode import (
    CropSource,
    Extraction,
    OnlineSource,
    RowEncoder,
    RowImages,
)
from toolkit_common.features.extract import Extracted
from toolkit_common.features.planner import duration
from toolkit_probing.heads.bank import HeadBank
from toolkit_probing.heads.files import save_head
from toolkit_probing.heads.head import Head, HeadSpec
from toolkit_probing.heads.specs import head_specs
from toolkit_probing.heads.trainable_encoder import (
    ALPHA,
    ENCODERS,
    TunedHead,
    Tuning,
    build_tuned_head,
    save_tuned_encoder,
    tuned_parameters,
)
from toolkit_probing.methods.frozen import head_facts, train_and_judge, training_plan
from toolkit_probing.methods.prices import time_training
from toolkit_probing.results.rows import Outcome
from toolkit_probing.settings import ProbeSettings
from toolkit_probing.task.context import Context
from toolkit_probing.task.task import Task
from toolkit_probing.training.checkpoint import load_trained_
from toolkit_probing.training.loop import Best, Part, step_size, train_bank
from toolkit_probing.training.passes import SAMPLE
from toolkit_probing.training.scoring import predict


def tuning_of(settings: ProbeSettings) -> Tuning | None:
    """Return how the settings want the encoder tuned, if at all."""
    return None if settings.tune == "none" else Tuning(settings.tune, settings.lora_rank)


def describe_tuning(settings: ProbeSettings, num_train: int) -> dict[str, Any] | None:
    """Return what results say of the tuning; None where the encoder stays frozen."""
    tuning = tuning_of(settings)
    if tuning is None:
        return None
    plan = training_plan(settings, num_train)
    rank = {"rank": tuning.rank, "alpha": ALPHA * tuning.rank} if tuning.kind == "lora" else {}
    rates = {"encoder_lr": plan.encoder_lr, "clip_grad": plan.clip_grad}
    return {"tune": tuning.kind, **rank, **rates}


def refuse_untunable(settings: ProbeSettings, backbone: Backbone) -> None:
    """Refuse an encoder that cannot be tuned so, before anything is written.

    Raises:
        InputError: If LoRA does not reach its attention, or peft is not installed.
    """
    tuning = tuning_of(settings)
    if tuning is None:
        return
    spec = head_specs(settings, backbone.info)[0]
    placeholder = Head(None, dim=1, num_classes=2)  # what the head makes of it is not asked
    how: dict[str, Any] = {"source": spec.source, "seed": 0, "rows_at_once": 1}
    build_tuned_head(backbone, placeholder, tuning, **how)


def image_sources(
    backbone: Backbone, task: Task, how: Extraction, accelerator: Accelerator
) -> Extracted:
    """Return the task's images in the place of features: the encoder that reads them changes."""
    images = RowImages(backbone, task.data, how, accelerator)
    crops = CropSource(images, task.rows) if how.random_crops else None
    source = OnlineSource(images, task.rows)
    return Extracted(source, "online", was_cached=False, seconds=0.0, key="", crops=crops)


def probe_with_tuning(context: Context) -> list[Outcome]:
    """Tune an encoder with every head and return what the picked ones do on the test split.

    Args:
        context: Its features are what `image_sources` gave.
    """
    task, backbone = context.task, context.backbone
    how = Extraction(context.run.path, with_pooled=True)
    few = RowEncoder(backbone, task.data, how, context.accelerator)
    job = _TunedJob(context, next(few.batches(task.rows[:SAMPLE])))
    job.tell_price(head_specs(context.settings, backbone.info))
    return train_and_judge(job, context)


@dataclass(frozen=True)
class _TunedJob:
    """Heads one after the other, each in front of an encoder that starts as the backbone."""

    context: Context
    sample: LayerFeatures

    def tell_price(self, specs: Sequence[HeadSpec]) -> None:
        """Print what training will take, from a step of a few images."""
        context, task, settings = self.context, self.context.task, self.context.settings
        accelerator, epochs = context.accelerator, settings.epochs
        how = Extraction(context.run.path)
        images = RowImages(context.backbone, task.data, how, accelerator)
        each = time_training(self._bank(specs[0]), images, task.rows, accelerator)
        sizes = [size for subset in context.subsets for size in subset.sizes]
        judged = len(sizes) * len(task.positions(settings.select_on))
        # The backward pass takes about twice as long as the forward pass, which judges.
        passes = len(specs) * epochs * (sum(sizes) + judged / 3)
        heads = "1 head with" if len(specs) == 1 else f"{len(specs)} heads, each with"
        often = "1 epoch" if epochs == 1 else f"each of {epochs} epochs"
        console.print(
            f"tuning: {heads} an encoder of its own, which runs forward and backward over "
            f"{sum(sizes):,} images in {often}, about "
            f"{duration(each * passes / accelerator.num_processes)} in all"
        )
        accelerator.free_memory()

    def train(
        self, specs: Sequence[HeadSpec], train: np.ndarray, part: Part
    ) -> tuple[dict[str, Best], Part]:
        """Train one after the other."""
        context, settings, task = self.context, self.context.settings, self.context.task
        plan = training_plan(settings, len(train))
        size = step_size(plan, len(train), context.accelerator.num_processes)
        steps = plan.epochs * (len(train) // size)
        best: dict[str, Best] = {}
        for number, spec in enumerate(specs):
            best |= train_bank(
                self._bank(spec),
                context.features.source,
                task.targets,
                train=train,
                select=task.positions(settings.select_on),
                plan=plan,
                accelerator=context.accelerator,
                run=context.run,
                part=Part(f"{part.name}/{spec.key}", part.first_step + number * steps),
                crops=context.features.crops,
            )
            context.accelerator.free_memory()
        return best, replace(part, first_step=part.first_step + len(specs) * steps)

    def test(
        self, specs: Sequence[HeadSpec], best: Mapping[str, Best], suffix: str
    ) -> dict[str, np.ndarray]:
        """Save heads and encoders and let them predict the test split, one after the other."""
        found: dict[str, np.ndarray] = {}
        context, tuning = self.context, tuning_of(self.context.settings)
        positions = context.task.positions("test")
        assert tuning is not None
        for spec in specs:
            bank = self._bank(spec)
            load_trained_(bank.heads[spec.key], best[spec.key].state)
            encoder = bank.encoder(spec.key)
            assert encoder is not None
            if context.accelerator.is_main_process:
                name = f"{spec.key}{suffix}.safetensors"
                state = {k: v.detach() for k, v in bank.head(spec.key).state_dict().items()}
                save_head(context.run.path / "heads" / name, spec, state)
                save_tuned_encoder(context.run.path / ENCODERS / name, encoder, tuning)
            bank.to(context.accelerator.device)
            source = context.features.source
            found |= predict(bank, source, positions, context.accelerator, probabilities=True)
        return found

    def facts(self, spec: HeadSpec) -> dict[str, Any]:
        """Return what an outcome says of a head; what is tuned of the encoder counts."""
        bank, tuning = self._bank(spec), tuning_of(self.context.settings)
        encoder = bank.encoder(spec.key)
        assert encoder is not None
        assert tuning is not None
        facts = head_facts(spec, bank, self.sample)
        return {
            **facts,
            "variant": f"{spec.variant}-{tuning.name}",
            "num_parameters": facts["num_parameters"] + tuned_parameters(encoder),
            "tune": tuning.kind,
        }

    def _bank(self, spec: HeadSpec) -> HeadBank:
        classes = len(self.context.task.labels.classes)
        return HeadBank([spec], self.sample, num_classes=classes, wrap=self._wrap)

    def _wrap(self, spec: HeadSpec, head: Head) -> TunedHead:
        settings = self.context.settings
        tuning = tuning_of(settings)
        assert tuning is not None
        return build_tuned_head(
            self.context.backbone,
            head,
            tuning,
            source=spec.source,
            seed=spec.seed,
            rows_at_once=settings.micro_batch or settings.extract_batch_size,
        )
