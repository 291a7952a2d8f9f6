"""One pass of the frozen encoder over a list of images: into a store, into memory, or every epoch.

Ranks share the pass shard by shard; a killed pass continues with the shards that are missing.
"""

import hashlib
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from toolkit_common.backbones.base import Backbone
from toolkit_common.data.base import ImageData
from toolkit_common.data.loaders import chunks
from toolkit_common.features.base import Features, FeatureSource, LayerFeatures
from toolkit_common.features.codec import StoreDtype, bytes_per_image, narrow, relative_error
from toolkit_common.features.online import (
    CropSource,
    Extraction,
    OnlineSource,
    RowEncoder,
    concatenate,
)
from toolkit_common.features.planner import (
    Place,
    describe_plan,
    plan_extraction,
    size,
)
from toolkit_common.features.store import (
    INDEX,
    MemoryStore,
    StoreSpec,
    StoreWriter,
    TokenStore,
)
from toolkit_common.training.progress import console, progress

SHARD_BYTES = 1 << 27


@dataclass(frozen=True)
class Extracted:
    """Where the features are and what getting them took.

    Attributes:
        source: Random access to them.
        place: Where they are.
        was_cached: Whether a store from before served.
        seconds: Wall time of the extraction.
        key: The store's key.
        crops: Features of random crops of the same images, where they were asked for.
        relative_error: What keeping patch tokens in the store's dtype changes them by, measured on
            the first batch; None where nothing was extracted.
    """

    source: FeatureSource
    place: Place
    was_cached: bool
    seconds: float
    key: str
    crops: CropSource | None = None
    relative_error: float | None = None


def extract(
    backbone: Backbone,
    data: ImageData,
    rows: np.ndarray,
    *,
    how: Extraction,
    accelerator: Accelerator,
) -> Extracted:
    """Return the features of `rows`, in their order; takes them from a store if there is one.

    Raises:
        InputError: If tokens do not fit the store's dtype, or a stored shard is damaged.
    """
    start = time.perf_counter()
    spec = _spec(backbone, data, rows, how=how, accelerator=accelerator)
    encoder = RowEncoder(backbone, data, how, accelerator)
    crops = CropSource(encoder, rows) if how.random_crops else None
    if crops:
        console.print("features: training runs the encoder on new crops of its images every epoch")
    hit = _find_store(spec, how.store_dir) if how.store in ("auto", "disk") else None
    if hit is not None:
        in_memory = _fits_memory(hit, accelerator)
        console.print(f"features: stored ones serve, {hit}")
        stored = TokenStore(hit, in_memory=in_memory)
        return Extracted(stored, "disk", True, time.perf_counter() - start, hit.name, crops)
    sample, per_image = encoder.time_one_batch(rows)
    shapes = {
        layer: (kept.grid[0] * kept.grid[1], kept.vectors["mean"].shape[1])
        for layer, kept in sample.items()
    }
    row_bytes = bytes_per_image(shapes, dtype=how.dtype, with_patches=how.with_patches)
    plan = plan_extraction(
        row_bytes * len(rows),
        choice=how.store,
        folder=how.store_dir,
        num_processes=accelerator.num_processes,
    )
    plan = broadcast_object_list([plan])[0]  # free space differs by the moment: one rank decides
    tokens_per_image = sum(patches for patches, _ in shapes.values()) if how.with_patches else 1
    seconds = per_image * len(rows) / accelerator.num_processes
    described = describe_plan(
        plan, num_images=len(rows), tokens_per_image=tokens_per_image, seconds=seconds
    )
    console.print(f"features: {described}")
    error = relative_error([kept.patches for kept in sample.values()], how.dtype)
    if error:
        console.print(f"features: {how.dtype} changes patch tokens by {error:.2g} of their norm")
    source: FeatureSource
    if plan.place == "online":
        source = OnlineSource(encoder, rows)
    elif plan.place == "memory":
        source = _extract_to_memory(encoder, rows, how.dtype)
    else:
        folder = how.store_dir / spec.key()
        shard_rows = max(1, min(4096, SHARD_BYTES // row_bytes))
        _extract_to_disk(encoder, rows, StoreWriter(folder, spec, shard_rows=shard_rows))
        source = TokenStore(folder, in_memory=plan.in_memory)
        console.print(f"features: kept in {folder} ({size(plan.num_bytes)})")
    return Extracted(
        source, plan.place, False, time.perf_counter() - start, spec.key(), crops, error
    )


def _extract_to_memory(encoder: RowEncoder, rows: np.ndarray, dtype: StoreDtype) -> MemoryStore:
    parts = []
    with progress("extracting features", len(rows)) as advance:
        for batch in encoder.batches(rows):
            parts.append(_to_kept(batch, dtype))
            advance(len(next(iter(batch.values())).vectors["mean"]))
    return MemoryStore(concatenate(parts), len(rows))


def _extract_to_disk(encoder: RowEncoder, rows: np.ndarray, writer: StoreWriter) -> None:
    accelerator = encoder.accelerator
    mine = range(accelerator.process_index, writer.num_shards, accelerator.num_processes)
    pieces = chunks(rows, writer.shard_rows)
    with progress("extracting features", sum(len(pieces[shard]) for shard in mine)) as advance:
        for shard in mine:
            if writer.has(shard):
                advance(len(pieces[shard]))
                continue
            parts = []
            for batch in encoder.batches(pieces[shard]):
                parts.append({layer: _to_cpu(kept) for layer, kept in batch.items()})
                advance(len(next(iter(batch.values())).vectors["mean"]))
            writer.write(shard, concatenate(parts))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        writer.finish()
    accelerator.wait_for_everyone()


def _spec(
    backbone: Backbone,
    data: ImageData,
    rows: np.ndarray,
    *,
    how: Extraction,
    accelerator: Accelerator,
) -> StoreSpec:
    keys = data.image_keys
    images = hashlib.sha256("\n".join(keys[int(row)] for row in rows).encode())
    return StoreSpec(
        encoder=backbone.fingerprint(),
        layers=backbone.info.layers,
        preprocess=asdict(backbone.info.preprocess),
        images=images.hexdigest(),
        num_images=len(rows),
        with_patches=how.with_patches,
        with_pooled=how.with_pooled,
        dtype=how.dtype,
        precision=str(accelerator.mixed_precision),
    )


def _find_store(spec: StoreSpec, root: Path) -> Path | None:
    """A store that also holds patch tokens serves where vectors are asked for."""
    for candidate in (spec, spec.with_all_tokens()):
        folder = root / candidate.key()
        if (folder / INDEX).exists():
            return folder
    return None


def _fits_memory(folder: Path, accelerator: Accelerator) -> bool:
    num_bytes = sum(path.stat().st_size for path in folder.glob("tokens-*.safetensors"))
    plan = plan_extraction(
        num_bytes, choice="disk", folder=folder, num_processes=accelerator.num_processes
    )
    return plan.in_memory


def _to_kept(batch: LayerFeatures, dtype: StoreDtype) -> LayerFeatures:
    kept_dtype: StoreDtype = "fp16" if dtype == "int8" else dtype
    on_cpu = {layer: _to_cpu(kept) for layer, kept in batch.items()}
    return {
        layer: Features(
            kept.vectors,
            None if kept.patches is None else narrow(kept.patches, kept_dtype),
            kept.grid,
        )
        for layer, kept in on_cpu.items()
    }


def _to_cpu(kept: Features) -> Features:
    return kept.to("cpu")
