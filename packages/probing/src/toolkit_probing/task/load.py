"""`toolkit features`: a backbone's tokens of a data set, computed once and kept for every probe."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from toolkit_common.backbones.contract import Backbone
from toolkit_common.backbones.load import load_backbone
from toolkit_common.config import Invocation
from toolkit_common.console import console, result_console
from toolkit_common.data.loaders import choose_num_workers
from toolkit_common.features.encode import Extraction
from toolkit_common.features.extract import extract
from toolkit_common.images.transforms import Preprocess
from toolkit_common.runs.files import cache_folder, refuse_unwritable
from toolkit_common.training.distributed import build_accelerator
from toolkit_probing.settings import ExtractSettings, FeatureSettings
from toolkit_probing.task.shrunk import refuse_bad_cache, shrink_images
from toolkit_probing.task.task import Task, load_task

STAND_IN = "timm:vit_tiny_patch16_224"
OPEN_CLIP = "open_clip:"
IMAGENET_INPUT = Preprocess()  # docs/protocols.md: side to 256/224, bicubic, ImageNet statistics


def run_features(invocation: Invocation[ExtractSettings]) -> dict[str, Any]:
    """Extract the features of every split into a store; a probe of the same settings finds it.

    Raises:
        InputError: If the settings, the data or the backbone are at fault.
    """
    settings = invocation.settings
    refuse_unwritable(store_folder(settings), option="--store-dir")
    accelerator = build_accelerator(device=settings.device, precision=settings.precision)
    task = load_probed_task(settings)
    backbone = load_probed_backbone(settings)
    refuse_bad_cache(settings, task, backbone)
    images = shrink_images(settings, task, backbone, accelerator)
    how = build_extraction(
        settings,
        accelerator,
        store="disk",
        with_patches=settings.patches,
        with_pooled=settings.pooled,
    )
    found = extract(backbone, images.task.data, task.rows, how=how, accelerator=accelerator)
    accelerator.end_training()
    folder = how.store_dir / found.key
    num_bytes = sum(path.stat().st_size for path in folder.iterdir())
    result_console(as_json=invocation.as_json).print(f"token store: {folder}", soft_wrap=True)
    return {
        "store": str(folder),
        "num_images": len(task.rows),
        "num_bytes": num_bytes,
        "layers": list(backbone.info.layers),
        "dtype": settings.store_dtype,
        "relative_error": found.relative_error,
        **images.facts,
        "was_cached": found.was_cached,
        "seconds": found.seconds,
    }


def load_probed_task(settings: FeatureSettings) -> Task:
    """Load, check and split the data of some settings."""
    return load_task(
        settings.data,
        label=settings.label,
        split_seed=settings.split_seed,
        folds=settings.folds,
        fold=settings.fold,
        splits_file=settings.splits,
        bad_files=settings.bad_files,
        premalignant_as=settings.premalignant_as,
    )


def load_probed_backbone(settings: FeatureSettings) -> Backbone:
    """Load the backbone of some settings and say what was loaded."""
    is_stand_in = settings.backbone is None
    name = settings.backbone or STAND_IN
    if settings.layers is not None:
        layers = "all" if "all" in settings.layers else ",".join(map(str, settings.layers))
        name += f"{'&' if '?' in name else '?'}layers={layers}"
    backbone = load_backbone(
        name,
        random_init=settings.random_init or is_stand_in,
        allow_partial=settings.allow_partial,
    )
    if settings.input == "imagenet" and not backbone.info.facts.architecture.startswith(OPEN_CLIP):
        own = backbone.info.preprocess
        fed = replace(IMAGENET_INPUT, image_size=own.image_size)
        backbone.info = replace(backbone.info, preprocess=fed)
    for line in backbone.info.describe():
        console.print(line)
    if backbone.info.receipt.is_random:
        why = "no --backbone was given" if is_stand_in else "--random-init"
        console.print(f"[bold red]RANDOM WEIGHTS[/] ({why}): the figures judge no trained encoder")
    return backbone


def store_folder(settings: FeatureSettings) -> Path:
    """Return where token stores lie."""
    return settings.store_dir or cache_folder() / "features"


def build_extraction(settings: FeatureSettings, accelerator: Accelerator, **how: Any) -> Extraction:
    """Return how features are extracted; `how` is forwarded to `Extraction`."""
    return Extraction(
        store_dir=store_folder(settings),
        dtype=settings.store_dtype,
        batch_size=settings.extract_batch_size,
        num_workers=choose_num_workers(settings.num_workers, accelerator),
        **how,
    )
