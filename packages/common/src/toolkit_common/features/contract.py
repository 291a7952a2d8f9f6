"""What a probe reads of an image: the patch tokens of a layer, and its vectors.

Shapes: b rows, n patch tokens, d token width, e vector width.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from toolkit_common.backbones.contract import EncoderFacts, Tokens


@dataclass(frozen=True)
class Features:
    """Features of some images at one layer.

    Attributes:
        vectors: `mean` of the patches, `cls` token, both also before the final norm (`mean_raw`,
            `cls_raw`), `pooled` output where the encoder has them, and whatever an exported encoder
            adds (metadata embeddings); `(b, e)` fp32 each.
        patches: `(b, n, d)`, or None where only vectors were asked for.
        grid: Patch grid (gh, gw).
        images: The images themselves, where the encoder is trained and its features change.
    """

    vectors: Mapping[str, Float[Tensor, "b _"]]
    patches: Float[Tensor, "b n d"] | None
    grid: tuple[int, int]
    images: UInt8[Tensor, "b 3 h w"] | None = None

    def to(self, device: torch.device | str) -> "Features":
        """Move to a device."""
        moved = {
            name: vector.to(device, non_blocking=True) for name, vector in self.vectors.items()
        }
        patches, images = (
            None if item is None else item.to(device, non_blocking=True)
            for item in (self.patches, self.images)
        )
        return replace(self, vectors=moved, patches=patches, images=images)


LayerFeatures = Mapping[int, Features]


@runtime_checkable
class FeatureSource(Protocol):
    """Random access to the features of a fixed list of images."""

    def __len__(self) -> int: ...

    def iterate(self, batches: Sequence[np.ndarray]) -> Iterator[LayerFeatures]:
        """Yield the features of each batch of positions of the list, by layer."""
        ...


@runtime_checkable
class EpochSource(Protocol):
    """Features of the same images that differ by epoch: of random crops of them."""

    def iterate(self, batches: Sequence[np.ndarray], *, epoch: int) -> Iterator[LayerFeatures]:
        """Yield the features of each batch of positions of the list, as `epoch` has them."""
        ...


def features_of(tokens: Tokens, facts: EncoderFacts, *, with_patches: bool) -> Features:
    """Turn an encoder's tokens into what is kept of them."""
    vectors = {"mean": tokens.patches.float().mean(dim=1)}
    if facts.has_class_token:
        vectors["cls"] = tokens.prefix[:, 0].float()
    if tokens.raw is not None:
        vectors["mean_raw"] = tokens.raw[:, tokens.prefix.shape[1] :].float().mean(dim=1)
        if facts.has_class_token:
            vectors["cls_raw"] = tokens.raw[:, 0].float()
    if tokens.pooled is not None:
        vectors["pooled"] = tokens.pooled.float()
    return Features(vectors, tokens.patches if with_patches else None, tokens.grid)
