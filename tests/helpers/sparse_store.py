"""A token store of any size whose files are holes: zeros that take no disk."""

import json
from dataclasses import asdict
from pathlib import Path

from toolkit_common.features.shards import TOKENS, VECTORS, checksum, shard_path
from toolkit_common.features.store import INDEX, VERSION, StoreSpec
from toolkit_common.runs.files import write_json

NAMES = ("mean", "cls", "mean_raw", "cls_raw", "pooled")


def write_sparse_store(
    folder: Path, spec: StoreSpec, *, tokens: int, width: int, shard_rows: int
) -> int:
    """Write a store in fp16 of one layer, and return the bytes that its files claim."""
    folder.mkdir(parents=True)
    sums: dict[str, str] = {}
    known: dict[tuple[str, int], str] = {}  # files of one size are alike
    claimed, (layer,) = 0, spec.layers
    for shard in range(-(-spec.num_images // shard_rows)):
        rows = min(shard_rows, spec.num_images - shard * shard_rows)
        shapes = {
            TOKENS: {f"{layer}.patches": ("F16", 2, [rows, tokens, width])},
            VECTORS: {f"{layer}.{name}": ("F32", 4, [rows, width]) for name in NAMES},
        }
        for kind, tensors in shapes.items():
            path = shard_path(folder, kind, shard)
            claimed += _write_hole(path, tensors, grids={str(layer): [14, 14]})
            if (kind, rows) not in known:
                known[kind, rows] = checksum(path)
            sums[path.name] = known[kind, rows]
    index = {"version": VERSION, "spec": asdict(spec), "shard_rows": shard_rows, "shards": sums}
    write_json(folder / INDEX, index)
    return claimed


def _write_hole(
    path: Path, tensors: dict[str, tuple[str, int, list[int]]], *, grids: dict[str, list[int]]
) -> int:
    """Write a safetensors file without its numbers."""
    header, at = dict[str, object](__metadata__={"grids": json.dumps(grids)}), 0
    for name, (dtype, itemsize, shape) in tensors.items():
        size = itemsize
        for count in shape:
            size *= count
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + at)
    return at
