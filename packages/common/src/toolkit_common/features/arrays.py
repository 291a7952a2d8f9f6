"""Frozen features as arrays, for people who go on in numpy, scikit-learn or torch.

Shapes: n images, t patch tokens, d token width, e vector width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from toolkit_common.backbones.contract import Backbone
from toolkit_common.backbones.load import load_backbone
from toolkit_common.config import Layer, resolve
from toolkit_common.console import quieted
from toolkit_common.data.check import check_images
from toolkit_common.data.dataset import SPLITS, ImageData
from toolkit_common.data.loaders import choose_num_workers, chunks
from toolkit_common.data.settings import SplitSettings
from toolkit_common.data.splits import Splits, keep_labelled, make_splits
from toolkit_common.errors import InputError
from toolkit_common.features.codec import widen
from toolkit_common.features.contract import FeatureSource
from toolkit_common.features.encode import Extraction
from toolkit_common.features.extract import extract
from toolkit_common.features.planner import available_memory, size
from toolkit_common.runs.files import cache_folder
from toolkit_common.sources.load import load_data
from toolkit_common.training.distributed import own_accelerator

READ_BATCH = 256


@dataclass(frozen=True)
class FeatureArrays:
    """The features of a data set's images, and what is known of each, in one order.

    Attributes:
        tokens: Patch tokens `(n, t, d)`, row by row of the grid; None where only vectors were
            wanted.
        vectors: `(n, e)` by name: `mean` of the patches, `cls` token, both also before the
            encoder's final norm (`mean_raw`, `cls_raw`), as far as the encoder has them.
        read: The one of them that linear probing and k-NN read by the encoder's card.
        labels: Class of each image `(n,)`, by name; None where the data set has no label.
        groups: What each image belongs to `(n,)`, such as its patient; None without any.
        splits: `train`, `val` or `test` `(n,)`.
        names: Id of each image `(n,)`.
        grid: Patch grid (gh, gw) of the tokens.
    """

    tokens: Float[np.ndarray, "n t d"] | None
    vectors: dict[str, Float[np.ndarray, "n _"]]
    read: str
    labels: np.ndarray | None
    groups: np.ndarray | None
    splits: np.ndarray
    names: np.ndarray
    grid: tuple[int, int]

    @property
    def vector(self) -> Float[np.ndarray, "n e"]:
        """The vector of each image that its encoder's card names."""
        return self.vectors[self.read]

    def rows(self, split: str) -> np.ndarray:
        """Return where the images of a split are.

        Raises:
            InputError: If it is no split.
        """
        if split not in SPLITS:
            raise InputError(f"a split is one of {', '.join(SPLITS)}, got {split!r}")
        return np.flatnonzero(self.splits == split)


def extract_arrays(
    backbone: Backbone | str,
    data: ImageData | str,
    *,
    label: str | None = None,
    tokens: bool = True,
    device: str = "auto",
    verbose: bool = False,
    **splits: Any,
) -> FeatureArrays:
    """Return the features of every labelled image that is in a split, from the store or into it.

    They are those that `toolkit probe` reads of the same backbone, data and device: kept in fp16,
    returned in fp32.

    Args:
        backbone: A loaded one, or its id; of several layers the last is read.
        data: A loaded data set, or its id.
        label: Column of the labels; the data set's default.
        tokens: Whether patch tokens are wanted, or vectors suffice.
        device: `auto`, `cpu` or `cuda`.
        verbose: Whether to print what is loaded and what it costs, on stderr.
        **splits: `split_seed`, `splits`, `folds` and `fold`, as options of the command line.

    Raises:
        InputError: If something is at fault, or the tokens do not fit memory.
    """
    split_settings = resolve(SplitSettings, [Layer("extract()", splits)]).settings
    with quieted(not verbose), own_accelerator(device=device) as accelerator:
        data = load_data(data) if isinstance(data, str) else data
        labels, made = _label_and_split(data, label, split_settings)
        backbone = load_backbone(backbone) if isinstance(backbone, str) else backbone
        info, rows = backbone.info, made.all
        if tokens:
            _refuse_too_many(backbone, len(rows))
        check_images(data, rows)
        how = Extraction(
            store_dir=cache_folder() / "features",
            with_patches=tokens,
            num_workers=choose_num_workers(None, accelerator),
        )
        source = extract(backbone, data, rows, how=how, accelerator=accelerator).source
        read, vectors = _read(source, info.layers[-1], tokens=tokens)
    return FeatureArrays(
        tokens=read,
        vectors=vectors,
        read=info.card.linear,
        labels=None if labels is None else labels[rows],
        groups=None if data.groups is None else data.groups[rows].astype(str),
        splits=_names_of(made),
        names=data.table["image_id"].to_numpy()[rows].astype(str),
        grid=info.facts.grid,
    )


def _label_and_split(
    data: ImageData, label: str | None, settings: SplitSettings
) -> tuple[np.ndarray | None, Splits]:
    """Return the class of every row of the data set, if there are any, and the splits."""
    splits = make_splits(data, settings)
    if label is None and not any(name in data.table for name in data.sheet.labels):
        return None, splits
    labels = data.labels(label)
    names = np.asarray([*labels.classes, ""])[labels.targets]  # -1 is the last: no label
    return names, keep_labelled(splits, data, labels)


def _names_of(splits: Splits) -> np.ndarray:
    """Return the split of each row of `splits.all`."""
    names = np.concatenate([np.full(len(splits[name]), name) for name in SPLITS])
    rows = np.concatenate([splits[name] for name in SPLITS])
    return names[np.argsort(rows)]


def _refuse_too_many(backbone: Backbone, num_images: int) -> None:
    facts = backbone.info.facts
    num_bytes = num_images * facts.grid[0] * facts.grid[1] * facts.embed_dim * 4
    free = available_memory()
    if num_bytes > free:
        raise InputError(
            f"tokens of {num_images:,} images are {size(num_bytes)} and {size(free)} of memory are "
            "free: give tokens=False for vectors alone, or use probe(), which reads them from disk"
        )


def _read(
    source: FeatureSource, layer: int, *, tokens: bool
) -> tuple[np.ndarray | None, dict[str, np.ndarray]]:
    """Return the tokens, if they are wanted, and the vectors of every image."""
    batches: Sequence[np.ndarray] = chunks(np.arange(len(source)), READ_BATCH)
    patches: list[np.ndarray] = []
    vectors: dict[str, list[np.ndarray]] = {}
    for features in source.iterate(batches, patches=tokens):
        item = features[layer]
        if tokens and item.patches is not None:  # a store may hold more than is wanted
            patches.append(widen(item, torch.float32).cpu().numpy())
        for name, vector in item.vectors.items():
            vectors.setdefault(name, []).append(vector.float().cpu().numpy())
    joined = {name: np.concatenate(parts) for name, parts in vectors.items()}
    return np.concatenate(patches) if tokens else None, joined
