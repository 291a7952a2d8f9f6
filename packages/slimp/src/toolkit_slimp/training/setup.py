"""From the settings of a pre-training run to its data, model and batches."""

import math
from dataclasses import dataclass

import numpy as np
from accelerate import Accelerator

from toolkit_common.backbones.cards import choose_card
from toolkit_common.backbones.contract import Card, ImageEncoder, Receipt, hash_weights
from toolkit_common.backbones.ids import BackboneId, parse_backbone_id
from toolkit_common.backbones.load import build_encoder
from toolkit_common.backbones.metadata import LEVELS
from toolkit_common.console import console
from toolkit_common.data.check import check_images
from toolkit_common.data.dataset import ImageData
from toolkit_common.data.loaders import choose_num_workers
from toolkit_common.data.resized import resize_images, shorter_side
from toolkit_common.data.splits import Splits, make_splits
from toolkit_common.errors import InputError
from toolkit_common.images.transforms import Preprocess
from toolkit_common.seen.ancestry import Ancestry, read_ancestry
from toolkit_common.seen.compare import compare_rows
from toolkit_common.seen.record import Contents
from toolkit_common.seen.secret import make_secret
from toolkit_common.sources.load import load_data
from toolkit_slimp.metadata.schema import Schema
from toolkit_slimp.metadata.table import EncodedTable, encode_table
from toolkit_slimp.model.slimp import SlimpModel, batch_norms, build_model
from toolkit_slimp.settings import SlimpSettings
from toolkit_slimp.training.batches import (
    SMALLEST_SIDE,
    BatchStream,
    LesionImages,
    build_train_transform,
)
from toolkit_slimp.training.inputs import choose_schema, describe_negatives
from toolkit_slimp.training.sampling import PatientSampler, build_preference
from toolkit_slimp.training.step import Stepper
from toolkit_slimp.watching.held_out import HeldOut, build_held_out, refuse_unwatched

STAND_IN = "timm:vit_tiny_patch16_224?image_size=112"


@dataclass(frozen=True)
class Setup:
    """All that a run is made of, before anything is written.

    Attributes:
        data: The data set.
        splits: Its patient-disjoint splits.
        stepper: The model, and how its gradient is computed.
        stream: Its batches.
        watch: How it is looked at.
        card: How its image encoder is read.
        backbone: What its image encoder was built from.
        start: Where the image encoder's first weights came from.
        start_hash: Of those weights.
        ancestry: Of the exported encoder that it continues, if it does.
    """

    data: ImageData
    splits: Splits
    stepper: Stepper
    stream: BatchStream
    watch: HeldOut
    card: Card
    backbone: BackboneId
    start: str
    start_hash: str
    ancestry: Ancestry

    @property
    def model(self) -> SlimpModel:
        """What is trained."""
        return self.stepper.model

    @property
    def schema(self) -> Schema:
        """What its metadata are encoded by."""
        return self.stream.table.schema

    @property
    def architecture(self) -> str:
        """Backbone id that builds the image encoder untrained."""
        size = f"?image_size={self.backbone.image_size}" if self.backbone.image_size else ""
        return f"{self.backbone.source}:{self.backbone.name.partition('@')[0]}{size}"

    def describe(self) -> list[str]:
        """Return lines for humans: columns of both levels, losses that are off, sizes."""
        model, lines = self.model, []
        for level in LEVELS:
            columns = self.schema.at(level).columns
            names = ", ".join(column.name for column in columns) or "none"
            lines.append(f"{level} metadata: {len(columns)} columns ({names})")
        if not (model.has_lesion_loss or model.has_patient_loss):
            lines.append("nested loss: off (SimCLR alone; metadata encoders stay untrained)")
        elif not (model.has_lesion_loss and model.has_patient_loss):
            lines.append(f"{'patient' if model.has_lesion_loss else 'lesion'} loss: off")
        trained = sum(item.numel() for item in model.parameters() if item.requires_grad)
        stream, sampler = self.stream, self.stream.sampler
        return [
            *lines,
            f"training {trained:,} parameters for {stream.total_steps} steps = "
            f"{stream.num_epochs:.4g} epochs of {sampler.batches_per_epoch} steps of "
            f"{sampler.patients_per_batch} patients",
        ]


def set_up(settings: SlimpSettings, accelerator: Accelerator) -> Setup:
    """Load, split and encode the data, build the model and its batches.

    Raises:
        InputError: If the settings, the data or the backbone are at fault.
    """
    make_secret()  # by which its patients are recorded in the end: not to fail only then
    data, made = load_patients(settings)
    schema = choose_schema(settings, data, made)
    parsed, encoder, receipt = load_image_encoder(settings)
    splits = look_at_images(settings, data, made)  # last, as that may take long
    if len(splits.all) < len(made.all):  # fewer rows than the schema was fitted on
        schema = choose_schema(settings, data, splits)
    table = encode_table(data, schema)
    ancestry = Ancestry() if settings.random_init else read_ancestry(parsed)
    _show_ancestry(ancestry, data, splits)
    card = choose_card(parsed.text, encoder.facts)
    # Before anything is trained: it is what a resumed run is compared by.
    start_hash = hash_weights(encoder)
    stepper = Stepper(build_model(settings, encoder, card=card, schema=schema), accelerator)
    stream = build_stream(
        settings, data, splits,
        table=table, preprocess=encoder.preprocess, accelerator=accelerator,
    )  # fmt: skip
    watch = build_held_out(settings, data, splits, table=table, device=accelerator.device)
    refuse_unwatched(settings, stepper.model, watch)
    return Setup(
        data=data, splits=splits, stepper=stepper, stream=stream, watch=watch,
        card=card, backbone=parsed, start=receipt.source, start_hash=start_hash,
        ancestry=ancestry,
    )  # fmt: skip


def _show_ancestry(ancestry: Ancestry, data: ImageData, splits: Splits) -> None:
    """Print how the encoder that is continued was trained, and whether on held-out patients."""
    for line in ancestry.describe():
        console.print(line, markup=False)
    overlap = compare_rows(ancestry.records, Contents(data), {"held-out": splits.val})
    if overlap.num_seen:
        console.print(
            f"it has seen {overlap.counted()}: what is watched is not of unseen patients",
            markup=False,
        )


def load_patients(settings: SlimpSettings) -> tuple[ImageData, Splits]:
    """Load a data set with groups and split it by patient; no image is looked at yet.

    Raises:
        InputError: If the data or their splits are at fault, or there are no groups.
    """
    data = load_data(settings.data, premalignant_as=settings.premalignant_as)
    if data.groups is None:
        raise InputError(
            f"data set {data.id!r} has no groups: SLIMP needs to know which lesions are one "
            "patient's; name the column, as in csv:FILE?group=patient"
        )
    return data, make_splits(data, settings)


def look_at_images(settings: SlimpSettings, data: ImageData, splits: Splits) -> Splits:
    """Return the splits without bad images; prints the counts.

    Raises:
        InputError: If images are bad and none may be.
    """
    groups = data.groups
    assert groups is not None
    bad = check_images(data, splits.all, policy=settings.bad_files)["row"].to_numpy(int)
    # After splitting, so that a broken file moves no other row to another split.
    kept = {name: np.setdiff1d(splits[name], bad) for name in ("train", "val", "test")}
    splits = Splits(**kept, origin=splits.origin)
    sizes = {name: np.unique(groups[splits[name]]).size for name in ("train", "val")}
    console.print(
        f"data: {data.sheet.title}, train {len(splits.train)} images of {sizes['train']} "
        f"{_name_groups(data)}, held out {len(splits.val)} of {sizes['val']} ({splits.origin})"
    )
    return splits


def _name_groups(data: ImageData) -> str:
    """What a group is, as far as the data set says so."""
    if "patient_id" in data.table:
        return "patients"
    return "lesions" if "lesion_id" in data.table else "groups"


def load_image_encoder(settings: SlimpSettings) -> tuple[BackboneId, ImageEncoder, Receipt]:
    """Build the image encoder, pretrained or random, as the settings want it trained.

    Raises:
        InputError: If it is unknown, its weights cannot be had, or it cannot be trained so.
    """
    is_stand_in = settings.backbone is None
    parsed = parse_backbone_id(settings.backbone or STAND_IN)
    # Layers are for reading a frozen encoder; what is trained is trained whole.
    if parsed.layers != (-1,):
        raise InputError(
            f"pre-training trains the whole encoder: drop the layers in {parsed.text!r}"
        )
    encoder, receipt = build_encoder(
        parsed,
        # The stand-in is made, not fetched: without options a run needs no network.
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
        statistics = "frozen" if settings.freezes_batch_norms else "batch"
        norms = f", {count} batch norms ({statistics} statistics)"
    console.print(f"image encoder: {parsed.text}, starts from {receipt.source}{norms}")
    for line in receipt.describe():
        console.print(line)
    return parsed, encoder, receipt


def _refuse_pieces(settings: SlimpSettings, encoder: ImageEncoder) -> None:
    count = len(batch_norms(encoder))
    if count and settings.lesions_per_pass is not None and not settings.freezes_batch_norms:
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


def build_stream(
    settings: SlimpSettings,
    data: ImageData,
    splits: Splits,
    *,
    table: EncodedTable,
    preprocess: Preprocess,
    accelerator: Accelerator,
) -> BatchStream:
    """Build the batches of a run.

    Raises:
        InputError: If the settings name lesions or labels that the data do not have.
    """
    groups = data.groups
    assert groups is not None
    for line in describe_negatives(settings, data, splits):
        console.print(line)
    preference = build_preference(settings, data, table)
    if settings.cache_images is not None:
        data = _shrunk(data, splits.train, settings, preprocess=preprocess, accelerator=accelerator)
    return BatchStream(
        PatientSampler(groups, splits.train, settings, preference=preference),
        LesionImages(data, build_train_transform(preprocess), seed=settings.seed),
        table,
        settings=settings,
        rank=accelerator.process_index,
        num_ranks=accelerator.num_processes,
        num_workers=choose_num_workers(settings.num_workers, accelerator),
    )


def _shrunk(
    data: ImageData,
    rows: np.ndarray,
    settings: SlimpSettings,
    *,
    preprocess: Preprocess,
    accelerator: Accelerator,
) -> ImageData:
    """Shrink training images once, and print whether crops of them have to be enlarged.

    Raises:
        InputError: If whole images would have to be.
    """
    size, needed = settings.cache_images, max(preprocess.image_size)
    if size == "exact":
        raise InputError(
            "--cache-images exact keeps what an encoder reads of a whole image, and pre-training "
            "cuts random crops out of it: give the pixels of the shorter side"
        )
    assert size is not None
    if size < needed:
        raise InputError(
            f"--cache-images {size} is below the encoder's input of {needed} pixels: images would "
            "be enlarged again"
        )
    enough = math.ceil(needed / SMALLEST_SIDE)
    console.print(
        f"images: shrunk once to {size} pixels on the shorter side, without loss"
        + (
            f"; crops of less than {needed} pixels are enlarged (none are from {enough} on)"
            if size < enough
            else ""
        )
    )
    # One process writes the file, the others find it.
    with accelerator.main_process_first():
        return resize_images(data, rows, how=shorter_side(size))
