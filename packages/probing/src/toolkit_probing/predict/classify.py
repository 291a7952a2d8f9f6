"""From images to a probe's probabilities, and to where its queries look.

Images are read, encoded and narrowed as the run did: its own test images get its own predictions.

Shapes: b images, n images in all, c classes, q queries, (gh, gw) patch grid.
"""

from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import Float

from toolkit_common.backbones.contract import Backbone
from toolkit_common.console import progress
from toolkit_common.data.loaders import choose_num_workers, chunks
from toolkit_common.errors import InputError
from toolkit_common.features.contract import Features, FeatureSource
from toolkit_common.features.encode import Extraction, OnlineSource, RowEncoder
from toolkit_common.runs.folder import RunFolder
from toolkit_probing.attention.maps import attention_maps
from toolkit_probing.heads.bank import SAMPLE
from toolkit_probing.heads.files import load_head
from toolkit_probing.heads.head import Head
from toolkit_probing.heads.inputs import base_of, is_of_tokens, read_inputs
from toolkit_probing.predict.saved_probe import SavedProbe
from toolkit_probing.predict.settings import PredictSettings
from toolkit_probing.probes import POOLS, AttentivePool
from toolkit_probing.task.beside import SourceBeside
from toolkit_probing.task.metadata import TaskMetadata, read_task_metadata
from toolkit_probing.task.shrunk import shrink_images
from toolkit_probing.task.task import Task


@dataclass(frozen=True)
class Answers:
    """What a probe says of some images, in their order.

    Attributes:
        probabilities: Of each class.
        peaks: Of each query: x and y of the centre of the patch it looks at most, as shares of the
            width and height of what the encoder sees, and its attention as a multiple of an even
            share; None where nobody asked.
    """

    probabilities: Float[np.ndarray, "n c"]
    peaks: Float[np.ndarray, "n q 3"] | None = None


def refuse_no_attention(probe: SavedProbe) -> None:
    """Refuse to say where a head looks that has no queries.

    Raises:
        InputError: If so.
    """
    if not issubclass(POOLS.get(probe.spec.method, Head), AttentivePool):
        raise InputError(
            f"head {probe.head.stem} has no attention maps, so that --attention has nothing to "
            "say: leave it out, or choose a row of an attentive probe (--row)"
        )


def classify(
    probe: SavedProbe,
    task: Task,
    backbone: Backbone,
    *,
    settings: PredictSettings,
    accelerator: Accelerator,
) -> Answers:
    """Let a probe predict the test split of a task.

    Raises:
        InputError: If an image does not decode, or the head does not fit or gives no finite number.
    """
    source = _features(probe, task, backbone, settings=settings, accelerator=accelerator)
    place, count = probe.spec.layer, len(task.rows)
    patches = is_of_tokens(probe.spec.source)
    sample = next(iter(source.iterate([np.arange(min(SAMPLE, count))], patches=patches)))
    _, head = load_head(probe.head, sample[place])
    head.to(accelerator.device)
    batches = chunks(np.arange(count), settings.extract_batch_size)
    probabilities, peaks = [], []
    with progress("predicting", count) as advance, torch.no_grad():
        for features in source.iterate(batches, patches=patches):
            here = features[place].to(accelerator.device)
            with accelerator.autocast():
                logits = head(*read_inputs(here, probe.spec.source))
            # In fp32: under autocast logits are half precision, and shares would not sum to 1.
            probabilities.append(logits.float().softmax(dim=1).cpu().numpy())
            if settings.attention:
                peaks.append(_peaks(head, here, probe.spec.source))
            advance(len(logits))
    answers = Answers(np.concatenate(probabilities), np.concatenate(peaks) if peaks else None)
    _refuse_not_finite(answers, probe, task)
    return answers


def _features(
    probe: SavedProbe,
    task: Task,
    backbone: Backbone,
    *,
    settings: PredictSettings,
    accelerator: Accelerator,
) -> FeatureSource:
    """Return what the head reads of the new images, made as the run made it of its own."""
    own, metadata = probe.settings, None
    if own.inputs != "image":
        metadata = _metadata(probe, task, settings)
        if metadata.is_all:
            return metadata.alone().source
    if own.augment == "crops" and own.cache_images is not None:
        task = shrink_images(own, task, backbone, accelerator=accelerator).task
    how = Extraction(
        store_dir=probe.run,  # nothing is kept
        with_patches=is_of_tokens(probe.spec.source),
        with_pooled=base_of(probe.spec.source) == "pooled",
        batch_size=settings.extract_batch_size,
        num_workers=choose_num_workers(settings.num_workers, accelerator),
    )
    encoder = RowEncoder(backbone, task.data, how, accelerator)
    # A tuned encoder's tokens were never kept.
    dtype = own.store_dtype if own.tune == "none" else None
    source = OnlineSource(encoder, task.rows, dtype=dtype)
    return source if metadata is None else SourceBeside(source, metadata.vectors)


def _metadata(probe: SavedProbe, task: Task, settings: PredictSettings) -> TaskMetadata:
    own = probe.settings
    if own.metadata is not None:
        raise InputError(
            f"the probe of {probe.run} read metadata from {own.metadata}, a file for its own "
            "images: --row takes another, or probe with metadata of the data set itself"
        )
    there = RunFolder(probe.run).where_it_began() if settings.backbone is None else nullcontext()
    own = own.model_copy(update={"hide_metadata": (0.0,)})  # of new images nothing is hidden
    if settings.backbone is not None:
        own = own.model_copy(update={"backbone": settings.backbone})
    with there:
        read = read_task_metadata(own, task)
    assert read is not None
    return read


def _peaks(head: Head, features: Features, source: str) -> np.ndarray:
    """Return where each query looks most, `(b, q, 3)` as in `Answers`."""
    height, width = features.grid
    maps = attention_maps(head, features, source)
    flat = maps.reshape(*maps.shape[:2], -1)
    at = flat.argmax(axis=-1)
    shares = flat.max(axis=-1) / flat.mean(axis=-1)
    return np.stack([(at % width + 0.5) / width, (at // width + 0.5) / height, shares], axis=-1)


def _refuse_not_finite(answers: Answers, probe: SavedProbe, task: Task) -> None:
    bad = ~np.isfinite(answers.probabilities).all(axis=1)
    if bad.any():
        name = task.data.table["image_id"].iloc[int(task.rows[int(bad.argmax())])]
        raise InputError(
            f"head {probe.head.stem} gives no finite probabilities for {int(bad.sum())} of "
            f"{len(bad)} images (first: {name}): its training diverged; choose another row (--row)"
        )
