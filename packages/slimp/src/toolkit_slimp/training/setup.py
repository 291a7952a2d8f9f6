"""From the settings of a pre-training run to its data, model and batches."""

import math
from dataclasses import dataclass

import numpy as np
from accelerate import Accelerator

from toolkit_common.backbones.contract import Card, hash_weights
from toolkit_common.backbones.ids import BackboneId
from toolkit_common.backbones.metadata import LEVELS
from toolkit_common.console import console
from toolkit_common.data.check import check_images
from toolkit_common.data.dataset import ImageData
from toolkit_common.data.loaders import choose_num_workers
from toolkit_common.data.resized import resize_images, shorter_side
from toolkit_common.data.sheet import Level
from toolkit_common.data.splits import Splits, make_splits
from toolkit_common.errors import InputError
from toolkit_common.images.transforms import Preprocess
from toolkit_common.printable import counted
from toolkit_common.seen.ancestry import Ancestry
from toolkit_common.seen.check import SeenVerdict
from toolkit_common.seen.secret import make_secret
from toolkit_common.sources.load import load_data
from toolkit_slimp.metadata.schema import Schema
from toolkit_slimp.metadata.table import EncodedTable, encode_table
from toolkit_slimp.model.slimp import SlimpModel, build_model
from toolkit_slimp.model.warm_start import Parent
from toolkit_slimp.settings import SlimpSettings
from toolkit_slimp.training.adapt import Adaptation, adapt_
from toolkit_slimp.training.batches import (
    BatchStream,
    LesionImages,
    build_train_transform,
    find_smallest_side,
)
from toolkit_slimp.training.inputs import choose_schema, describe_negatives
from toolkit_slimp.training.sampling import PatientSampler, build_preference
from toolkit_slimp.training.start import load_start, show_ancestry
from toolkit_slimp.training.step import Stepper
from toolkit_slimp.watching.held_out import HeldOut, build_held_out, refuse_unwatched


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
        adaptation: How it continues another run or trains a part alone, if it does.
        seen: Whether that run has seen whom this one holds out.
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
    adaptation: Adaptation | None
    seen: SeenVerdict

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

    @property
    def parent(self) -> Parent | None:
        """The run that it continues, if it does."""
        return None if self.adaptation is None else self.adaptation.parent

    @property
    def trained_levels(self) -> tuple[Level, ...]:
        """Levels whose metadata encoder this run trains, or one that it continues has trained."""
        before = () if self.parent is None else self.parent.trained
        return tuple(level for level in LEVELS if level in (*self.model.trains, *before))

    def describe(self) -> list[str]:
        """Return lines for humans: columns of both levels, losses that are off, sizes."""
        model, lines = self.model, []
        for level in LEVELS:
            columns = self.schema.at(level).columns
            names = ", ".join(column.name for column in columns) or "none"
            lines.append(f"{level} metadata: {counted(len(columns), 'column')} ({names})")
        if not (model.has_lesion_loss or model.has_patient_loss):
            lines.append("nested loss: off (SimCLR alone; metadata encoders stay untrained)")
        elif not (model.has_lesion_loss and model.has_patient_loss):
            off: Level
            on: Level
            off, on = ("patient", "lesion") if model.has_lesion_loss else ("lesion", "patient")
            why = (
                ""
                if self.schema.at(off).columns
                else f" (no {off} columns: only the {on} loss runs)"
            )
            lines.append(f"{off} loss: off{why}")
        trained = sum(item.numel() for item in model.parameters() if item.requires_grad)
        stream, sampler = self.stream, self.stream.sampler
        return [
            *lines,
            f"training {trained:,} parameters for {counted(stream.total_steps, 'step')} = "
            f"{stream.num_epochs:.4g} epochs of {counted(sampler.batches_per_epoch, 'step')} of "
            f"{counted(sampler.patients_per_batch, 'patient')}",
        ]


def set_up(
    settings: SlimpSettings, accelerator: Accelerator, parent: Parent | None = None
) -> Setup:
    """Load, split and encode the data, build the model and its batches.

    Args:
        settings: Of the run.
        accelerator: Where it computes.
        parent: The run that it continues, if it does.

    Raises:
        InputError: If the settings, the data or the backbone are at fault, or the run that is
            continued has seen held-out patients.
    """
    make_secret()  # by which its patients are recorded in the end: not to fail only then
    data, made = load_patients(settings)
    schema = choose_schema(settings, data, made)
    start = load_start(settings, parent)
    splits = look_at_images(settings, data, made)  # last, as that may take long
    if len(splits.all) < len(made.all):  # fewer rows than the schema was fitted on
        schema = choose_schema(settings, data, splits)
    table = encode_table(data, schema)
    verdict = show_ancestry(start, settings, data=data, splits=splits)
    # Before anything is trained: it is what a resumed run is compared by.
    start_hash = hash_weights(start.encoder)
    model = build_model(settings, start.encoder, card=start.card, schema=schema)
    is_adapted = parent is not None or settings.is_partial
    adaptation = adapt_(model, schema, parent) if is_adapted else None
    stepper = Stepper(model, accelerator)
    stream = build_stream(
        settings, data, splits,
        table=table, preprocess=start.encoder.preprocess, accelerator=accelerator,
    )  # fmt: skip
    watch = build_held_out(settings, data, splits, table=table, device=accelerator.device)
    refuse_unwatched(settings, stepper.model, watch)
    return Setup(
        data=data, splits=splits, stepper=stepper, stream=stream, watch=watch,
        card=start.card, backbone=start.backbone, start=start.source, start_hash=start_hash,
        ancestry=start.ancestry, adaptation=adaptation, seen=verdict,
    )  # fmt: skip


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
        f"data: {data.sheet.title}, train {counted(len(splits.train), 'image')} of "
        f"{sizes['train']} {name_groups(data)}, held out {len(splits.val)} of {sizes['val']} "
        f"({splits.origin})"
    )
    return splits


def name_groups(data: ImageData) -> str:
    """What a group is, as far as the data set says so."""
    if "patient_id" in data.table:
        return "patients"
    return "lesions" if "lesion_id" in data.table else "groups"


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
        LesionImages(data, build_train_transform(preprocess, settings), seed=settings.seed),
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
    enough = math.ceil(needed / find_smallest_side(settings))
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
