"""Heads that are trained on every subset of the labels, picked on validation, judged on test.

On a frozen encoder's features they train side by side, in as many passes as memory makes necessary.
Heads that are tuned with an encoder (`toolkit_probing.methods.tuned`) have one each and train one
after the other. A published head is judged as it is.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from toolkit_common.backbones.contract import BackboneInfo
from toolkit_common.features.contract import LayerFeatures
from toolkit_probing.heads.bank import HeadBank, sample_of
from toolkit_probing.heads.cost import forward_flops
from toolkit_probing.heads.files import fill_head_, read_published_head, save_head
from toolkit_probing.heads.head import Head, HeadSpec
from toolkit_probing.heads.inputs import read_inputs
from toolkit_probing.heads.trainable_encoder import (
    ENCODERS,
    TunedHead,
    Tuning,
    build_tuned_head,
    save_tuned_encoder,
    tuned_parameters,
)
from toolkit_probing.methods.method import Method
from toolkit_probing.methods.options import complete_options
from toolkit_probing.methods.specs import head_specs, sources_of
from toolkit_probing.results.rows import Outcome
from toolkit_probing.settings import ProbeSettings
from toolkit_probing.task.context import Context
from toolkit_probing.task.subsets import Subset
from toolkit_probing.task.task import Task
from toolkit_probing.training.checkpoint import Record, load_trained_
from toolkit_probing.training.examples import Examples
from toolkit_probing.training.loop import Best, train_bank
from toolkit_probing.training.passes import passes_for
from toolkit_probing.training.plan import TrainingPlan
from toolkit_probing.training.scoring import predict
from toolkit_probing.training.select import select_learning_rate

Draws = Sequence[Mapping[str, Best]]  # best epoch of every head, for each draw of the labels


def probe_with_heads(context: Context, methods: Sequence[Method]) -> list[Outcome]:
    """Train all heads side by side and return what the picked ones do on the test split."""
    specs = head_specs(methods, context.settings, context.backbone.info)
    return Trial(context, specs, sample_of(context.features.source, specs)).run()


@dataclass(frozen=True)
class Trial:
    """Heads to be trained and judged.

    Attributes:
        context: The run.
        specs: Which heads.
        sample: Features of some rows, for the shapes.
        tuning: How an encoder is trained with each; None leaves it frozen.
    """

    context: Context
    specs: Sequence[HeadSpec]
    sample: LayerFeatures
    tuning: Tuning | None = None

    def run(self) -> list[Outcome]:
        """Train, pick and judge; returns an outcome for every variant and subset of the labels."""
        outcomes, first_step = [], 0
        for subset in self.context.subsets:
            draws = []
            for number, train in enumerate(subset.draws):
                record = Record(self.context.run, subset.part(number), first_step)
                best, steps = self._train(train, record)
                # Draws follow each other in one log: each has steps of its own.
                first_step += steps
                draws.append(best)
            outcomes += self._judge(subset, draws)
        return outcomes

    def build(self, specs: Sequence[HeadSpec]) -> HeadBank:
        """Build a bank of heads as they are before training."""
        classes = self.context.task.labels.classes
        wrap = None if self.tuning is None else self._with_encoder
        return HeadBank(specs, self.sample, num_classes=len(classes), wrap=wrap)

    def _with_encoder(self, spec: HeadSpec, head: Head) -> TunedHead:
        settings = self.context.settings
        assert self.tuning is not None
        return build_tuned_head(
            self.context.backbone,
            head,
            self.tuning,
            source=spec.source,
            seed=spec.seed,
            rows_at_once=settings.micro_batch or settings.extract_batch_size,
        )

    def _train(self, train: np.ndarray, record: Record) -> tuple[dict[str, Best], int]:
        """Train all heads on some rows; returns their best epochs and the steps that were taken."""
        task, features, settings = self.context.task, self.context.features, self.context.settings
        accelerator = self.context.accelerator
        select = task.positions(settings.select_on)
        examples = Examples(features.source, task.targets, train, select, features.crops)
        plan = TrainingPlan(settings, len(train), accelerator.num_processes)
        best: dict[str, Best] = {}
        parts = self._parts(plan, record)
        for number, (name, specs) in enumerate(parts.items()):
            part = record.part(name, number * plan.total_steps)
            bank = self.build(specs)
            best |= train_bank(bank, examples, settings, compute=accelerator, record=part)
            # accelerate keeps what it prepared, and with it this pass's heads.
            accelerator.free_memory()
        return best, len(parts) * plan.total_steps

    def _parts(self, plan: TrainingPlan, record: Record) -> Mapping[str, Sequence[HeadSpec]]:
        """Return which heads train side by side, by the name of their part of the record."""
        if self.tuning is not None:
            return {spec.key: [spec] for spec in self.specs}
        return passes_for(
            self.specs,
            self.sample,
            plan,
            num_classes=len(self.context.task.labels.classes),
            accelerator=self.context.accelerator,
            record=record,
        )

    def _judge(self, subset: Subset, draws: Draws) -> list[Outcome]:
        """Let the picked heads of every draw predict the test split, which is read once."""
        picked = select_learning_rate(self.specs, draws)
        heads = [spec for group in picked.values() for spec in group]
        probabilities = []
        for number, best in enumerate(draws):
            # Heads of one spec, learned from several draws, must not overwrite each other.
            suffix = f"-{subset.part(number)}" if subset.slug else ""
            probabilities.append(self._test(heads, best, suffix))
        return [
            self._outcome(subset, group, draws=draws, probabilities=probabilities)
            for group in picked.values()
        ]

    def _test(
        self, specs: Sequence[HeadSpec], best: Mapping[str, Best], suffix: str
    ) -> dict[str, np.ndarray]:
        """Save heads and return the probabilities `(n, c)` that each gives the test split."""
        accelerator, source = self.context.accelerator, self.context.features.source
        read = dict[str, np.ndarray]()
        # Tuned heads have an encoder each: one at a time on the device.
        for group in [specs] if self.tuning is None else [[spec] for spec in specs]:
            bank = self.build(group)
            for spec in group:
                # Of the best epoch: what training ended with is not judged.
                load_trained_(bank.heads[spec.key], best[spec.key].state)
                if accelerator.is_main_process:
                    self._save(bank, spec, f"{spec.key}{suffix}.safetensors")
            bank.to(accelerator.device)
            # One version of the test rows after the other: each gets the batches that it had alone.
            parts = [
                predict(bank, source, view.positions, compute=accelerator)
                for view in self.context.views
            ]
            read |= {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
        return read

    def _save(self, bank: HeadBank, spec: HeadSpec, name: str) -> None:
        state, folder = bank.head(spec.key).state_dict(), self.context.run.path
        save_head(folder / "heads" / name, spec, {k: v.detach() for k, v in state.items()})
        encoder = bank.encoder(spec.key)
        if encoder is not None and self.tuning is not None:
            save_tuned_encoder(folder / ENCODERS / name, encoder, self.tuning)

    def _outcome(
        self,
        subset: Subset,
        group: Sequence[HeadSpec],
        *,
        draws: Draws,
        probabilities: Sequence[Mapping[str, np.ndarray]],
    ) -> Outcome:
        """Return what the heads of one variant did: a repeat for every draw with every seed."""
        spec, settings = group[0], self.context.settings
        bank = self.build([spec])
        head, encoder = bank.head(spec.key), bank.encoder(spec.key)
        best = [draw[spec.key] for draw in draws for spec in group]
        return Outcome(
            method=spec.method,
            layer=spec.layer,
            source=spec.source,
            variant=f"{spec.variant}-{self.tuning.name}" if self.tuning else spec.variant,
            subset=subset,
            settings={**spec.options, **settings_of(spec, best)},
            options=options_of_head(head, spec),
            picked=describe_pick(spec, settings),
            select_score=float(np.mean([item.value for item in best])),
            shown=mean_shown(best),
            seeds=[spec.seed for _ in draws for spec in group],
            draws=[draw for draw in range(len(draws)) for _ in group],
            probabilities=[values[spec.key] for values in probabilities for spec in group],
            num_parameters=count_parameters(head)
            + (0 if encoder is None else tuned_parameters(encoder)),
            flops=flops_of(head, spec, self.sample),
            tune=self.tuning.kind if self.tuning else "none",
        )


def settings_of(spec: HeadSpec, best: Sequence[Best]) -> dict[str, Any]:
    """Return what was picked for the heads of one spec: learning rate, epochs and C."""
    picked: dict[str, Any] = {}
    if spec.base_lr is not None:
        epochs = [item.epoch for item in best]
        # Of heads that are judged as they began no rate is better than another.
        picked |= {"lr": spec.base_lr, "epoch": epochs} if any(epochs) else {"epoch": epochs}
    if all(item.c is not None for item in best):
        picked["C"] = [item.c for item in best]
    return picked


def mean_shown(best: Sequence[Best]) -> dict[float, float]:
    """Return what the table shows of every C that was tried, the mean over repeats."""
    tried = [c for c in best[0].shown if all(c in item.shown for item in best)]
    return {c: float(np.mean([item.shown[c] for item in best])) for c in tried}


def describe_pick(spec: HeadSpec, settings: ProbeSettings) -> str:
    """Say for humans what was picked, and by which metric."""
    names = [] if spec.base_lr is None else ["learning rate", "epoch"]
    names += ["C"] if settings.classifier == "fitted" else []
    return (
        f"{' and '.join(filter(None, [', '.join(names[:-1]), names[-1]]))} by {settings.select_by}"
    )


def published_head(
    method: Method, settings: ProbeSettings, task: Task, info: BackboneInfo
) -> tuple[HeadSpec, dict[str, Tensor]]:
    """Read the head of `--head` for the backbone's last layer that is read.

    Raises:
        InputError: If it is no EP head, or does not fit the backbone or the data.
    """
    assert settings.head is not None
    return read_published_head(
        settings.head,
        method=method.name,
        width=info.facts.embed_dim,
        layer=info.layers[-1],
        source=sources_of(method, settings, info)[0],
        num_classes=len(task.labels.classes),
    )


def probe_with_published_head(context: Context, methods: Sequence[Method]) -> list[Outcome]:
    """Let the head of `--head` predict the test split; nothing is trained.

    Raises:
        InputError: If the head does not fit the backbone or the data.
    """
    settings, task, source = context.settings, context.task, context.features.source
    assert settings.head is not None
    (method,) = methods
    spec, state = published_head(method, settings, task, context.backbone.info)
    sample = sample_of(source)
    bank = HeadBank([spec], sample, num_classes=len(task.labels.classes))
    head = bank.head(spec.key)
    fill_head_(head, state, settings.head)
    flops = flops_of(head, spec, sample)
    bank.to(context.accelerator.device)
    if context.accelerator.is_main_process:
        save_head(context.run.path / "heads" / f"{spec.key}.safetensors", spec, head.state_dict())
    read = predict(bank, source, task.positions("test"), compute=context.accelerator)
    return [
        Outcome(
            method=spec.method,
            layer=spec.layer,
            source=spec.source,
            variant=f"{spec.variant}-published",
            subset=Subset("published head", "", [np.zeros(0, int)]),  # nothing was learned from
            settings=dict(spec.options),
            options=options_of_head(head, spec),
            picked="nothing",
            select_score=math.nan,
            seeds=[0],
            draws=[0],
            probabilities=[read[spec.key]],
            num_parameters=count_parameters(head),
            flops=flops,
            selected=f"published head {settings.head.name}",
        )
    ]


def options_of_head(head: Head, spec: HeadSpec) -> dict[str, Any]:
    """Return all options of a head's pooling, defaults included."""
    return {} if head.pool is None else complete_options(type(head.pool), spec.options)


def count_parameters(head: Head) -> int:
    """Count the parameters of a head."""
    return sum(parameter.numel() for parameter in head.parameters())


def flops_of(head: Head, spec: HeadSpec, sample: LayerFeatures) -> int:
    """Count the operations of a head on one image."""
    inputs = read_inputs(sample[spec.layer], spec.source)
    return forward_flops(head, *(x if x is None else x[:1] for x in inputs))
