"""`toolkit pretrain slimp`: images and metadata in, an exported encoder out."""

import hashlib
import os
from typing import Any

import numpy as np
from accelerate import Accelerator
from safetensors.torch import save_file

from toolkit_common.backbones.base import ImageEncoder, Receipt
from toolkit_common.backbones.cards import Card, TokenSource, choose_card
from toolkit_common.backbones.exported import export_encoder
from toolkit_common.backbones.load import BackboneId, build_encoder, parse_backbone_id
from toolkit_common.command import Invocation
from toolkit_common.data.base import ImageData
from toolkit_common.data.check import check_images
from toolkit_common.data.load import load_data
from toolkit_common.data.splits import Splits, make_splits, splits_table
from toolkit_common.errors import InputError
from toolkit_common.files import atomic_path, write_text
from toolkit_common.runs import RunFolder, choose_run_folder
from toolkit_common.seed import seed_everything
from toolkit_common.training.distributed import build_accelerator
from toolkit_common.training.progress import console, result_console
from toolkit_slimp.batches import BatchStream, LesionImages, build_train_transform
from toolkit_slimp.model import SlimpModel
from toolkit_slimp.pretrain import Schedule, pretrain
from toolkit_slimp.sampling import PatientSampler
from toolkit_slimp.schema import Schema, infer_schema
from toolkit_slimp.settings import SlimpSettings
from toolkit_slimp.watch import HeldOut

STAND_IN = "timm:vit_tiny_patch16_224?image_size=112"
MAX_WORKERS = 16


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
    accelerator = build_accelerator(device=settings.device, precision=settings.precision)
    data, splits = _load_data(settings)
    schema = infer_schema(data, splits.train)
    parsed, encoder, receipt = _load_encoder(settings)
    card = choose_card(parsed.text, encoder.facts)
    model = _build_model(settings, encoder, card, schema)
    stream, watch = _build_stream(settings, data, splits, schema, model, accelerator)
    if accelerator.is_main_process:
        run.start(invocation, kind="pretrain-slimp", facts={"data": data.fingerprint()})
        write_text(run.path / "schema.json", schema.to_json())
        write_text(run.path / "splits.csv", splits_table(splits, data).to_csv(index=False))
    accelerator.wait_for_everyone()
    total = settings.epochs * stream.sampler.batches_per_epoch
    _tell(model, schema, stream, total)
    pretrain(
        model,
        stream,
        preprocess=encoder.preprocess,
        schedule=Schedule(
            total_steps=total,
            lr=settings.lr,
            image_lr=settings.image_lr,
            weight_decay=settings.weight_decay,
            warmup=settings.warmup,
            clip_grad=settings.clip_grad,
            seed=settings.seed,
        ),
        accelerator=accelerator,
        run=run,
        watch=watch,
    )
    results = {
        "data": {"id": data.id, "licence": data.sheet.licence, "splits": splits.origin},
        "encoder": "encoder",
        "architecture": _architecture(parsed),
        "start": receipt.source,
        "steps": total,
        "held_out": watch(model),
    }
    if accelerator.is_main_process:
        provenance = _provenance(settings, data, splits, schema, results)
        _export(run, model, parsed, card, schema, provenance)
        run.write_results(results)
        run.finish()
    accelerator.end_training()
    return _show(results, run, invocation)


def _load_data(settings: SlimpSettings) -> tuple[ImageData, Splits]:
    data = load_data(settings.data)
    if data.groups is None:
        raise InputError(
            f"data set {data.id!r} has no groups: SLIMP needs to know which lesions are one "
            "patient's; name the column, as in csv:FILE?group=patient"
        )
    splits = make_splits(data, seed=settings.split_seed)
    bad = check_images(data, splits.all, policy=settings.bad_files)["row"].to_numpy(int)
    kept = {name: np.setdiff1d(splits[name], bad) for name in ("train", "val", "test")}
    splits = Splits(**kept, origin=splits.origin)
    patients = {name: np.unique(data.groups[splits[name]]).size for name in ("train", "val")}
    console.print(
        f"data: {data.sheet.title}, train {len(splits.train)} lesions of {patients['train']} "
        f"patients, held out {len(splits.val)} of {patients['val']} ({splits.origin})"
    )
    return data, splits


def _load_encoder(settings: SlimpSettings) -> tuple[BackboneId, ImageEncoder, Receipt]:
    is_stand_in = settings.backbone is None
    parsed = parse_backbone_id(settings.backbone or STAND_IN)
    if parsed.layers != (-1,):
        raise InputError(
            f"pre-training trains the whole encoder: drop the layers in {parsed.text!r}"
        )
    encoder, receipt = build_encoder(
        parsed,
        random_init=settings.random_init or is_stand_in,
        allow_partial=settings.allow_partial,
        seed=settings.seed,
    )
    console.print(f"image encoder: {parsed.text}, starts from {receipt.source}")
    return parsed, encoder, receipt


def _build_model(
    settings: SlimpSettings, encoder: ImageEncoder, card: Card, schema: Schema
) -> SlimpModel:
    seed_everything(settings.seed, "model")
    return SlimpModel(
        encoder,
        card=card,
        schema=schema,
        metadata_encoder={
            "dim": settings.metadata_dim,
            "depth": settings.metadata_depth,
            "num_heads": settings.metadata_heads,
        },
        embed_dim=settings.embed_dim,
        temperature=settings.temperature,
        learn_temperature=settings.learn_temperature,
        lesion_weight=settings.lesion_weight,
        same_metadata=settings.patient_positives == "same_metadata",
    )


def _build_stream(
    settings: SlimpSettings,
    data: ImageData,
    splits: Splits,
    schema: Schema,
    model: SlimpModel,
    accelerator: Accelerator,
) -> tuple[BatchStream, HeldOut]:
    assert data.groups is not None
    lesions = schema.at("lesion").encode(data.table)
    patients = schema.at("patient").encode(data.table)
    transform = build_train_transform(model.image_encoder.preprocess)
    per_process = (os.cpu_count() or 1) // accelerator.num_processes
    workers = 0 if accelerator.device.type == "cpu" else min(MAX_WORKERS, per_process)
    stream = BatchStream(
        PatientSampler(
            data.groups,
            splits.train,
            patients_per_batch=settings.patients_per_batch,
            lesions_per_patient=settings.lesions_per_patient,
            seed=settings.seed,
        ),
        LesionImages(data, transform, seed=settings.seed),
        lesions,
        patients,
        dropout=settings.metadata_dropout,
        rank=accelerator.process_index,
        num_ranks=accelerator.num_processes,
        num_workers=workers if settings.num_workers is None else settings.num_workers,
    )
    watch = HeldOut(data, splits.val, lesions, patients, data.groups, accelerator.device)
    return stream, watch


def _tell(model: SlimpModel, schema: Schema, stream: BatchStream, total: int) -> None:
    for level in ("lesion", "patient"):
        columns = schema.at(level).columns
        names = ", ".join(column.name for column in columns) or "none"
        console.print(f"{level} metadata: {len(columns)} columns ({names})")
    if model.lesion_weight == 1.0:
        console.print("patient loss: off")
    trained = sum(item.numel() for item in model.parameters() if item.requires_grad)
    console.print(
        f"training {trained:,} parameters for {total} steps of "
        f"{stream.sampler.patients_per_batch} patients"
    )


def _architecture(parsed: BackboneId) -> str:
    size = f"?image_size={parsed.image_size}" if parsed.image_size else ""
    return f"{parsed.source}:{parsed.name.partition('@')[0]}{size}"


def _provenance(
    settings: SlimpSettings,
    data: ImageData,
    splits: Splits,
    schema: Schema,
    results: dict[str, Any],
) -> dict[str, Any]:
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
        "schema": schema.digest(),
        "groups_seen": sorted({hash_group(group) for group in data.groups[splits.train]}),
    }


def hash_group(group: str) -> str:
    """Return a short hash of a patient's id: enough to tell that a test patient was seen."""
    return hashlib.sha256(str(group).encode()).hexdigest()[:12]


def _export(
    run: RunFolder,
    model: SlimpModel,
    parsed: BackboneId,
    card: Card,
    schema: Schema,
    provenance: dict[str, Any],
) -> None:
    folder = run.path / "encoder"
    reads: TokenSource = "all" if card.linear == "cls" else "patches"
    trained = Card(
        card.linear, reads, "nested contrastive (SLIMP)", f"trained on the {card.linear}"
    )
    rest = {
        name: value.detach().cpu().contiguous()
        for name, value in model.state_dict().items()
        if not name.startswith("image_encoder.")
    }
    with atomic_path(folder / "slimp.safetensors") as temporary:
        save_file(rest, temporary, metadata={"format": "pt"})
    write_text(folder / "schema.json", schema.to_json())
    export_encoder(
        folder,
        model.image_encoder,
        architecture=_architecture(parsed),
        card=trained,
        provenance=provenance,
    )


def _show(
    results: dict[str, Any], run: RunFolder, invocation: Invocation[SlimpSettings]
) -> dict[str, Any]:
    out = result_console(as_json=invocation.as_json)
    held_out = ", ".join(f"{name} {value:.3f}" for name, value in results["held_out"].items())
    out.print(f"held-out patients: {held_out}", soft_wrap=True)
    out.print(f"run folder: {run.path}", soft_wrap=True)
    out.print(f"judge it with: toolkit probe --method ep,linear,knn --backbone {run.path}")
    return {**results, "run": str(run.path)}
