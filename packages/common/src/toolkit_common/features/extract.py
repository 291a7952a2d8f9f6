"""One pass of the frozen encoder over a list of images: into a store, into memory, or every epoch.

Ranks share the pass shard by shard; a killed pass continues with the shards that are missing.
"""

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import Tensor
from torch.utils.data import DataLoader

from toolkit_common.backbones.base import Backbone
from toolkit_common.data.base import ImageData
from toolkit_common.data.loaders import ImageRows, build_loader, chunks
from toolkit_common.data.transforms import build_eval_transform
from toolkit_common.features.base import Features, FeatureSource, LayerFeatures, features_of
from toolkit_common.features.codec import StoreDtype, bytes_per_image, narrow
from toolkit_common.features.planner import (
    Place,
    PlaceChoice,
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
class Extraction:
    """How to extract; see `toolkit probe --help` for the options behind it.

    Attributes:
        store_dir: Where stores lie.
        store: Where tokens go.
        dtype: How patch tokens are kept.
        with_patches: Whether patch tokens are wanted, or vectors suffice.
        with_pooled: Whether the encoder's own pooled output is wanted.
        batch_size: Images a forward pass.
        num_workers: Processes that decode images.
    """

    store_dir: Path
    store: PlaceChoice = "auto"
    dtype: StoreDtype = "fp16"
    with_patches: bool = True
    with_pooled: bool = False
    batch_size: int = 64
    num_workers: int = 0


@dataclass(frozen=True)
class Extracted:
    """Where the features are and what getting them took.

    Attributes:
        source: Random access to them.
        place: Where they are.
        was_cached: Whether a store from before served.
        seconds: Wall time of the extraction.
        key: The store's key.
    """

    source: FeatureSource
    place: Place
    was_cached: bool
    seconds: float
    key: str


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
    hit = _find_store(spec, how.store_dir) if how.store in ("auto", "disk") else None
    if hit is not None:
        in_memory = _fits_memory(hit, accelerator)
        console.print(f"features: stored ones serve, {hit}")
        stored = TokenStore(hit, in_memory=in_memory)
        return Extracted(stored, "disk", True, time.perf_counter() - start, hit.name)
    backbone.to(accelerator.device)
    encoder = _Encoder(backbone, data, how, accelerator)
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
    source: FeatureSource
    if plan.place == "online":
        source = OnlineSource(encoder, rows)
    elif plan.place == "memory":
        source = _extract_to_memory(encoder, rows)
    else:
        folder = how.store_dir / spec.key()
        shard_rows = max(1, min(4096, SHARD_BYTES // row_bytes))
        _extract_to_disk(encoder, rows, StoreWriter(folder, spec, shard_rows=shard_rows))
        source = TokenStore(folder, in_memory=plan.in_memory)
        console.print(f"features: kept in {folder} ({size(plan.num_bytes)})")
    return Extracted(source, plan.place, False, time.perf_counter() - start, spec.key())


class _Encoder:
    """Rows of a data set -> features, with the loader and precision of one extraction."""

    def __init__(
        self, backbone: Backbone, data: ImageData, how: Extraction, accelerator: Accelerator
    ) -> None:
        self.backbone = backbone
        self.data = data
        self.how = how
        self.accelerator = accelerator
        self.transform = build_eval_transform(backbone.info.preprocess)

    def encode(self, images: Tensor) -> LayerFeatures:
        """Uint8 images -> features on the CPU."""
        batch = images.to(self.accelerator.device, non_blocking=True)
        with torch.inference_mode(), self.accelerator.autocast():
            normalised = self.backbone.info.preprocess.normalize(batch)
            layers = self.backbone.forward_layers(normalised, pooled=self.how.with_pooled)
            facts = self.backbone.info.facts
            kept = [features_of(item, facts, with_patches=self.how.with_patches) for item in layers]
        return dict(zip(self.backbone.info.layers, kept, strict=True))

    def batches(self, rows: np.ndarray) -> Iterator[LayerFeatures]:
        loader = build_loader(
            self.data,
            rows,
            transform=self.transform,
            batch_size=self.how.batch_size,
            num_workers=self.how.num_workers,
        )
        for batch in loader:
            yield self.encode(batch["image"])

    def time_one_batch(self, rows: np.ndarray) -> tuple[LayerFeatures, float]:
        """Return the features of a first small batch and the seconds an image takes."""
        few = rows[: min(len(rows), self.how.batch_size, 16)]
        next(self.batches(few[:1]))  # builds caches, picks kernels
        start = time.perf_counter()
        sample = next(self.batches(few))
        return sample, (time.perf_counter() - start) / len(few)


class OnlineSource:
    """Runs the encoder for every batch anew; keeps nothing."""

    def __init__(self, encoder: _Encoder, rows: np.ndarray) -> None:
        self._encoder = encoder
        self._rows = rows
        self._images = ImageRows(encoder.data, rows, encoder.transform)

    def __len__(self) -> int:
        return len(self._rows)

    def iterate(self, batches: Sequence[np.ndarray]) -> Iterator[LayerFeatures]:
        """Yield the features of each batch of positions."""
        loader: DataLoader[dict[str, Tensor]] = DataLoader(
            self._images,
            batch_sampler=[batch.tolist() for batch in batches],
            num_workers=self._encoder.how.num_workers,
        )
        for batch in loader:
            found = self._encoder.encode(batch["image"])
            # Tensors made in inference mode cannot be saved for a head's backward: copy them.
            yield {layer: _clone(kept) for layer, kept in found.items()}


def _extract_to_memory(encoder: _Encoder, rows: np.ndarray) -> MemoryStore:
    parts = []
    with progress("extracting features", len(rows)) as advance:
        for batch in encoder.batches(rows):
            parts.append(_to_kept(batch, encoder.how.dtype))
            advance(len(next(iter(batch.values())).vectors["mean"]))
    return MemoryStore(_concatenate(parts), len(rows))


def _extract_to_disk(encoder: _Encoder, rows: np.ndarray, writer: StoreWriter) -> None:
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
            writer.write(shard, _concatenate(parts))
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


def _clone(kept: Features) -> Features:
    vectors = {name: vector.clone() for name, vector in kept.vectors.items()}
    return Features(vectors, None if kept.patches is None else kept.patches.clone(), kept.grid)


def _concatenate(parts: Sequence[LayerFeatures]) -> LayerFeatures:
    joined = {}
    for layer, first in parts[0].items():
        vectors = {
            name: torch.cat([part[layer].vectors[name] for part in parts]) for name in first.vectors
        }
        patches = [part[layer].patches for part in parts]
        together = (
            torch.cat([item for item in patches if item is not None])
            if patches[0] is not None
            else None
        )
        joined[layer] = Features(vectors, together, first.grid)
    return joined
