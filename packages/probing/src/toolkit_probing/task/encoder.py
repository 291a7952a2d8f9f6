"""The encoder that the settings name, how its features are extracted, and what that will cost."""

from copy import copy
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from accelerate import Accelerator
from rich.markup import escape

from toolkit_common.backbones.contract import Backbone, resolve_layers
from toolkit_common.backbones.ids import parse_backbone_id, refuse_foreign_code
from toolkit_common.backbones.load import load_backbone
from toolkit_common.console import console
from toolkit_common.data.loaders import choose_num_workers
from toolkit_common.errors import InputError
from toolkit_common.features.codec import bytes_per_image
from toolkit_common.features.encode import Extraction, RowEncoder
from toolkit_common.features.planner import price_views, refuse_no_room
from toolkit_common.features.store import find_store
from toolkit_common.foreign.values import shown
from toolkit_common.images.transforms import Preprocess
from toolkit_common.runs.files import cache_folder
from toolkit_common.runs.folder import RunFolder
from toolkit_common.runs.manifest import read_run_results, refuse_changed
from toolkit_common.training.distributed import on_main
from toolkit_probing.heads.trainable_encoder import ENCODERS, load_tuned_encoder_
from toolkit_probing.settings import FeatureSettings, ProbeSettings

STAND_IN = "timm:vit_tiny_patch16_224"
OPEN_CLIP = "open_clip:"
IMAGENET_INPUT = Preprocess()  # docs/protocols.md: side to 256/224, bicubic, ImageNet statistics


def load_probed_backbone(settings: FeatureSettings, loaded: Backbone | None = None) -> Backbone:
    """Load the backbone of some settings and print what was loaded.

    Args:
        settings: Which one, which of its layers, and its input.
        loaded: The backbone, where it is loaded already; it stays as it is.
    """
    is_stand_in = settings.backbone is None
    name = settings.backbone or STAND_IN
    if settings.layers is not None:
        layers = "all" if "all" in settings.layers else ",".join(map(str, settings.layers))
        name += f"{'&' if '?' in name else '?'}layers={layers}"  # the id may have options already
    if loaded is None:
        backbone = load_backbone(
            name,
            random_init=settings.random_init or is_stand_in,
            allow_partial=settings.allow_partial,
        )
    else:
        backbone = _with_layers(loaded, name)
    is_open_clip = backbone.info.facts.architecture.startswith(OPEN_CLIP)
    # The EP reference feeds open_clip's encoders their own input (docs/traps.md 11).
    if settings.preprocess == "imagenet" and not is_open_clip:
        own = backbone.info.preprocess
        fed = replace(IMAGENET_INPUT, image_size=own.image_size)
        # In `info`, by which stores are keyed, results recorded and tuned encoders fed.
        backbone.info = replace(backbone.info, preprocess=fed)
    for line in backbone.info.describe():
        console.print(line)
    if backbone.info.receipt.is_random:
        why = "no --backbone was given" if is_stand_in else "--random-init"
        text = f"[bold red]RANDOM WEIGHTS[/] ({escape(why)}): the figures judge no trained encoder"
        console.print(text, markup=True)
    return backbone


def load_judged_backbone(
    run: Path, settings: ProbeSettings, *, head: str, is_named: bool = False
) -> Backbone:
    """Load the encoder that a finished run judged, and what of it was tuned with a head.

    Args:
        run: The run's folder.
        settings: Its settings.
        head: Name of the head's file.
        is_named: Whether the user has named the encoder, and not the run's own settings.

    Raises:
        InputError: If the encoder cannot be loaded, or its weights, the tuned ones or what it
            is fed have changed.
    """
    if not is_named:
        refuse_foreign_code(settings.backbone or "", run / "config.yaml")
    backbone = load_probed_backbone(settings)
    # Before tuned weights go in: the run's hash is of what tuning began with.
    if RunFolder(run).facts().get("encoder") != backbone.fingerprint():
        raise InputError(
            f"the encoder {backbone.info.name} is not the one that {run} judged: its weights have "
            "changed"
        )
    _refuse_other_input(run, backbone)
    if settings.tune != "none":
        refuse_changed(run, f"{ENCODERS}/{head}")  # damaged weights predict as well
        load_tuned_encoder_(backbone.encoder, run / ENCODERS / head)
    return backbone


def _refuse_other_input(run: Path, backbone: Backbone) -> None:
    """Refuse to feed an encoder otherwise than its run did: the same weights answer otherwise."""
    results = read_run_results(run)
    fed = {key: list(value) if isinstance(value, tuple) else value
           for key, value in asdict(backbone.info.preprocess).items()}  # fmt: skip
    for key, value in results["backbone"]["preprocess"].items():
        if key in fed and fed[key] != value:
            raise InputError(
                f"the encoder {backbone.info.name} is not fed as in {run}: {key} {fed[key]}, there "
                f"{shown(value)}; put config.yaml back, or give these in --backbone"
            )


def _with_layers(loaded: Backbone, name: str) -> Backbone:
    """Return a backbone that reads the layers which its id names."""
    backbone, depth = copy(loaded), loaded.info.facts.depth
    if name != loaded.info.id:
        layers = parse_backbone_id(name).layers or range(1, depth + 1)
        backbone.info = replace(loaded.info, id=name, layers=resolve_layers(layers, depth))
    return backbone


def store_folder(settings: FeatureSettings) -> Path:
    """Return where token stores lie."""
    return settings.store_dir or cache_folder() / "features"


def build_extraction(settings: FeatureSettings, accelerator: Accelerator) -> Extraction:
    """Return how features are extracted as far as settings that all commands have say so."""
    return Extraction(
        store_dir=store_folder(settings),
        dtype=settings.store_dtype,
        batch_size=settings.extract_batch_size,
        num_workers=choose_num_workers(settings.num_workers, accelerator),
    )


def show_price_of_views(encoder: RowEncoder, train: np.ndarray) -> None:
    """Print what the crops of `--views` that no store holds will take, all of them together.

    Args:
        encoder: What will run, with what it is to extract.
        train: Rows of the training images.

    Raises:
        InputError: If they are to be kept where there is no room for them.
    """
    how = encoder.how
    missing = sum(
        # Memory keeps nothing from run to run.
        how.store == "memory" or find_store(encoder.store_spec(train, view), how.store_dir) is None
        for view in range(how.views)
    )
    if not missing or how.store == "online":
        return
    sample, per_image = encoder.time_one_batch(train)
    shapes = {
        layer: (kept.grid[0] * kept.grid[1], kept.vectors["mean"].shape[1])
        for layer, kept in sample.items()
    }
    row_bytes = bytes_per_image(shapes, dtype=how.dtype, with_patches=how.with_patches)
    seconds = per_image * len(train) / encoder.accelerator.num_processes
    num_bytes, folder = row_bytes * len(train), how.store_dir
    console.print(price_views(missing, how.views, num_bytes=num_bytes, seconds=seconds))
    place = how.store
    if place != "auto":  # which chooses anew for each of them
        on_main(
            encoder.accelerator,
            lambda: refuse_no_room(place, missing * num_bytes, folder=folder),
        )
