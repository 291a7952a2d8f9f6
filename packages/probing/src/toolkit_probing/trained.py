"""Every method that is trained: builds the bank, trains it, picks, and predicts the test split."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from safetensors.torch import save_file
from torch.utils.flop_counter import FlopCounterMode

from toolkit_common.backbones.base import BackboneInfo
from toolkit_common.data.task import Task
from toolkit_common.features.base import FeatureSource, LayerFeatures
from toolkit_common.features.planner import GIB
from toolkit_common.files import atomic_path
from toolkit_common.runs import RunFolder
from toolkit_probing.bank import HeadBank
from toolkit_probing.head import VECTOR_METHODS, HeadSpec, read_source
from toolkit_probing.passes import SAMPLE, train_in_passes
from toolkit_probing.predict import predict
from toolkit_probing.probes import POOLS
from toolkit_probing.results import Outcome
from toolkit_probing.select import select_learning_rate
from toolkit_probing.settings import ProbeSettings
from toolkit_probing.train import WHOLE, Best, TrainingPlan, infer_batch_size


def head_specs(settings: ProbeSettings, info: BackboneInfo) -> list[HeadSpec]:
    """Return every head asked for: methods x layers x sources x options x rates x seeds."""
    specs = [
        HeadSpec(method, layer, source, lr, settings.seed + seed, options)
        for method in settings.method
        if method in POOLS or method in VECTOR_METHODS
        for layer in info.layers
        for source in sources_of(method, settings, info)
        for options in _options(method, settings)
        for lr in settings.lr
        for seed in range(settings.num_seeds)
    ]
    return list({spec.key: spec for spec in specs}.values())


def sources_of(method: str, settings: ProbeSettings, info: BackboneInfo) -> list[str]:
    """Return what a method reads, each once: as the user says, or (`auto`) as the card says."""
    if method in ("cls", "mean"):
        return [method]
    asked, card = (
        (settings.tokens, info.card.ep) if method in POOLS else (settings.read, info.card.linear)
    )
    return list(dict.fromkeys(card if source == "auto" else source for source in asked))


def probe_with_heads(
    settings: ProbeSettings,
    task: Task,
    source: FeatureSource,
    info: BackboneInfo,
    *,
    run: RunFolder,
    accelerator: Accelerator,
) -> list[Outcome]:
    """Train all heads side by side and return what the picked ones do on the test split."""
    specs = head_specs(settings, info)
    if not specs:
        return []
    train = task.positions("train")
    num_classes = len(task.labels.classes)
    best, _ = train_in_passes(
        specs,
        source,
        task.targets,
        train=train,
        select=task.positions(settings.select_on),
        plan=training_plan(settings, len(train)),
        accelerator=accelerator,
        run=run,
        part=WHOLE,
        num_classes=num_classes,
        budget=None if settings.bank_memory is None else int(settings.bank_memory * GIB),
    )
    chosen = select_learning_rate(specs, best)
    heads = [spec for group in chosen.values() for spec in group]
    sample = next(iter(source.iterate([np.arange(SAMPLE)])))
    bank = HeadBank(heads, sample, num_classes=num_classes).to(accelerator.device)
    for spec in heads:
        bank.heads[spec.key].load_state_dict(best[spec.key].state)
        if accelerator.is_main_process:
            with atomic_path(run.path / "heads" / f"{spec.key}.safetensors") as temporary:
                save_file(best[spec.key].state, temporary, metadata={"format": "pt"})
    found = predict(bank, source, task.positions("test"), accelerator, probabilities=True)
    return [
        _outcome(name, group, bank=bank, best=best, found=found, sample=sample)
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
    )


def _options(method: str, settings: ProbeSettings) -> list[dict[str, Any]]:
    if method != "ep":
        return [{}]
    divisor = {} if settings.width_divisor == 1 else {"width_divisor": settings.width_divisor}
    return [{"num_queries": count, **divisor} for count in settings.queries]


def _outcome(
    name: str,
    specs: Sequence[HeadSpec],
    *,
    bank: HeadBank,
    best: Mapping[str, Best],
    found: Mapping[str, np.ndarray],
    sample: LayerFeatures,
) -> Outcome:
    first = specs[0]
    head = bank.head(first.key)
    inputs = read_source(sample[first.layer], first.source)[:1]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        head.eval()(inputs.to(head.classifier.weight.device))
    picked = [best[spec.key] for spec in specs]
    return Outcome(
        name=name,
        method=first.method,
        layer=first.layer,
        source=first.source,
        settings={
            **first.options,
            "lr": first.base_lr,
            "epoch": [item.epoch for item in picked],
        },
        select_score=float(np.mean([item.value for item in picked])),
        seeds=[spec.seed for spec in specs],
        probabilities=[found[spec.key] for spec in specs],
        num_parameters=sum(parameter.numel() for parameter in head.parameters()),
        flops=counter.get_total_flops(),
    )
