"""Features as they are kept, on disk, in memory, or on the way from an encoder that runs online.

One encoding for all three: where tokens are kept changes no bit of what a head reads.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from toolkit_common.features.codec import StoreDtype, dequantize, narrow, quantize
from toolkit_common.features.contract import Features, LayerFeatures

PATCHES, SCALE = "patches", "patches_scale"


@dataclass(frozen=True)
class Packed:
    """Features of some rows as flat tensors.

    Attributes:
        tensors: `LAYER.NAME` -> rows: vectors in fp32, `patches` in the dtype they are kept in,
            for int8 with a `patches_scale` for each token.
        grids: Layer -> patch grid (gh, gw).
    """

    tensors: Mapping[str, Tensor]
    grids: Mapping[int, tuple[int, int]]

    def to_cpu(self) -> "Packed":
        """Move to the CPU."""
        return Packed({name: tensor.cpu() for name, tensor in self.tensors.items()}, self.grids)

    def take(self, rows: Tensor) -> "Packed":
        """Return some of the rows."""
        return Packed({name: tensor[rows] for name, tensor in self.tensors.items()}, self.grids)


def pack(features: LayerFeatures, dtype: StoreDtype) -> Packed:
    """Encode features, their patches in `dtype`.

    Raises:
        InputError: If patches are not finite, or not any more in that dtype.
    """
    tensors: dict[str, Tensor] = {}
    for layer, kept in features.items():
        for name, vector in kept.vectors.items():
            tensors[f"{layer}.{name}"] = vector.float().contiguous()
        if kept.patches is not None and dtype == "int8":
            values, scale = quantize(kept.patches)
            tensors[f"{layer}.{PATCHES}"] = values.contiguous()
            tensors[f"{layer}.{SCALE}"] = scale.contiguous()
        elif kept.patches is not None:
            tensors[f"{layer}.{PATCHES}"] = narrow(kept.patches, dtype)
    return Packed(tensors, {layer: kept.grid for layer, kept in features.items()})


def unpack(packed: Packed) -> LayerFeatures:
    """Decode features; patches in the precision they are kept in, of int8 as fp32."""
    return {
        layer: _unpack_layer(packed.tensors, layer, grid) for layer, grid in packed.grids.items()
    }


def concatenate_packed(parts: Sequence[Packed]) -> Packed:
    """Return the rows of several parts as one."""
    names = parts[0].tensors
    tensors = {name: torch.cat([part.tensors[name] for part in parts]) for name in names}
    return Packed(tensors, parts[0].grids)


def _unpack_layer(tensors: Mapping[str, Tensor], layer: int, grid: tuple[int, int]) -> Features:
    mine = {
        name.removeprefix(f"{layer}."): tensor
        for name, tensor in tensors.items()
        if name.startswith(f"{layer}.")
    }
    patches, scale = mine.pop(PATCHES, None), mine.pop(SCALE, None)
    if patches is not None and scale is not None:
        patches = dequantize(patches, scale)
    return Features(mine, patches, grid)
