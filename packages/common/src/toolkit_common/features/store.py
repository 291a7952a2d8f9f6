"""The token store: frozen features on disk, in shards, keyed by what made them.

A store is a folder named after the hash of its specification (encoder weights, layers, transform,
images, dtype), so that a changed transform or weight can never meet old features
(docs/traps.md 14). Shards are written atomically by any rank; `index.json` comes last and marks
the store complete. A shard is checked against its checksum when it is first read
(docs/traps.md 9).
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xxhash
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from toolkit_common.errors import InputError
from toolkit_common.features.codec import StoreDtype, decode
from toolkit_common.features.contract import PATCHES, SCALE, Features, LayerFeatures, flatten
from toolkit_common.features.finite import refuse_not_finite
from toolkit_common.runs.files import atomic_path, read_json, write_json, write_text

# Part of every key: raise it when shards are laid out anew, and old stores are never opened.
VERSION = 3
INDEX = "index.json"
LAYOUT = "layout.json"

Grids = dict[int, tuple[int, int]]  # by layer


@dataclass(frozen=True)
class StoreSpec:
    """Everything that determines the contents of a store.

    Attributes:
        encoder: Hash of the encoder's weights.
        layers: Layers read, ascending.
        preprocess: The transform's settings.
        images: Hash of the images, in order.
        num_images: How many they are.
        with_patches: Whether patch tokens are kept beside the vectors.
        with_pooled: Whether the encoder's own pooled output is among the vectors.
        dtype: How patch tokens are kept; `int8` has one fp16 scale a token.
        precision: Arithmetic of the encoder's forward pass.
        crop: Which random crop of each image it is, or None for the images as they are.
    """

    encoder: str
    layers: tuple[int, ...]
    preprocess: Mapping[str, Any]
    images: str
    num_images: int
    with_patches: bool
    with_pooled: bool
    dtype: StoreDtype
    precision: str
    crop: Mapping[str, Any] | None = None

    def key(self) -> str:
        """Return the store's name."""
        # `preprocess` is a mapping of the encoder's: its order must not make another key.
        text = json.dumps({"version": VERSION, **asdict(self)}, sort_keys=True)
        # 128 bits: more than enough, in a name one can read.
        return hashlib.sha256(text.encode()).hexdigest()[:32]


class StoreWriter:
    """Writes the shards of one store; several ranks may write different shards at once."""

    def __init__(self, folder: Path, spec: StoreSpec, *, shard_rows: int) -> None:
        self.folder = folder
        self.spec = spec
        self.shard_rows = shard_rows
        folder.mkdir(parents=True, exist_ok=True)
        self._check_layout()

    @property
    def num_shards(self) -> int:
        """How many shards the store will have."""
        return -(-self.spec.num_images // self.shard_rows)  # rounded up

    def has(self, shard: int) -> bool:
        """Whether a shard is there and whole."""
        # `write` makes the shard first and the checksum second: killed in between, it is written
        # again.
        path = _shard_path(self.folder, shard)
        return path.exists() and shard_checksum(path) == checksum(path)

    def write(self, shard: int, features: LayerFeatures) -> None:
        """Write the kept features of rows `shard * shard_rows` and following."""
        path = _shard_path(self.folder, shard)
        # A shard's metadata hold strings alone, and a grid cannot be had from the number of tokens.
        grids = {str(layer): item.grid for layer, item in features.items()}
        with atomic_path(path) as temporary:
            save_file(flatten(features), temporary, metadata={"grids": json.dumps(grids)})
            written = checksum(temporary)
        write_text(path.with_suffix(".xxh3"), written)

    def finish(self) -> None:
        """Write the index; called once, when every shard is there."""
        paths = [_shard_path(self.folder, shard) for shard in range(self.num_shards)]
        # From disk, not from memory: other ranks, or a run that was killed, wrote some of them.
        checksums = {path.name: path.with_suffix(".xxh3").read_text() for path in paths}
        index = {
            "version": VERSION,
            "spec": asdict(self.spec),
            "shard_rows": self.shard_rows,
            "shards": checksums,
        }
        write_json(self.folder / INDEX, index)

    def _check_layout(self) -> None:
        """A resumed extraction must cut the rows as before, whatever memory it has now."""
        path = self.folder / LAYOUT
        if path.exists():
            self.shard_rows = int(read_json(path)["shard_rows"])
        else:
            write_json(path, {"shard_rows": self.shard_rows})


class TokenStore:
    """Reads a complete store: any rows, in any order, mapped from disk or held in memory.

    Args:
        folder: The store's folder.
        in_memory: Whether to copy the shards into memory when they are first read.
        name_row: Position in the store -> what messages call the row and its image.

    Raises:
        InputError: If the store is incomplete.
    """

    def __init__(
        self,
        folder: Path,
        *,
        in_memory: bool = False,
        name_row: Callable[[int], str] = "row {}".format,
    ) -> None:
        if not (folder / INDEX).exists():
            raise InputError(f"token store {folder} is incomplete: run the extraction again")
        index = read_json(folder / INDEX)
        self.folder = folder
        # JSON knows no tuples: with a list the spec would equal none that an encoder asks for.
        self.spec = StoreSpec(**{**index["spec"], "layers": tuple(index["spec"]["layers"])})
        self.in_memory = in_memory
        self._name_row = name_row
        self._shard_rows: int = index["shard_rows"]
        self._checksums: dict[str, str] = index["shards"]
        # For good: a checksum reads the whole shard, and mapped tensors hold address space, not
        # memory.
        self._opened: dict[int, tuple[dict[str, Tensor], Grids]] = {}

    def __len__(self) -> int:
        return self.spec.num_images

    def __getstate__(self) -> dict[str, Any]:
        """Send no mapped tensors to other processes: pickling one writes the whole shard."""
        # Nor the data set behind the names of rows.
        return {**self.__dict__, "_opened": {}, "_name_row": "row {}".format}

    def iterate(self, batches: Sequence[np.ndarray]) -> Iterator[LayerFeatures]:
        """Yield the features of each batch of positions."""
        return map(self.read, batches)

    def read(self, positions: np.ndarray) -> LayerFeatures:
        """Return the features at `positions`, by layer; patches in the precision they are kept in.

        Raises:
            InputError: If a shard is damaged or gone, or holds what is no finite number.
        """
        # Batches are shuffled over all shards: sorted by shard, each is looked up once a batch.
        shards, local = np.divmod(positions, self._shard_rows)
        order = np.argsort(shards, kind="stable")
        numbers, starts = np.unique(shards[order], return_index=True)
        ends = [*starts[1:], len(positions)]
        gathered: dict[str, Tensor] = {}
        grids: Grids = {}
        for shard, start, end in zip(numbers, starts, ends, strict=True):
            tensors, grids = self._open(int(shard))
            rows = torch.from_numpy(local[order[start:end]])
            for name, tensor in tensors.items():
                if name not in gathered:
                    # Filled by all shards together: a row is in one.
                    gathered[name] = tensor.new_empty((len(positions), *tensor.shape[1:]))
                torch.index_select(tensor, 0, rows, out=gathered[name][start:end])
        if len(numbers) > 1:  # back from the order of shards
            back = torch.from_numpy(np.argsort(order))
            gathered = {name: tensor.index_select(0, back) for name, tensor in gathered.items()}
        # The grids of the last shard: all are of one encoder, at one input size.
        return decode(_by_layer(gathered, grids))

    def _open(self, shard: int) -> tuple[dict[str, Tensor], Grids]:
        if shard not in self._opened:
            path = _shard_path(self.folder, shard)
            try:
                # Once a shard and process, as safetensors does not notice a flipped byte
                # (docs/traps.md 9).
                if checksum(path) != self._checksums[path.name]:
                    raise InputError(_damaged(path, "its checksum differs"))
                with safe_open(path, framework="pt") as file:
                    names = file.keys()
                    tensors = {name: file.get_tensor(name) for name in names}
                    grids = json.loads(file.metadata()["grids"])
            # Gone, or cut short: what is left does not even open.
            except (OSError, SafetensorError) as error:
                raise InputError(_damaged(path, str(error))) from error
            # Written before features were checked, or elsewhere.
            refuse_not_finite(
                tensors,
                lambda local: self._name_row(shard * self._shard_rows + local),
                remedy=f"delete the token store {self.folder} and run again",
            )
            if self.in_memory:
                # Pages of a mapped file are the system's to drop, and are then read again each
                # epoch.
                tensors = {name: tensor.clone() for name, tensor in tensors.items()}
            by_layer = {int(layer): (grid[0], grid[1]) for layer, grid in grids.items()}
            self._opened[shard] = (tensors, by_layer)
        return self._opened[shard]


class MemoryStore:
    """Features held in memory, for one run, kept as on disk (`toolkit_common.features.codec`)."""

    def __init__(self, features: LayerFeatures) -> None:
        self.features = features

    def __len__(self) -> int:
        return next(iter(self.features.values())).num_images

    def iterate(self, batches: Sequence[np.ndarray]) -> Iterator[LayerFeatures]:
        """Yield the features of each batch of positions."""
        return map(self.read, batches)

    def read(self, positions: np.ndarray) -> LayerFeatures:
        """Return the features at `positions`, by layer."""
        rows = torch.from_numpy(positions)
        return decode({layer: item.take(rows) for layer, item in self.features.items()})


def find_store(spec: StoreSpec, root: Path) -> Path | None:
    """Return the finished store of a specification under `root`, if there is one.

    A store that also holds patch tokens serves where vectors are wanted.
    """
    # The exact one first: what has no patches is read with less.
    for candidate in (spec, replace(spec, with_patches=True)):
        folder = root / candidate.key()
        # The index comes last: without it some shard may be missing.
        if (folder / INDEX).exists():
            return folder
    return None


def _by_layer(tensors: Mapping[str, Tensor], grids: Grids) -> LayerFeatures:
    """Undo `flatten`."""
    features = {}
    for layer, grid in grids.items():
        front = f"{layer}."  # with the dot: layer 1 is not layer 11
        own = {
            name.removeprefix(front): tensor
            for name, tensor in tensors.items()
            if name.startswith(front)
        }
        patches, scale = own.pop(PATCHES, None), own.pop(SCALE, None)
        features[layer] = Features(own, patches, grid, scale=scale)
    return features


def _shard_path(folder: Path, shard: int) -> Path:
    return folder / f"tokens-{shard:05d}.safetensors"


def shard_checksum(path: Path) -> str | None:
    """Return the checksum that a shard was written with; None where it was cut short."""
    beside = path.with_suffix(".xxh3")
    return beside.read_text() if beside.is_file() else None


def checksum(path: Path) -> str:
    """Return the hex xxh3 of a shard's bytes."""
    # Against damage, not malice: sha256 would cost more than reading the tokens.
    with path.open("rb") as file:
        return hashlib.file_digest(file, xxhash.xxh3_128).hexdigest()


def _damaged(path: Path, why: str) -> str:
    return f"token store shard {path} is damaged ({why}): delete {path.parent} and run again"
