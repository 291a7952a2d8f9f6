"""The files of a shard: vectors and patch tokens apart, each whole or absent, with its checksum.

Vectors are a thousand times smaller than the tokens of the same rows: who reads vectors alone opens
their file alone.
"""

import hashlib
import json
from pathlib import Path

import xxhash
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from toolkit_common.errors import InputError
from toolkit_common.features.contract import PATCHES, SCALE, Grids, LayerFeatures, flatten
from toolkit_common.foreign.values import checked, parse_json, refuse_pipe
from toolkit_common.outside import is_of_machine, reason_of
from toolkit_common.runs.files import atomic_path, write_text

SHARDS = "*.safetensors"
VECTORS = "vectors"  # how names of files begin
TOKENS = "tokens"
DIGITS = 32  # of a checksum

_Grids = dict[int, tuple[int, int]]  # as a file says them


def shard_path(folder: Path, kind: str, shard: int) -> Path:
    """Return where the vectors or the tokens of a shard lie."""
    return folder / f"{kind}-{shard:05d}.safetensors"


def holds_patches(name: str) -> bool:
    """Whether a tensor `LAYER.NAME` is part of the patch tokens, and no vector."""
    return name.partition(".")[2] in (PATCHES, SCALE)


def write_shard(folder: Path, shard: int, features: LayerFeatures) -> None:
    """Write the kept features of a shard's rows."""
    tensors = flatten(features)
    # A shard's metadata hold strings alone, and a grid cannot be had from the number of tokens.
    grids = json.dumps({str(layer): item.grid for layer, item in features.items()})
    for kind in (TOKENS, VECTORS):
        own = {
            name: item for name, item in tensors.items() if holds_patches(name) == (kind == TOKENS)
        }
        if not own:
            continue
        path = shard_path(folder, kind, shard)
        with atomic_path(path) as temporary:
            save_file(own, temporary, metadata={"grids": grids})
            written = checksum(temporary)
        write_text(path.with_suffix(".xxh3"), written)


def is_whole(path: Path) -> bool:
    """Whether a file of a shard is there, as it was written."""
    # The shard is written first and the checksum second: killed in between, it is written again.
    return path.exists() and shard_checksum(path) == checksum(path)


def num_bytes_written(folder: Path) -> int:
    """Return the size of the shards of a store, whether it is finished, cut short or not there."""
    return sum(path.stat().st_size for path in folder.glob(SHARDS))


def read_shard(path: Path, expected: str) -> tuple[dict[str, Tensor], Grids]:
    """Return a file's tensors, mapped from disk, and the patch grids.

    Args:
        path: The file.
        expected: Its checksum.

    Raises:
        InputError: If it is gone, cut short, or not as it was written.
    """
    try:
        # safetensors does not notice a flipped byte (docs/traps.md 9).
        is_as_written = checksum(path) == expected
    except (OSError, InputError) as error:
        if is_of_machine(error):
            raise
        raise InputError(_damaged(path, reason_of(error))) from error
    if not is_as_written:
        raise InputError(_damaged(path, "its checksum differs"))
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            described = (file.metadata() or {})["grids"]
        grids: _Grids = checked(_Grids, parse_json(described, "its grids"), "its grids")
    # Gone, or cut short: what is left does not even open.
    except (OSError, SafetensorError, LookupError, InputError) as error:
        if is_of_machine(error):  # of which nothing follows for the file
            raise
        raise InputError(_damaged(path, reason_of(error))) from error
    return tensors, dict(grids)


def shard_checksum(path: Path) -> str | None:
    """Return the checksum that a file was written with; None where it was cut short."""
    beside = path.with_suffix(".xxh3")
    if not beside.is_file():
        return None
    with beside.open("rb") as file:  # what is longer, or no text, is none of any file
        return file.read(DIGITS + 1).decode(errors="replace")


def checksum(path: Path) -> str:
    """Return the hex xxh3 of a file's bytes."""
    # Against damage, not malice: sha256 would cost more than reading the tokens.
    refuse_pipe(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, xxhash.xxh3_128).hexdigest()


def _damaged(path: Path, why: str) -> str:
    return f"token store shard {path} is damaged ({why}): delete {path.parent} and run again"
