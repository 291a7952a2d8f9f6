"""One pass of the frozen encoder over a list of images: into a store, into memory, or every epoch.

Ranks share the pass shard by shard; a killed pass continues with the shards that are missing.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from toolkit_common.backbones.contract import Backbone
from toolkit_common.console import console, progress
from toolkit_common.data.dataset import ImageData
from toolkit_common.data.loaders import chunks
from toolkit_common.errors import InputError
from toolkit_common.features.codec import bytes_per_image, keep, relative_error
from toolkit_common.features.contract import (
    EpochSource,
    FeatureSource,
    LayerFeatures,
    concatenate,
)
from toolkit_common.features.encode import (
    CropSource,
    Extraction,
    OnlineSource,
    RowEncoder,
    ViewSource,
)
from toolkit_common.features.finite import find_equal, row_names
from toolkit_common.features.inventory import open_for_use
from toolkit_common.features.planner import (
    Place,
    Plan,
    duration,
    plan_extraction,
    price_dtypes,
    price_places,
    refuse_no_room,
    size,
)
from toolkit_common.features.shards import SHARDS, VECTORS, num_bytes_written
from toolkit_common.features.store import (
    MemoryStore,
    StoreWriter,
    TokenStore,
    find_store,
)
from toolkit_common.printable import counted
from toolkit_common.training.distributed import on_main

# 128 MiB: what a rank holds while it fills a shard, and what a killed one loses.
SHARD_BYTES = 1 << 27


@dataclass(frozen=True)
class Extracted:
    """Where the features are and what getting them took.

    Attributes:
        source: Random access to them.
        place: Where they are.
        was_cached: Whether a store from before served.
        key: The store's key.
        seconds: Wall time of the extraction.
        crops: Features of random crops of the same images, where they were requested.
        relative_error: What keeping patch tokens in the store's dtype changes them by, measured on
            the first batch; None where nothing was extracted.
        equal: What is to be said where they are the same for every image.
    """

    source: FeatureSource
    place: Place
    was_cached: bool
    key: str
    seconds: float = 0.0
    crops: EpochSource | None = None
    relative_error: float | None = None
    equal: str = ""

    @property
    def facts(self) -> dict[str, Any]:
        """What results say of it."""
        return {
            "place": self.place,
            "was_cached": self.was_cached,
            "seconds": self.seconds,
            "relative_error": self.relative_error,
            "store": self.key,
        }


def extract(
    backbone: Backbone,
    data: ImageData,
    rows: np.ndarray,
    *,
    how: Extraction,
    accelerator: Accelerator,
    train: np.ndarray | None = None,
) -> Extracted:
    """Return the features of `rows`, in their order; takes them from a store if there is one.

    Args:
        backbone: The encoder.
        data: The data set.
        rows: Which of its rows.
        how: How to extract, and what will read the features.
        accelerator: Where.
        train: Positions in `rows` of the training images, for `how.views`; all when not given.

    Raises:
        InputError: If tokens do not fit the store's dtype, a stored shard is damaged, or streamed
            images would be read in any order but theirs.
    """
    start = time.perf_counter()
    # Epochs are shuffled, and their crops are cut when they are read.
    if data.is_streamed and how.random_crops:
        raise InputError(f"{data.id} is streamed, in its order only: leave out --augment crops")
    encoder = RowEncoder(backbone, data, how, accelerator)
    kept = _keep(encoder, rows)
    equal = find_equal(kept.source, batch_size=how.batch_size)
    if equal:
        console.print(equal, style="bold red")
    crops: EpochSource | None = None
    if how.random_crops and how.views:
        # Heads train on training rows alone: nobody reads crops of the others.
        of = np.arange(len(rows)) if train is None else train
        views = [_keep(encoder, rows[of], view).source for view in range(how.views)]
        crops = ViewSource(views, of)
    elif how.random_crops:
        _, per_image = encoder.time_one_batch(rows)
        took = duration(per_image * how.train_reads / accelerator.num_processes)
        console.print(
            f"features: training runs the encoder on new crops of its images every epoch, about "
            f"{took} in all (--views K keeps K crops of each)"
        )
        crops = CropSource(encoder, rows)
    return replace(kept, seconds=time.perf_counter() - start, crops=crops, equal=equal)


def _keep(encoder: RowEncoder, rows: np.ndarray, view: int | None = None) -> Extracted:
    """Find the features of rows, or one random crop of each, in a store, or extract them."""
    how = encoder.how
    spec = encoder.store_spec(rows, view)
    name_row = row_names(encoder.data, rows)
    hit = find_store(spec, how.store_dir) if how.store in ("auto", "disk") else None
    named = {"backbone": encoder.backbone.info.id, "data": encoder.data.id}
    if hit is not None:
        open_for_use(hit, **named)
        # Several views are read in turn: each would think that memory is its own.
        in_memory = view is None and _fits_memory(hit, encoder)
        console.print(f"{_name(how, view)}: stored ones serve, {hit}")
        stored = TokenStore(hit, in_memory=in_memory, name_row=name_row)
        return Extracted(stored, "disk", True, hit.name)
    plan, row_bytes, error = _plan(encoder, rows, view)
    # Of vectors a row is so small that one shard might hold the whole set: a kill would lose all.
    shard_rows = max(1, min(4096, SHARD_BYTES // row_bytes))
    source: FeatureSource
    if plan.place == "online":
        source = OnlineSource(encoder, rows, view, dtype=how.dtype)
    elif plan.place == "memory":
        source = _extract_to_memory(encoder, rows, shard_rows, view=view)
    else:
        folder = how.store_dir / spec.key()
        writer = StoreWriter(folder, spec, shard_rows=shard_rows)
        open_for_use(folder, **named)
        _extract_to_disk(encoder, rows, writer, view=view)
        in_memory = plan.in_memory and view is None
        source = TokenStore(folder, in_memory=in_memory, name_row=name_row)
        console.print(f"{_name(how, view)}: kept in {folder} ({size(plan.num_bytes)})")
    return Extracted(source, plan.place, False, spec.key(), relative_error=error)


def _plan(
    encoder: RowEncoder, rows: np.ndarray, view: int | None
) -> tuple[Plan, int, float | None]:
    """Choose a place after one batch, print it, and return it, an image's bytes and the error."""
    how, accelerator = encoder.how, encoder.accelerator
    # Token shapes are known from a forward pass alone; how long it takes comes with it.
    sample, per_image = encoder.time_one_batch(rows)
    shapes = {
        # The mean is there whether patches are kept or not.
        layer: (kept.grid[0] * kept.grid[1], kept.vectors["mean"].shape[1])
        for layer, kept in sample.items()
    }
    row_bytes = bytes_per_image(shapes, dtype=how.dtype, with_patches=how.with_patches)
    num_bytes = row_bytes * len(rows)
    written = num_bytes_written(how.store_dir / encoder.store_spec(rows, view).key())
    plan = plan_extraction(
        num_bytes, choice=how.store, folder=how.store_dir, written=written,
        num_processes=accelerator.num_processes,
    )  # fmt: skip
    plan = broadcast_object_list([plan])[0]  # free space differs by the moment: one rank decides
    tokens = sum(patches for patches, _ in shapes.values()) if how.with_patches else 1
    seconds = per_image / accelerator.num_processes
    # With crops of their own, heads never train on what is extracted here: the rest reads it.
    reads = how.other_reads + (0 if how.random_crops else how.train_reads)
    console.print(
        f"{_name(how, view)}: {counted(len(rows), 'image')} x {tokens} tokens = "
        f"{size(num_bytes)}, about "
        f"{duration(seconds * len(rows))} to extract; "
        + (f"tokens go to {plan.place}: {plan.reason}" if reads else "change with --store-dtype")
    )
    # Once a run: the views that follow cost what the first does.
    if reads and view is None:
        _show_prices(plan, encoder, shapes, num_images=len(rows), per_image=seconds, reads=reads)
    # After the prices, to be weighed against them.
    _refuse_unkept_stream(plan, encoder)
    on_main(accelerator, lambda: refuse_no_room(plan.place, num_bytes, folder=how.store_dir,
                                                written=written))  # fmt: skip
    # Of 16 images at most, but before hours are spent: who minds stops here.
    error = relative_error([kept.patches for kept in sample.values()], how.dtype)
    if error and view is None:
        console.print(f"features: {how.dtype} changes patch tokens by {error:.2g} of their norm")
    return plan, row_bytes, error


def _show_prices(
    plan: Plan,
    encoder: RowEncoder,
    shapes: Mapping[int, tuple[int, int]],
    *,
    num_images: int,
    per_image: float,
    reads: int,
) -> None:
    """Print what each place and each dtype would cost."""
    how, num_processes = encoder.how, encoder.accelerator.num_processes
    # int8 last: it alone loses what a head may notice.
    sizes = {
        dtype: num_images * bytes_per_image(shapes, dtype=dtype, with_patches=how.with_patches)
        for dtype in dict.fromkeys([how.dtype, "bf16", "int8"])
    }
    lines = price_places(
        plan, sizes[how.dtype], seconds=per_image * num_images, online_seconds=per_image * reads,
        folder=how.store_dir,
    )  # fmt: skip
    if how.with_patches:  # vectors are in fp32 whatever it is
        lines.append(
            price_dtypes(sizes, how.dtype, folder=how.store_dir, num_processes=num_processes)
        )
    for line in [*lines, "  (change with --store, --store-dtype)"]:
        console.print(line)


def _refuse_unkept_stream(plan: Plan, encoder: RowEncoder) -> None:
    if plan.place == "online" and encoder.data.is_streamed:
        raise InputError(
            f"{encoder.data.id} is streamed, once and in its order: its tokens must be kept "
            f"({plan.reason}); choose --store disk or memory, --store-dtype int8, or methods that "
            "read vectors alone"
        )


def _name(how: Extraction, view: int | None) -> str:
    return "features" if view is None else f"features of crop {view + 1} of {how.views}"


def _extract_to_memory(
    encoder: RowEncoder, rows: np.ndarray, shard_rows: int, *, view: int | None
) -> MemoryStore:
    """Extract in the pieces that a store would have: the encoder sees the same batches."""
    # Another size of batch may take another kernel: bits would depend on where tokens go.
    pieces = chunks(np.arange(len(rows)), shard_rows)
    with progress("extracting features", len(rows)) as advance:
        return MemoryStore(concatenate([*_kept(encoder, rows, pieces, view=view, advance=advance)]))


def _extract_to_disk(
    encoder: RowEncoder, rows: np.ndarray, writer: StoreWriter, *, view: int | None
) -> None:
    accelerator = encoder.accelerator
    # In turn, not in blocks: what a killed pass left undone is still shared about evenly.
    mine = range(accelerator.process_index, writer.num_shards, accelerator.num_processes)
    pieces = chunks(np.arange(len(rows)), writer.shard_rows)
    missing = [shard for shard in mine if not writer.has(shard)]
    wanted = [pieces[shard] for shard in missing]
    total = sum(len(pieces[shard]) for shard in mine)
    with progress("extracting features", total) as advance:
        advance(total - sum(map(len, wanted)))
        for shard, kept in zip(
            missing, _kept(encoder, rows, wanted, view=view, advance=advance), strict=True
        ):
            writer.write(shard, kept)
    accelerator.wait_for_everyone()  # the index claims all shards
    on_main(accelerator, writer.finish)  # nobody opens the store before it


def _kept(
    encoder: RowEncoder,
    rows: np.ndarray,
    pieces: Sequence[np.ndarray],
    *,
    view: int | None,
    advance: Callable[[int], None],
) -> Iterator[LayerFeatures]:
    """Yield the kept features of each piece of positions in `rows`."""
    batches = [chunks(piece, encoder.how.batch_size) for piece in pieces]
    # One loader for all: its workers start once, and decode ahead across the ends of pieces.
    encoded = encoder.in_batches(
        encoder.images(rows, view), [batch for piece in batches for batch in piece]
    )
    for piece in batches:
        parts: list[LayerFeatures] = []
        for batch in piece:
            # Narrowed on the device: fewer bytes to move, and to hold until the shard is full.
            kept = keep(next(encoded), encoder.how.dtype)
            parts.append({layer: item.to("cpu") for layer, item in kept.items()})
            advance(len(batch))
        yield concatenate(parts)


def _fits_memory(folder: Path, encoder: RowEncoder) -> bool:
    # The disk is taken already: all that is asked is whether a copy fits into memory.
    files = SHARDS if encoder.how.with_patches else f"{VECTORS}-{SHARDS}"
    num_bytes = sum(path.stat().st_size for path in folder.glob(files))
    num_processes = encoder.accelerator.num_processes
    plan = plan_extraction(num_bytes, choice="disk", folder=folder, num_processes=num_processes)
    return plan.in_memory
