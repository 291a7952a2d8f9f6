"""The token store: frozen features on disk, in shards, keyed by what made them.

A store is a folder named after the hash of its specification (encoder weights, layers, transform,
images, dtype), so that a changed transform or weight can never meet old features
(docs/traps.md 14). Shards are written atomically by any rank, vectors and patch tokens in files of
their own; `index.json` comes last and marks the store complete. A file is checked against its
checksum when it is first read (docs/traps.md 9).
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from threading import Lock
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from toolkit_common.errors import InputError
from toolkit_common.features.ahead import ahead, gather
from toolkit_common.features.codec import DTYPES, StoreDtype
from toolkit_common.features.contract import Grids, LayerFeatures, unflatten, without_patches
from toolkit_common.features.finite import refuse_not_finite
from toolkit_common.features.shards import (
    TOKENS,
    VECTORS,
    holds_patches,
    is_whole,
    read_shard,
    shard_checksum,
    shard_path,
    write_shard,
)
from toolkit_common.foreign.values import checked
from toolkit_common.outside import is_of_machine
from toolkit_common.runs.files import read_json, write_json

# Part of every key: raise it when shards are laid out anew.
VERSION = 4
JOINT_VERSION = 3  # vectors and tokens in one file: read as before, and never written
INDEX = "index.json"
LAYOUT = "layout.json"
READERS = 4  # that read ahead: together twice what one gets from a disk (docs/decisions.md)
MOST_ROWS = 2**40  # of a shard; more is no number that an array could count with
OPENING = Lock()


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

    def key(self, *, version: int = VERSION) -> str:
        """Return the store's name."""
        # `preprocess` is a mapping of the encoder's: its order must not make another key.
        text = json.dumps({"version": version, **asdict(self)}, sort_keys=True)
        # 128 bits: more than enough, in a name one can read.
        return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class _Layout:
    """How a store is cut into shards."""

    shard_rows: Annotated[int, Field(ge=1, le=MOST_ROWS, strict=True)]


@dataclass(frozen=True)
class _Index:
    """The index of a store, as it is read: strictly."""

    version: Annotated[int, Field(strict=True)]
    spec: StoreSpec
    shard_rows: Annotated[int, Field(ge=1, le=MOST_ROWS, strict=True)]
    shards: Mapping[str, str]


def read_index(folder: Path) -> _Index:
    """Read the index of a finished store.

    Raises:
        InputError: If it is damaged, or of another version.
        OSError: If it cannot be read.
    """
    path = folder / INDEX
    remedy = f"delete the token store {folder} and run again"
    try:
        index: _Index = checked(_Index, read_json(path), path)
    except (OSError, InputError) as error:
        if is_of_machine(error):  # of which nothing follows for the store
            raise
        raise InputError(f"{error}: {remedy}") from None
    if index.version not in (VERSION, JOINT_VERSION) or index.spec.num_images < 0:
        raise InputError(f"{path} has version {index.version}, not {VERSION}: {remedy}")
    return index


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
        return all(map(is_whole, self._files(shard)))

    def write(self, shard: int, features: LayerFeatures) -> None:
        """Write the kept features of rows `shard * shard_rows` and following."""
        write_shard(self.folder, shard, features)

    def finish(self) -> None:
        """Write the index; called once, when every shard is there.

        Raises:
            InputError: If somebody has removed one meanwhile.
        """
        paths = [path for shard in range(self.num_shards) for path in self._files(shard)]
        # From disk, not from memory: other ranks, or a run that was killed, wrote some of them.
        checksums = {path.name: shard_checksum(path) for path in paths}
        if gone := [name for name, checksum in checksums.items() if checksum is None]:
            raise InputError(
                f"{len(gone)} of {len(paths)} files of the token store {self.folder} were removed "
                f"while it was made ({gone[0]} first): run again"
            )
        index = {
            "version": VERSION,
            "spec": asdict(self.spec),
            "shard_rows": self.shard_rows,
            "shards": checksums,
        }
        write_json(self.folder / INDEX, index)

    def _files(self, shard: int) -> list[Path]:
        kinds = (TOKENS, VECTORS) if self.spec.with_patches else (VECTORS,)
        return [shard_path(self.folder, kind, shard) for kind in kinds]

    def _check_layout(self) -> None:
        """A resumed extraction must cut the rows as before, whatever memory it has now."""
        path = self.folder / LAYOUT
        if path.exists():
            self.shard_rows = checked(_Layout, read_json(path), path).shard_rows
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
        index = read_index(folder)
        self.folder = folder
        self.spec = index.spec
        self.in_memory = in_memory
        self._name_row = name_row
        self._shard_rows = index.shard_rows
        self._checksums = index.shards
        self._is_joint = index.version == JOINT_VERSION
        # For good: a checksum reads the whole file, and mapped tensors hold address space, not
        # memory.
        self._opened: dict[tuple[Path, bool], tuple[dict[str, Tensor], Grids]] = {}

    def __len__(self) -> int:
        return self.spec.num_images

    def __getstate__(self) -> dict[str, Any]:
        """Send no mapped tensors to other processes: pickling one writes the whole shard."""
        # Nor the data set behind the names of rows.
        return {**self.__dict__, "_opened": {}, "_name_row": "row {}".format}

    def iterate(
        self, batches: Sequence[np.ndarray], *, patches: bool = True
    ) -> Iterator[LayerFeatures]:
        """Yield the features of each batch of positions."""
        read = partial(self.read, patches=patches)
        if not self.in_memory:
            return ahead(read, batches, readers=READERS)
        # From memory a batch is there in no time, and threads of a CPU have other things to do.
        return ahead(read, batches) if torch.cuda.is_available() else map(read, batches)

    def read(self, positions: np.ndarray, *, patches: bool = True) -> LayerFeatures:
        """Return the features at `positions`, by layer, as they are kept.

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
            tensors, grids = self._open(int(shard), patches=patches)
            rows = torch.from_numpy(local[order[start:end]])
            for name, tensor in tensors.items():
                if len(numbers) == 1:
                    gathered[name] = gather(tensor, rows)
                    continue
                if name not in gathered:
                    # Filled by all shards together: a row is in one.
                    gathered[name] = tensor.new_empty((len(positions), *tensor.shape[1:]))
                torch.index_select(tensor, 0, rows, out=gathered[name][start:end])
        if len(numbers) > 1:  # back from the order of shards
            back = torch.from_numpy(np.argsort(order))
            gathered = {name: gather(tensor, back) for name, tensor in gathered.items()}
        # The grids of the last shard: all are of one encoder, at one input size.
        return unflatten(gathered, grids)

    def _open(self, shard: int, *, patches: bool) -> tuple[dict[str, Tensor], Grids]:
        """Return the tensors of a shard, with its patch tokens or without."""
        path = shard_path(self.folder, TOKENS, shard)
        if self._is_joint:
            return self._open_file(path, shard, patches=patches)
        opened = self._open_file(shard_path(self.folder, VECTORS, shard), shard)
        if not (patches and self.spec.with_patches):
            return opened
        return {**opened[0], **self._open_file(path, shard)[0]}, opened[1]

    def _open_file(
        self, path: Path, shard: int, *, patches: bool = True
    ) -> tuple[dict[str, Tensor], Grids]:
        with OPENING:  # one reader checks a file, the others wait for it
            return self._open_once(path, shard, patches=patches)

    def _open_once(
        self, path: Path, shard: int, *, patches: bool
    ) -> tuple[dict[str, Tensor], Grids]:
        if (path, patches) not in self._opened:
            tensors, grids = read_shard(path, self._checksums.get(path.name, ""))
            if not patches:
                tensors = {key: item for key, item in tensors.items() if not holds_patches(key)}
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
            self._opened[path, patches] = (tensors, grids)
        return self._opened[path, patches]


class MemoryStore:
    """Features held in memory, for one run, kept as on disk (`toolkit_common.features.codec`)."""

    def __init__(self, features: LayerFeatures) -> None:
        self.features = features

    def __len__(self) -> int:
        return next(iter(self.features.values())).num_images

    def iterate(
        self, batches: Sequence[np.ndarray], *, patches: bool = True
    ) -> Iterator[LayerFeatures]:
        """Yield the features of each batch of positions."""
        read = partial(self.read, patches=patches)
        return ahead(read, batches) if torch.cuda.is_available() else map(read, batches)

    def read(self, positions: np.ndarray, *, patches: bool = True) -> LayerFeatures:
        """Return the features at `positions`, by layer."""
        rows = torch.from_numpy(positions)
        kept = self.features if patches else without_patches(self.features)
        return {layer: item.take(rows) for layer, item in kept.items()}


def find_store(spec: StoreSpec, root: Path) -> Path | None:
    """Return the finished store of a specification under `root`, if there is one.

    A store that holds more serves too: patch tokens in any dtype where vectors are wanted, the
    encoder's own pooled output where it is not. So does one of the layout before.
    """
    # The exact one first: what has no patches is read with less.
    for version, candidate in product((VERSION, JOINT_VERSION), _serving(spec)):
        folder = root / candidate.key(version=version)
        # The index comes last: without it some shard may be missing.
        if (folder / INDEX).exists():
            return folder
    return None


def _serving(spec: StoreSpec) -> list[StoreSpec]:
    """Return specifications of stores that hold what is wanted, the exact one first."""
    # Vectors are fp32 whatever patches are kept in.
    dtypes = [spec.dtype] if spec.with_patches else dict.fromkeys([spec.dtype, *DTYPES])
    patches = dict.fromkeys([spec.with_patches, True])
    pooled = dict.fromkeys([spec.with_pooled, True])
    return [
        replace(spec, with_patches=with_patches, with_pooled=with_pooled, dtype=dtype)
        for with_patches, with_pooled, dtype in product(patches, pooled, dtypes)
    ]
