"""Small token stores, written without an encoder."""

from pathlib import Path

import torch

from toolkit_common.features.contract import Features
from toolkit_common.features.store import StoreSpec, StoreWriter

ROWS, SHARD_ROWS = 11, 4
SPEC = StoreSpec(
    encoder="e",
    layers=(2,),
    preprocess={"image_size": (8, 8)},
    images="i",
    num_images=ROWS,
    with_patches=False,
    with_pooled=False,
    dtype="fp32",
    precision="no",
)


def write_store(root: Path, spec: StoreSpec = SPEC, *, is_finished: bool = True) -> Path:
    """Write a store of three shards below a folder and return its own."""
    folder = root / spec.key()
    writer = StoreWriter(folder, spec, shard_rows=SHARD_ROWS)
    for shard in range(writer.num_shards):
        rows = min(SHARD_ROWS, ROWS - shard * SHARD_ROWS)
        writer.write(shard, {2: Features({"mean": torch.ones(rows, 3)}, None, (2, 3))})
    if is_finished:
        writer.finish()
    return folder
