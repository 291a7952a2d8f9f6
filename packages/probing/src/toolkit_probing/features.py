"""`toolkit features`: a backbone's tokens of a data set, computed once and kept for every probe."""

from dataclasses import replace
from typing import Any

from toolkit_common.config import Invocation
from toolkit_common.console import result_console
from toolkit_common.features.extract import extract
from toolkit_common.runs.files import refuse_unwritable
from toolkit_common.training.distributed import build_accelerator
from toolkit_probing.settings import ExtractSettings
from toolkit_probing.task.encoder import build_extraction, load_probed_backbone, store_folder
from toolkit_probing.task.shrunk import refuse_bad_cache, shrink_images
from toolkit_probing.task.task import look_at_images, read_task


def run_features(invocation: Invocation[ExtractSettings]) -> dict[str, Any]:
    """Extract the features of every split into a store; a probe of the same settings finds it.

    Raises:
        InputError: If the settings, the data or the backbone are at fault.
    """
    settings = invocation.settings
    if settings.is_every_fold:  # the rows are those of any fold
        settings = settings.model_copy(update={"fold": 0})
    refuse_unwritable(store_folder(settings), option="--store-dir")
    accelerator = build_accelerator(device=settings.device, precision=settings.precision)
    task = read_task(settings)
    backbone = load_probed_backbone(settings)
    refuse_bad_cache(settings, task, backbone)
    task = look_at_images(task, settings)  # last, as that may take long
    images = shrink_images(settings, task, backbone, accelerator=accelerator)
    how = replace(
        build_extraction(settings, accelerator),
        store="disk",
        with_patches=settings.patches,
        with_pooled=settings.pooled,
    )
    extracted = extract(backbone, images.task.data, task.rows, how=how, accelerator=accelerator)
    accelerator.end_training()
    folder = how.store_dir / extracted.key
    num_bytes = sum(path.stat().st_size for path in folder.iterdir())
    result_console(as_json=invocation.as_json).print(f"token store: {folder}", soft_wrap=True)
    return {
        "store": str(folder),
        "num_images": len(task.rows),
        "num_bytes": num_bytes,
        "layers": list(backbone.info.layers),
        "dtype": settings.store_dtype,
        "relative_error": extracted.relative_error,
        **images.facts,
        "was_cached": extracted.was_cached,
        "seconds": extracted.seconds,
    }
