"""What a method reads of an image, by name, and the tensors behind the names.

| name | what |
|---|---|
| `patches`, `all` | tokens: the patches; the class token and the patches |
| `cls`, `mean`, `pooled`, `cls_raw`, `mean_raw` | a vector of the image |
| `lesion`, `patient` | the metadata embedding of one level; it belongs to no layer |
| `meta` | the metadata embeddings of all levels, each L2-normalised, side by side |
| `cls+meta` and the like | that vector and all metadata, each L2-normalised, side by side |
| `patches+meta`, `all+meta` | tokens, and all metadata beside what the probe pools from them |

Blocks are normalised one by one so that none outweighs another in k-NN's distances (docs/slimp.md).
An attentive probe attends to tokens of the image alone, as it would without metadata, and its
classifier reads the metadata's blocks too, after a batch norm that evens their scales.

Shapes: b rows, n tokens, d token width, k metadata width.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn import functional as F

from toolkit_common.backbones.metadata import LEVELS
from toolkit_common.errors import InputError
from toolkit_common.features.codec import widen
from toolkit_common.features.contract import Features
from toolkit_common.registry import lookup

TOKENS = ("patches", "all")
METADATA = "meta"
WITH_METADATA = "+meta"
NO_LAYER = 0  # of what no layer gives


class Inputs(NamedTuple):
    """What a head reads: tokens or a vector, and metadata beside what is pooled from tokens.

    A head that is tuned with its encoder reads images.
    """

    main: Shaped[Tensor, "b *_"]
    beside: Float[Tensor, "b k"] | None = None


def read_inputs(features: Features, source: str) -> Inputs:
    """Return what a head reads of some images, by the name of the source.

    Raises:
        InputError: If the backbone has no such thing.
    """
    if features.images is not None:
        return Inputs(features.images)
    known = [features.vectors[level] for level in LEVELS if level in features.vectors]
    blocks = [F.normalize(vectors, dim=1) for vectors in known]
    if source == METADATA:
        return Inputs(torch.cat(blocks, dim=1))
    main = read_source(features, base_of(source))
    if base_of(source) == source:
        return Inputs(main)
    if is_of_tokens(source):
        return Inputs(main, torch.cat(blocks, dim=1))
    return Inputs(torch.cat([F.normalize(main, dim=1), *blocks], dim=1))


def read_source(features: Features, source: str) -> Tensor:
    """Return a vector by name, the patches, or class token and patches.

    Raises:
        InputError: If the backbone has no such thing.
    """
    if source not in TOKENS:
        return lookup(features.vectors, source, kind="vector of this backbone")
    assert features.patches is not None
    device = features.patches.device.type
    # Under autocast products read its dtype: from what is kept straight to that, once for all
    # heads. Heads are trained in fp32 otherwise.
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else torch.float32
    patches = widen(features, dtype)
    if source == "patches":
        return patches
    if "cls" not in features.vectors:
        raise InputError(
            "--tokens all needs a class token, and this backbone has none: use patches"
        )
    return torch.cat([features.vectors["cls"].unsqueeze(1).to(patches), patches], dim=1)


def base_of(source: str) -> str:
    """Return what a source reads of the image, without the metadata beside it."""
    return source.removesuffix(WITH_METADATA)


def is_of_tokens(source: str) -> bool:
    """Whether a source reads patch tokens, or vectors alone."""
    return base_of(source) in TOKENS


def place_name(layer: int, source: str) -> str:
    """Name a layer and what is read there, for names of rows and files."""
    return source if layer == NO_LAYER else f"layer{layer}-{source}"


def describe_place(layer: int, source: str) -> str:
    """Say for humans what is read, and at which layer."""
    return source if layer == NO_LAYER else f"{source} @ layer {layer}"
