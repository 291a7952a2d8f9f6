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
from toolkit_common.files import atomic_path
from toolkit_common.runs import RunFolder
from toolkit_probing.bank import HeadBank
from toolkit_probing.head import VECTOR_METHODS, HeadSpec, read_source
from toolkit_probing.probes import POOLS
from toolkit_probing.results import Outcome
from toolkit_probing.select import select_learning_rate
from toolkit_probing.settings import ProbeSettings
from toolkit_probing.train import Best, TrainingPlan, infer_batch_size, predict, train_bank


def head_specs(settings: ProbeSettings, info: BackboneInfo) -> list[HeadSpec]:
    """Return every head that the settings ask for: methods x layers x options x rates x seeds."""
    return [
        HeadSpec(method, layer, read_by(method, settings, info), lr, settings.seed + seed, options)
        for method in settings.method
        if method in POOLS or method in VECTOR_METHODS
        for layer in info.layers
        for options in _options(method, settings)
        for lr in settings.lr
        for seed in range(settings.num_seeds)
    ]


def read_by(method: str, settings: ProbeSettings, info: BackboneInfo) -> str:
    """Return what a method reads: as the user says, else as the backbone's card says."""
    if method in ("cls", "mean"):
        return method
    if method in POOLS:
        return info.card.ep if settings.tokens == "auto" else settings.tokens
    return info.card.linear if settings.read == "auto" else settings.read


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
    sample = next(iter(source.iterate([np.arange(2)])))
    bank = HeadBank(specs, sample, num_classes=len(task.labels.classes))
    train = task.positions("train")
    best = train_bank(
        bank,
        source,
        task.targets,
        train=train,
        select=task.positions(settings.select_on),
        plan=TrainingPlan(
            epochs=settings.epochs,
            warmup_epochs=settings.warmup_epochs,
            batch_size=settings.batch_size or infer_batch_size(len(train)),
            optimizer=settings.optimizer,
            weight_decay=settings.weight_decay,
            seed=settings.seed,
            select_by=settings.select_by,
        ),
        accelerator=accelerator,
        run=run,
    )
    chosen = select_learning_rate(specs, best)
    heads = [spec for group in chosen.values() for spec in group]
    for spec in heads:
        bank.heads[spec.key].load_state_dict(best[spec.key].state)
        if accelerator.is_main_process:
            with atomic_path(run.path / "heads" / f"{spec.key}.safetensors") as temporary:
                save_file(best[spec.key].state, temporary, metadata={"format": "pt"})
    keys = [spec.key for spec in heads]
    test = task.positions("test")
    found = predict(bank, source, test, accelerator, keys=keys, probabilities=True)
    return [
        _outcome(name, group, bank=bank, best=best, found=found, sample=sample)
        for name, group in chosen.items()
    ]


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
