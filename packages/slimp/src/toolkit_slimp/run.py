"""`toolkit pretrain slimp`: images and metadata in, an exported encoder out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from toolkit_common.audit.overlaps import hash_group
from toolkit_common.backbones.cards import Card, choose_card
from toolkit_common.backbones.contract import hash_weights
from toolkit_common.backbones.load import BackboneId
from toolkit_common.cli.command import Invocation
from toolkit_common.console import console, result_console
from toolkit_common.data.dataset import ImageData
from toolkit_common.data.splits import Splits, splits_table
from toolkit_common.runs.files import sha256_of_text, write_text
from toolkit_common.runs.folder import RunFolder, choose_run_folder
from toolkit_common.training.distributed import build_accelerator, on_main
from toolkit_slimp.exporting.bank import choose_bank_rows, write_bank
from toolkit_slimp.exporting.write import export_slimp
from toolkit_slimp.metadata.table import encode_table
from toolkit_slimp.settings import SlimpSettings
from toolkit_slimp.training.batches import BatchStream
from toolkit_slimp.training.learner import Schedule
from toolkit_slimp.training.loop import pretrain
from toolkit_slimp.training.setup import (
    build_model,
    build_stream,
    choose_schema,
    load_image_encoder,
    load_patients,
)
from toolkit_slimp.training.step import Stepper
from toolkit_slimp.training.trackers import Trackers, refuse_missing
from toolkit_slimp.watching.held_out import HeldOut, choose_pool
from toolkit_slimp.watching.judge import Judge, build_judge


def run_pretrain(invocation: Invocation[SlimpSettings]) -> dict[str, Any]:
    """Carry out one pre-training run and return what results.json holds.

    Raises:
        InputError: If the settings, the data or the backbone are at fault, or the loss diverges.
        KeyboardInterrupt: After Ctrl-C, when the state is saved.
    """
    settings = invocation.settings
    run = choose_run_folder(invocation, name="slimp")
    if invocation.resume and run.is_done:
        return _show(run.read_json("results.json"), run, invocation)
    refuse_missing(settings.tracker)
    accelerator = build_accelerator(device=settings.device, precision=settings.precision)
    setup = _set_up(settings, accelerator)
    on_main(accelerator, lambda: _start(run, invocation, setup))
    schedule = _schedule(settings, setup.stream)
    _tell(setup, schedule.total_steps)
    held_out = pretrain(
        setup.stepper,
        setup.stream,
        schedule=schedule,
        run=run,
        watch=setup.watch,
        watch_every=settings.watch_every,
        trackers=Trackers(
            settings.tracker if accelerator.is_main_process else (),
            run,
            settings.model_dump(mode="json"),
        ),
    )
    results = {
        "data": {
            "id": setup.data.id,
            "licence": setup.data.sheet.licence,
            "splits": setup.splits.origin,
        },
        "encoder": "encoder",
        "architecture": setup.architecture,
        "start": setup.start,
        "steps": schedule.total_steps,
        "held_out": held_out,
    }
    if accelerator.is_main_process:
        _export(run.path / "encoder", settings, setup, results)
        run.write_results(results)
        run.finish()
    accelerator.end_training()
    return _show(results, run, invocation)


@dataclass(frozen=True)
class _Setup:
    """All that a run is made of, before anything is written.

    Attributes:
        data: The data set.
        splits: Its patient-disjoint splits.
        stepper: The model, and how it learns from a batch.
        stream: Its batches.
        watch: How it is looked at.
        card: How its image encoder is read.
        architecture: Backbone id that builds its image encoder untrained.
        start: Where the image encoder's first weights came from.
        start_hash: Of those weights.
    """

    data: ImageData
    splits: Splits
    stepper: Stepper
    stream: BatchStream
    watch: HeldOut
    card: Card
    architecture: str
    start: str
    start_hash: str


def _set_up(settings: SlimpSettings, accelerator: Accelerator) -> _Setup:
    data, splits = load_patients(settings)
    assert data.groups is not None, "load_patients refuses such data"
    schema = choose_schema(settings, data, splits)
    table = encode_table(data, schema)
    parsed, encoder, receipt = load_image_encoder(settings)
    card, start_hash = choose_card(parsed.text, encoder.facts), hash_weights(encoder)
    stepper = Stepper(
        build_model(settings, encoder, card, schema),
        accelerator,
        encoder.preprocess,
        seed=settings.seed,
        lesions_per_pass=settings.lesions_per_pass,
    )
    return _Setup(
        data=data,
        splits=splits,
        stepper=stepper,
        stream=build_stream(
            settings, data, splits, table, encoder=encoder, accelerator=accelerator
        ),
        watch=HeldOut(
            data,
            choose_pool(splits.val, data.groups, seed=settings.seed),
            table,
            accelerator.device,
            _judge(settings, data, splits, device=accelerator.device),
        ),
        card=card,
        architecture=_architecture(parsed),
        start=receipt.source,
        start_hash=start_hash,
    )


def _judge(
    settings: SlimpSettings, data: ImageData, splits: Splits, *, device: torch.device
) -> Judge | None:
    if settings.watch_every is None:
        return None
    judge = build_judge(
        data,
        settings.watch_label,
        train=splits.train,
        val=splits.val,
        seed=settings.seed,
        device=device,
    )
    if judge is None:
        console.print("watching: no label to judge by, retrieval alone")
    else:
        console.print(
            f"watching: label {judge.labels.name!r} of {len(judge.questions)} held-out lesions, "
            f"by {len(judge.examples)} training lesions; read for watching alone"
        )
    return judge


def _start(run: RunFolder, invocation: Invocation[SlimpSettings], setup: _Setup) -> None:
    data = setup.data
    splits = splits_table(setup.splits, data).to_csv(index=False)
    facts = {
        "data": data.fingerprint(),
        "splits": sha256_of_text(splits),
        "encoder": setup.start_hash,
    }
    run.start(invocation, kind="pretrain-slimp", facts=facts)
    if not run.has("schema.json"):  # a resumed run is refused another one when it loads
        write_text(run.path / "schema.json", setup.stream.table.schema.to_json())
    if not run.has("splits.csv"):  # nor other splits
        write_text(run.path / "splits.csv", splits)


def _export(folder: Path, settings: SlimpSettings, setup: _Setup, results: dict[str, Any]) -> None:
    model, table = setup.stepper.model, setup.stream.table
    if settings.bank_size:
        rows = choose_bank_rows(setup.splits.train, settings.bank_size, seed=settings.seed)
        device = setup.stepper.accelerator.device
        write_bank(folder, model, setup.data, rows, table=table, device=device)
    export_slimp(
        folder,
        model,
        architecture=setup.architecture,
        card=setup.card,
        schema=table.schema,
        provenance=_provenance(settings, setup, results),
    )


def _schedule(settings: SlimpSettings, stream: BatchStream) -> Schedule:
    return Schedule(
        total_steps=settings.epochs * stream.sampler.batches_per_epoch,
        lr=settings.lr,
        image_lr=settings.image_lr,
        weight_decay=settings.weight_decay,
        warmup=settings.warmup,
        clip_grad=settings.clip_grad,
        ema=settings.ema,
    )


def _tell(setup: _Setup, total: int) -> None:
    model, stream = setup.stepper.model, setup.stream
    for level in ("lesion", "patient"):
        columns = stream.table.schema.at(level).columns
        names = ", ".join(column.name for column in columns) or "none"
        console.print(f"{level} metadata: {len(columns)} columns ({names})")
    if model.loss.nested_weight == 0.0:
        console.print("nested loss: off (SimCLR alone; metadata encoders stay untrained)")
    elif model.lesion_weight in (0.0, 1.0):
        console.print(f"{'lesion' if model.lesion_weight == 0.0 else 'patient'} loss: off")
    trained = sum(item.numel() for item in model.parameters() if item.requires_grad)
    console.print(
        f"training {trained:,} parameters for {total} steps of "
        f"{stream.sampler.patients_per_batch} patients"
    )


def _architecture(parsed: BackboneId) -> str:
    size = f"?image_size={parsed.image_size}" if parsed.image_size else ""
    return f"{parsed.source}:{parsed.name.partition('@')[0]}{size}"


def _provenance(settings: SlimpSettings, setup: _Setup, results: dict[str, Any]) -> dict[str, Any]:
    data = setup.data
    assert data.groups is not None
    return {
        "method": "SLIMP",
        "data": data.id,
        "data_fingerprint": data.fingerprint(),
        "data_licence": data.sheet.licence,
        "data_source": data.sheet.source,
        "start": results["start"],
        "steps": results["steps"],
        "settings": settings.model_dump(mode="json"),
        "schema": setup.stream.table.schema.digest(),
        "groups_seen": sorted({hash_group(group) for group in data.groups[setup.splits.train]}),
    }


def _show(
    results: dict[str, Any], run: RunFolder, invocation: Invocation[SlimpSettings]
) -> dict[str, Any]:
    out = result_console(as_json=invocation.as_json)
    held_out = ", ".join(f"{name} {value:.3f}" for name, value in results["held_out"].items())
    out.print(f"held-out patients: {held_out}", soft_wrap=True)
    out.print(f"run folder: {run.path}", soft_wrap=True)
    out.print(f"judge it with: toolkit probe --method ep,linear,knn --backbone {run.path}")
    return {**results, "run": str(run.path)}
