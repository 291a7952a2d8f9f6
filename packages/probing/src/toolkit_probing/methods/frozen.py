"""Every method that is trained: builds the bank, trains it, picks, and predicts the test split."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from toolkit_common.backbones.contract import BackboneInfo
from toolkit_common.features.contract import LayerFeatures
from toolkit_common.features.planner import GIB
from toolkit_probing.heads.bank import HeadBank
from toolkit_probing.heads.cost import forward_flops
from toolkit_probing.heads.files import fill_head_, read_published_head, save_head
from toolkit_probing.heads.head import HeadSpec
from toolkit_probing.heads.inputs import read_inputs
from toolkit_probing.heads.specs import head_specs, sources_of
from toolkit_probing.results.rows import Outcome
from toolkit_probing.settings import ENCODER_LR, ProbeSettings
from toolkit_probing.task.context import Context
from toolkit_probing.task.subsets import Subset
from toolkit_probing.task.task import Task
from toolkit_probing.training.loop import Best, Part, TrainingPlan, infer_batch_size
from toolkit_probing.training.passes import SAMPLE, train_in_passes
from toolkit_probing.training.scoring import predict
from toolkit_probing.training.select import select_learning_rate


@runtime_checkable
class Job(Protocol):
    """How heads are trained and tested: on a frozen encoder's features, or with the encoder."""

    def train(
        self, specs: Sequence[HeadSpec], train: np.ndarray, part: Part
    ) -> tuple[dict[str, Best], Part]:
        """Train heads on some rows; returns their best epochs and the part that comes after."""
        ...

    def test(
        self, specs: Sequence[HeadSpec], best: Mapping[str, Best], suffix: str
    ) -> dict[str, np.ndarray]:
        """Save heads and return the probabilities `(n, c)` that each gives the test split."""
        ...

    def facts(self, spec: HeadSpec) -> dict[str, Any]:
        """Return what an outcome says of a head, its cost among it."""
        ...


def probe_with_heads(context: Context) -> list[Outcome]:
    """Train all heads side by side and return what the picked ones do on the test split."""
    return train_and_judge(_FrozenJob(context), context)


def train_and_judge(job: Job, context: Context) -> list[Outcome]:
    """Train what the settings ask for, on every subset of the labels, pick, and judge on test."""
    specs = head_specs(context.settings, context.backbone.info)
    if not specs:
        return []
    outcomes, first_step = [], 0
    for subset in context.subsets:
        draws = []
        for number, train in enumerate(subset.draws):
            part = Part(f"{subset.slug or 'all'}-draw{number}", first_step)
            best, part = job.train(specs, train, part)
            first_step = part.first_step
            draws.append(best)
        chosen = select_learning_rate(specs, draws)
        outcomes += _judge(job, subset, chosen, draws, select_by=context.settings.select_by)
    return outcomes


def published_head(
    settings: ProbeSettings, task: Task, info: BackboneInfo
) -> tuple[HeadSpec, dict[str, Tensor]]:
    """Read the head of `--head` for the backbone's last layer that is read.

    Raises:
        InputError: If it is no EP head, or does not fit the backbone or the data.
    """
    assert settings.head is not None
    return read_published_head(
        settings.head,
        width=info.facts.embed_dim,
        layer=info.layers[-1],
        source=sources_of("ep", settings, info)[0],
        num_classes=len(task.labels.classes),
    )


def probe_with_published_head(context: Context) -> list[Outcome]:
    """Let the head of `--head` predict the test split; nothing is trained.

    Raises:
        InputError: If the head does not fit the backbone or the data.
    """
    settings, task, source = context.settings, context.task, context.features.source
    assert settings.head is not None
    sample = next(iter(source.iterate([np.arange(SAMPLE)])))
    spec, state = published_head(settings, task, context.backbone.info)
    bank = HeadBank([spec], sample, num_classes=len(task.labels.classes))
    head = bank.head(spec.key)
    fill_head_(head, state, settings.head)
    bank.to(context.accelerator.device)
    if context.accelerator.is_main_process:
        save_head(context.run.path / "heads" / f"{spec.key}.safetensors", spec, head.state_dict())
    found = predict(bank, source, task.positions("test"), context.accelerator, probabilities=True)
    return [
        Outcome(
            variant=f"{spec.variant}-published",
            subset=Subset("published head", "", [np.zeros(0, int)]),
            picked="nothing",
            selected=f"published head {settings.head.name}",
            settings=dict(spec.options),
            select_score=math.nan,
            seeds=[0],
            draws=[0],
            probabilities=[found[spec.key]],
            **head_facts(spec, bank, sample),
        )
    ]


@dataclass(frozen=True)
class _FrozenJob:
    """Heads on features of a frozen encoder."""

    context: Context

    def train(
        self, specs: Sequence[HeadSpec], train: np.ndarray, part: Part
    ) -> tuple[dict[str, Best], Part]:
        """Train side by side, in as many passes as memory asks for."""
        context, settings, task = self.context, self.context.settings, self.context.task
        memory = settings.bank_memory
        return train_in_passes(
            specs,
            context.features.source,
            task.targets,
            train=train,
            select=task.positions(settings.select_on),
            plan=training_plan(settings, len(train)),
            accelerator=context.accelerator,
            run=context.run,
            part=part,
            crops=context.features.crops,
            num_classes=len(task.labels.classes),
            budget=None if memory is None else int(memory * GIB),
        )

    def test(
        self, specs: Sequence[HeadSpec], best: Mapping[str, Best], suffix: str
    ) -> dict[str, np.ndarray]:
        """Save heads and let them predict the test split side by side."""
        bank, accelerator = self._bank(specs), self.context.accelerator
        bank.to(accelerator.device)
        for key, spec in bank.specs.items():
            bank.heads[key].load_state_dict(best[key].state)
            if accelerator.is_main_process:
                path = self.context.run.path / "heads" / f"{key}{suffix}.safetensors"
                save_head(path, spec, best[key].state)
        positions, source = self.context.task.positions("test"), self.context.features.source
        return predict(bank, source, positions, accelerator, probabilities=True)

    def facts(self, spec: HeadSpec) -> dict[str, Any]:
        """Return what an outcome says of a head."""
        return head_facts(spec, self._bank([spec]), self._sample())

    def _bank(self, specs: Sequence[HeadSpec]) -> HeadBank:
        classes = self.context.task.labels.classes
        return HeadBank(specs, self._sample(), num_classes=len(classes))

    def _sample(self) -> LayerFeatures:
        return next(iter(self.context.features.source.iterate([np.arange(SAMPLE)])))


def _judge(
    job: Job,
    subset: Subset,
    chosen: Mapping[str, Sequence[HeadSpec]],
    draws: Sequence[Mapping[str, Best]],
    *,
    select_by: str,
) -> list[Outcome]:
    """Let the picked heads of every draw predict the test split, which is read once."""
    heads = [spec for group in chosen.values() for spec in group]
    found = []
    for number, best in enumerate(draws):
        suffix = f"-{subset.slug}-draw{number}" if subset.slug else ""
        found.append(job.test(heads, best, suffix))
    return [
        Outcome(
            subset=subset,
            picked=f"learning rate and epoch by {select_by}",
            **_repeats(group, draws, found),
            **{"variant": name, **job.facts(group[0])},
        )
        for name, group in chosen.items()
    ]


def training_plan(settings: ProbeSettings, num_train: int) -> TrainingPlan:
    """Return how heads are trained on `num_train` images."""
    return TrainingPlan(
        epochs=settings.epochs,
        warmup_epochs=settings.warmup_epochs,
        batch_size=settings.batch_size or infer_batch_size(num_train),
        optimizer=settings.optimizer,
        weight_decay=settings.weight_decay,
        seed=settings.seed,
        select_by=settings.select_by,
        micro_batch=settings.micro_batch,
        patience=settings.patience,
        min_delta=settings.min_delta,
        encoder_lr=settings.encoder_lr or ENCODER_LR.get(settings.tune, 0.0),
        clip_grad=None if settings.tune == "none" else settings.clip_grad,
    )


def _repeats(
    specs: Sequence[HeadSpec],
    draws: Sequence[Mapping[str, Best]],
    found: Sequence[Mapping[str, np.ndarray]],
) -> dict[str, Any]:
    """Return what an outcome says of its repeats: every draw with every seed."""
    picked = [best[spec.key] for best in draws for spec in specs]
    return {
        "settings": {
            **specs[0].options,
            "lr": specs[0].base_lr,
            "epoch": [item.epoch for item in picked],
        },
        "select_score": float(np.mean([item.value for item in picked])),
        "seeds": [spec.seed for _ in draws for spec in specs],
        "draws": [draw for draw in range(len(draws)) for _ in specs],
        "probabilities": [values[spec.key] for values in found for spec in specs],
    }


def head_facts(spec: HeadSpec, bank: HeadBank, sample: LayerFeatures) -> dict[str, Any]:
    """Return what an outcome says of its head, its cost counted on one image."""
    head = bank.head(spec.key)
    inputs = [x if x is None else x[:1] for x in read_inputs(sample[spec.layer], spec.source)]
    return {
        "method": spec.method,
        "layer": spec.layer,
        "source": spec.source,
        "num_parameters": sum(parameter.numel() for parameter in head.parameters()),
        "flops": forward_flops(head, *inputs),
    }
