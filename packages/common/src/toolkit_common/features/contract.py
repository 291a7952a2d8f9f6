"""What a probe reads of an image: the patch tokens of a layer, and its vectors.

Shapes: b rows, n patch tokens, d token width, e vector width.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float16, Int8, UInt8
from torch import Tensor

from toolkit_common.backbones.contract import EncoderFacts, Tokens
from toolkit_common.features.ahead import gather
from toolkit_common.training.late import send

PATCHES, SCALE = "patches", "patches_scale"


@dataclass(frozen=True)
class Features:
    """Features of some images at one layer: on disk, in memory, on the way to a head.

    Attributes:
        vectors: `mean` of the patches, `cls` token, both also before the final norm (`mean_raw`,
            `cls_raw`), `pooled` output where the encoder has them, and whatever an exported encoder
            adds (metadata embeddings); `(b, e)` fp32 each.
        patches: `(b, n, d)` as they are kept (`toolkit_common.features.codec.widen`), or None where
            only vectors were requested.
        grid: Patch grid (gh, gw).
        images: The images themselves, where the encoder is trained and its features change.
        scale: Of each token, where patches are kept as int8 (`toolkit_common.features.codec`).
    """

    vectors: Mapping[str, Float[Tensor, "b _"]]
    patches: Float[Tensor, "b n d"] | Int8[Tensor, "b n d"] | None
    grid: tuple[int, int]
    images: UInt8[Tensor, "b 3 h w"] | None = None
    scale: Float16[Tensor, "b n"] | None = None

    @property
    def num_images(self) -> int:
        """How many images they are of."""
        return len(next(iter(self.vectors.values())))

    def to(self, device: torch.device | str) -> "Features":
        """Move to a device."""
        return self._each(lambda tensor: send(tensor, device))

    def take(self, rows: Tensor) -> "Features":
        """Return those of some of the images."""
        return self._each(lambda tensor: gather(tensor, rows))

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Features":
        vectors = {name: change(vector) for name, vector in self.vectors.items()}
        patches, images, scale = (
            None if tensor is None else change(tensor)
            for tensor in (self.patches, self.images, self.scale)
        )
        return Features(vectors, patches, self.grid, images, scale)


LayerFeatures = Mapping[int, Features]
Grids = Mapping[int, tuple[int, int]]  # by layer


@runtime_checkable
class FeatureSource(Protocol):
    """Random access to the features of a fixed list of images."""

    def __len__(self) -> int: ...

    def iterate(
        self, batches: Sequence[np.ndarray], *, patches: bool = True
    ) -> Iterator[LayerFeatures]:
        """Yield the features of each batch of positions of the list, by layer.

        Without `patches` they may be left out: vectors alone are a thousandth of what is read.
        """
        ...


@runtime_checkable
class EpochSource(Protocol):
    """Features of the same images that differ by epoch: of random crops of them."""

    def iterate(
        self, batches: Sequence[np.ndarray], *, epoch: int, patches: bool = True
    ) -> Iterator[LayerFeatures]:
        """Yield the features of each batch of positions of the list, as `epoch` has them."""
        ...


def features_of(tokens: Tokens, facts: EncoderFacts, *, with_patches: bool) -> Features:
    """Turn an encoder's tokens into what is kept of them."""
    # In fp32 whatever autocast says: a sum of hundreds of bf16 tokens keeps two digits.
    vectors = {"mean": tokens.patches.float().mean(dim=1)}
    if facts.has_class_token:
        vectors["cls"] = tokens.prefix[:, 0].float()
    if tokens.raw is not None:
        # Before the norm the prefix still stands in front.
        vectors["mean_raw"] = tokens.raw[:, tokens.prefix.shape[1] :].float().mean(dim=1)
        if facts.has_class_token:
            vectors["cls_raw"] = tokens.raw[:, 0].float()
    if tokens.pooled is not None:
        vectors["pooled"] = tokens.pooled.float()
    return Features(vectors, tokens.patches if with_patches else None, tokens.grid)


def without_patches(features: LayerFeatures) -> LayerFeatures:
    """Return features with their vectors alone."""
    return {layer: replace(item, patches=None, scale=None) for layer, item in features.items()}


def flatten(features: LayerFeatures) -> dict[str, Tensor]:
    """Return `LAYER.NAME` -> tensor."""
    tensors: dict[str, Tensor] = {}
    for layer, item in features.items():
        own = {**item.vectors, PATCHES: item.patches, SCALE: item.scale}
        tensors |= {f"{layer}.{name}": tensor for name, tensor in own.items() if tensor is not None}
    return tensors


def unflatten(tensors: Mapping[str, Tensor], grids: Grids) -> LayerFeatures:
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


def concatenate(parts: Sequence[LayerFeatures]) -> LayerFeatures:
    """Return the features of several batches as those of one."""
    # All of one encoder: the first batch has every layer.
    return {layer: _concatenate([part[layer] for part in parts]) for layer in parts[0]}


def _concatenate(parts: Sequence[Features]) -> Features:
    first = parts[0]
    vectors = {name: torch.cat([part.vectors[name] for part in parts]) for name in first.vectors}
    patches = _join([part.patches for part in parts])
    images = _join([part.images for part in parts])
    return Features(vectors, patches, first.grid, images, _join([part.scale for part in parts]))


def _join(parts: Sequence[Tensor | None]) -> Tensor | None:
    # All parts have it or none has: it is what the pass was requested for.
    present = [part for part in parts if part is not None]
    return torch.cat(present) if present else None
