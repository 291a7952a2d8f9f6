"""Vectors that do not come from the images (metadata), put beside the features of the same rows.

They are not kept in the token store: they cost little, and image tokens that serve one choice of
inputs then serve all, while a changed schema or metadata encoder can meet nothing old.

Shapes: n rows, k width.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from toolkit_common.features.contract import EpochSource, FeatureSource, LayerFeatures
from toolkit_common.training.late import send

Vectors = Mapping[str, Float[Tensor, "n _"]]


class SourceBeside:
    """A feature source whose every layer has some further vectors.

    Args:
        source: Features of n rows.
        vectors: By name, in the order of the source's rows.
        origins: Which of the source's rows each vector is of, where some have several.
    """

    def __init__(
        self, source: FeatureSource, vectors: Vectors, origins: np.ndarray | None = None
    ) -> None:
        self._origins = np.arange(len(source)) if origins is None else origins
        assert all(len(values) == len(self._origins) for values in vectors.values())
        self._source = source
        self._vectors = vectors

    def __len__(self) -> int:
        return len(self._origins)

    def iterate(
        self, batches: Sequence[np.ndarray], *, patches: bool = True
    ) -> Iterator[LayerFeatures]:
        """Yield the features of each batch of positions, the vectors of these rows among them."""
        # Both walk the same batches in the same order: positions belong to what comes.
        rows = [self._origins[positions] for positions in batches]
        read = self._source.iterate(rows, patches=patches)
        for positions, features in zip(batches, read, strict=True):
            yield _beside(features, self._vectors, positions)


class CropsBeside:
    """Features of random crops, with vectors that no crop changes; arguments as `SourceBeside`."""

    def __init__(self, crops: EpochSource, vectors: Vectors) -> None:
        self._crops = crops
        self._vectors = vectors

    def iterate(
        self, batches: Sequence[np.ndarray], *, epoch: int, patches: bool = True
    ) -> Iterator[LayerFeatures]:
        """Yield the features of each batch of positions, cropped as in `epoch`."""
        cropped = self._crops.iterate(batches, epoch=epoch, patches=patches)
        for positions, features in zip(batches, cropped, strict=True):
            yield _beside(features, self._vectors, positions)


def _beside(features: LayerFeatures, vectors: Vectors, positions: np.ndarray) -> LayerFeatures:
    rows = torch.from_numpy(positions)
    mine = {name: values[rows] for name, values in vectors.items()}
    return {
        layer: replace(kept, vectors={**kept.vectors, **_near(mine, kept.vectors)})
        for layer, kept in features.items()
    }


def _near(mine: Vectors, theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Move vectors to where the features of an encoder that runs online already are."""
    device = next(iter(theirs.values())).device
    return {name: send(values, device) for name, values in mine.items()}
