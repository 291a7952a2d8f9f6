"""From the settings of a pre-training run to its data, model and batches."""

from dataclasses import replace

import numpy as np
from accelerate import Accelerator

from toolkit_common.backbones.cards import Card
from toolkit_common.backbones.contract import ImageEncoder, Receipt
from toolkit_common.backbones.load import BackboneId, build_encoder, parse_backbone_id
from toolkit_common.console import console
from toolkit_common.data.check import check_images
from toolkit_common.data.dataset import ImageData
from toolkit_common.data.loaders import choose_num_workers
from toolkit_common.data.resized import resize_images
from toolkit_common.data.sheet import Level
from toolkit_common.data.splits import Splits, make_splits
from toolkit_common.errors import InputError
from toolkit_common.seed import seed_everything
from toolkit_common.sources.load import load_data
from toolkit_slimp.metadata.infer import infer_schema, load_schema
from toolkit_slimp.metadata.schema import Schema
from toolkit_slimp.metadata.table import EncodedTable
from toolkit_slimp.model.slimp import SlimpModel, batch_norms
from toolkit_slimp.model.terms import LossOptions
from toolkit_slimp.settings import SlimpSettings
from toolkit_slimp.training.batches import BatchStream, LesionImages, build_train_transform
from toolkit_slimp.training.sampling import PatientSampler, deviations, positive_rows

STAND_IN = "timm:vit_tiny_patch16_224?image_size=112"


def load_patients(settings: SlimpSettings) -> tuple[ImageData, Splits]:
    """Load a data set with groups, check its images, split it by patient; tells what was found.

    Raises:
        InputError: If the data, their images or their splits are at fault, or there are no groups.
    """
    data = load_data(settings.data, premalignant_as=settings.premalignant_as)
    if data.groups is None:
        raise InputError(
            f"data set {data.id!r} has no groups: SLIMP needs to know which lesions are one "
            "patient's; name the column, as in csv:FILE?group=patient"
        )
    splits = make_splits(
        data,
        seed=settings.split_seed,
        folds=settings.folds,
        fold=settings.fold,
        file=settings.splits,
    )
    bad = check_images(data, splits.all, policy=settings.bad_files)["row"].to_numpy(int)
    kept = {name: np.setdiff1d(splits[name], bad) for name in ("train", "val", "test")}
    splits = Splits(**kept, origin=splits.origin)
    sizes = {name: np.unique(data.groups[splits[name]]).size for name in ("train", "val")}
    console.print(
        f"data: {data.sheet.title}, train {len(splits.train)} images of {sizes['train']} "
        f"{_name_groups(data)}, held out {len(splits.val)} of {sizes['val']} ({splits.origin})"
    )
    return data, splits


def _name_groups(data: ImageData) -> str:
    """What a group is, as far as the data set says so."""
    if "patient_id" in data.table:
        return "patients"
    return "lesions" if "lesion_id" in data.table else "groups"


def choose_schema(settings: SlimpSettings, data: ImageData, splits: Splits) -> Schema:
    """Read the user's schema, or infer one; transforms are fitted on training patients alone.

    Raises:
        InputError: If the schema does not fit the data, or there are no metadata.
    """
    if settings.metadata_schema is None:
        schema = infer_schema(data, splits.train)
    else:
        schema = load_schema(settings.metadata_schema, data, splits.train)
    if settings.patient_columns == "lesion":
        schema = Schema(tuple(replace(column, level="lesion") for column in schema.columns))
    _refuse_unused(settings, schema)
    return schema


def _refuse_unused(settings: SlimpSettings, schema: Schema) -> None:
    """Refuse to train less than what was asked for, under its name."""
    weights: dict[Level, float] = {
        "lesion": settings.lesion_weight,
        "patient": 1.0 - settings.lesion_weight,
    }
    on = {
        level: weight * settings.nested_weight > 0 and bool(schema.at(level).columns)
        for level, weight in weights.items()
    }
    if settings.nested_weight and not any(on.values()):
        level = "patient" if settings.lesion_weight == 0 else "lesion"
        raise InputError(
            f"lesion_weight {settings.lesion_weight:g} leaves nothing to train: the schema has no "
            f"{level} columns; drop --lesion-weight, or the ablation that sets it"
        )
    for key, default in (("phenotype", "mean"), ("patient_positives", "diagonal")):
        if not on["patient"] and (value := getattr(settings, key)) != default:
            why = "lesion_weight is 1" if settings.lesion_weight == 1 else "no patient columns"
            why = why if settings.nested_weight else "nested_weight is 0"
            raise InputError(f"{key} {value} is of the patient loss, which is off: {why}")


def load_image_encoder(settings: SlimpSettings) -> tuple[BackboneId, ImageEncoder, Receipt]:
    """Build the image encoder, pretrained or random, as the settings want it trained.

    Raises:
        InputError: If it is unknown, its weights cannot be had, or it cannot be trained so.
    """
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
    _refuse_pieces(settings, encoder)
    if settings.grad_checkpointing:
        checkpoint_gradients_(encoder)
    if settings.compile:
        encoder.compile(dynamic=True)  # patients bring different numbers of lesions
    norms = ""
    if count := len(batch_norms(encoder)):
        norms = f", {count} batch norms ({'frozen' if freezes(settings) else 'batch'} statistics)"
    console.print(f"image encoder: {parsed.text}, starts from {receipt.source}{norms}")
    return parsed, encoder, receipt


def freezes(settings: SlimpSettings) -> bool:
    """Whether batch norms keep the statistics that the image encoder came with."""
    is_random = settings.random_init or settings.backbone is None
    return settings.batch_norm == "frozen" or (settings.batch_norm == "auto" and not is_random)


def _refuse_pieces(settings: SlimpSettings, encoder: ImageEncoder) -> None:
    count = len(batch_norms(encoder))
    if count and settings.lesions_per_pass is not None and not freezes(settings):
        raise InputError(
            f"the image encoder has {count} batch normalisations, whose statistics would be those "
            "of a piece: drop --lesions-per-pass, give --batch-norm frozen, or choose an encoder "
            "with layer normalisation"
        )


def checkpoint_gradients_(encoder: ImageEncoder) -> None:
    """Let an encoder compute its activations again in the backward pass.

    Raises:
        InputError: If its library has no such switch for it.
    """
    try:
        encoder.model.set_grad_checkpointing(True)  # type: ignore[operator]
    except (AssertionError, AttributeError, NotImplementedError):  # timm asserts
        raise InputError(
            f"{encoder.facts.architecture!r} has no gradient checkpointing: drop "
            "--grad-checkpointing; --lesions-per-pass saves memory with any encoder"
        ) from None


def build_model(
    settings: SlimpSettings, encoder: ImageEncoder, card: Card, schema: Schema
) -> SlimpModel:
    """Build the model around an image encoder; its other weights depend on the seed alone."""
    seed_everything(settings.seed, "model")
    return SlimpModel(
        encoder,
        card=card,
        schema=schema,
        metadata_encoder={
            "dim": settings.metadata_dim,
            "depth": settings.metadata_depth,
            "num_heads": settings.metadata_heads,
            "mlp_ratio": settings.metadata_mlp_ratio,
            "dropout": settings.metadata_block_dropout,
            "numbers": settings.metadata_numbers,
            "missing": settings.metadata_missing,
            "pooling": settings.metadata_pooling,
            "style": settings.metadata_blocks,
        },
        embed_dim=settings.embed_dim,
        phenotype=settings.phenotype,
        loss=LossOptions(
            temperature=settings.temperature,
            learn_temperature=settings.learn_temperature,
            lesion_weight=settings.lesion_weight,
            nested_weight=settings.nested_weight,
            image_weight=settings.image_weight,
            negatives=settings.lesion_negatives,
            same_metadata=settings.patient_positives == "same_metadata",
        ),
        frozen_statistics=freezes(settings),
    )


def build_stream(
    settings: SlimpSettings,
    data: ImageData,
    splits: Splits,
    table: EncodedTable,
    *,
    encoder: ImageEncoder,
    accelerator: Accelerator,
) -> BatchStream:
    """Build the batches of a run.

    Raises:
        InputError: If the settings ask for lesions or labels that the data do not have.
    """
    assert data.groups is not None
    if settings.lesion_negatives == "other_lesions" and "lesion_id" not in data.table:
        raise InputError(
            f"data set {data.id!r} has no lesion_id to tell other lesions by: use "
            "--lesion-negatives all or other_patients"
        )
    return BatchStream(
        PatientSampler(
            data.groups,
            splits.train,
            patients_per_batch=settings.patients_per_batch,
            lesions_per_patient=settings.lesions_per_patient,
            seed=settings.seed,
            preference=_preference(settings, data, table),
            repeats=settings.positive_repeats,
        ),
        LesionImages(
            _shrink(settings, data, splits, encoder, accelerator),
            build_train_transform(encoder.preprocess),
            seed=settings.seed,
        ),
        table,
        dropout=settings.metadata_dropout,
        num_views=2 if settings.image_weight else 1,
        rank=accelerator.process_index,
        num_ranks=accelerator.num_processes,
        num_workers=choose_num_workers(settings.num_workers, accelerator),
    )


def _preference(settings: SlimpSettings, data: ImageData, table: EncodedTable) -> np.ndarray | None:
    assert data.groups is not None
    if settings.lesion_sampling == "positives":
        return positive_rows(data, settings.positives)
    if settings.lesion_sampling == "deviation":
        return deviations(table, data.groups)
    return None


def _shrink(
    settings: SlimpSettings,
    data: ImageData,
    splits: Splits,
    encoder: ImageEncoder,
    accelerator: Accelerator,
) -> ImageData:
    size, needed = settings.cache_images, max(encoder.preprocess.image_size)
    if size is None:
        return data
    if size < needed:
        raise InputError(
            f"--cache-images {size} is below the encoder's input of {needed} pixels: images would "
            "be enlarged again"
        )
    with accelerator.main_process_first():
        return resize_images(data, splits.train, size=size)
