"""How patch tokens are kept: in full, in half the bytes, or as int8 with one scale a token.

One encoding on disk, in memory, and on the way from an encoder that runs online: where tokens are
kept changes no bit of what a head reads.

Shapes: b rows, n patch tokens, d token width.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import isfinite
from typing import Literal, NoReturn

import torch
from jaxtyping import Float, Float16, Int8
from torch import Tensor

from toolkit_common.errors import InputError
from toolkit_common.features.contract import Features, LayerFeatures

StoreDtype = Literal["fp32", "fp16", "bf16", "int8"]
DTYPES: dict[str, torch.dtype] = {
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
    "int8": torch.int8,
}


def bytes_per_image(
    layer_shapes: Mapping[int, tuple[int, int]], *, dtype: StoreDtype, with_patches: bool
) -> int:
    """Return the bytes a store needs for one image.

    Args:
        layer_shapes: Layer -> (number of patches n, width d).
        dtype: How patches are kept.
        with_patches: Whether they are kept.
    """
    total = 0
    for patches, width in layer_shapes.values():
        total += 5 * 4 * width  # mean and class token, both also raw; pooled output
        if with_patches:
            scale = 2 if dtype == "int8" else 0
            total += patches * (width * DTYPES[dtype].itemsize + scale)
    return total


def keep(features: LayerFeatures, dtype: StoreDtype) -> LayerFeatures:
    """Return features as they are kept: vectors in fp32, patches in `dtype`.

    Raises:
        InputError: If patches are not finite, or not any more in that dtype.
    """
    return {layer: _keep(item, dtype) for layer, item in features.items()}


def widen(features: Features, dtype: torch.dtype) -> Tensor:
    """Return the patches of kept features in the dtype of whoever computes with them.

    On whichever device they are: what travels there are the bytes that are kept.
    """
    patches, scale = features.patches, features.scale
    assert patches is not None, "patches were not requested"
    if scale is None:
        return patches.to(dtype)
    # Scaled in fp32 and rounded once, without fp32 tokens on the way.
    widened = torch.empty_like(patches, dtype=dtype)
    return torch.mul(patches, scale.float().unsqueeze(-1), out=widened)


def narrow(patches: Tensor, dtype: StoreDtype) -> Tensor:
    """Convert patches to the dtype they are kept in.

    Raises:
        InputError: If they are not finite, or not any more in that dtype.
    """
    # Contiguous: safetensors saves nothing else. Beyond 65,504 fp16 becomes infinite, silently.
    kept = patches.to(DTYPES[dtype]).contiguous()
    if not torch.isfinite(kept).all():
        _refuse_overflow(patches, dtype)
    return kept


def quantize(
    patches: Float[Tensor, "b n d"],
) -> tuple[Int8[Tensor, "b n d"], Float16[Tensor, "b n"]]:
    """Return int8 values and one fp16 scale a token.

    Raises:
        InputError: If tokens are not finite, or too large for the scale.
    """
    # A scale a token: under a shared one a single large token would coarsen all others.
    largest = patches.float().abs().amax(dim=-1)
    # A token of zeros would divide 0 by 0.
    scale = (largest / 127.0).clamp(min=torch.finfo(torch.float16).tiny).half()
    if not torch.isfinite(scale).all():
        _refuse_overflow(patches, "int8")
    # By the scale as it is kept: fp16 moves it by 1/2048 at most, so the largest is 127.06, not
    # 128.
    values = patches.float() / scale.float().unsqueeze(-1)
    return values.round().to(torch.int8), scale


def dequantize(
    values: Int8[Tensor, "b n d"], scale: Float16[Tensor, "b n"]
) -> Float[Tensor, "b n d"]:
    """Undo `quantize` up to rounding, as fp32."""
    return values.float() * scale.float().unsqueeze(-1)


def relative_error(layers: Iterable[Tensor | None], dtype: StoreDtype) -> float | None:
    """Return the norm of what a dtype loses of some tokens over their norm, in the worst layer."""
    errors = []
    for patches in layers:
        if patches is None:
            return None
        kept = dequantize(*quantize(patches)) if dtype == "int8" else narrow(patches, dtype).float()
        # Zeros alone have no error.
        errors.append(float((kept - patches).norm() / patches.float().norm().clamp(min=1e-30)))
    return max(errors)


def _keep(features: Features, dtype: StoreDtype) -> Features:
    # Vectors are few: in fp32 they cost nothing beside patches. (safetensors wants them
    # contiguous.)
    vectors = {name: vector.float().contiguous() for name, vector in features.vectors.items()}
    patches, scale = features.patches, None
    if patches is not None and dtype == "int8":
        patches, scale = (item.contiguous() for item in quantize(patches))
    elif patches is not None:
        patches = narrow(patches, dtype)
    return replace(features, vectors=vectors, patches=patches, scale=scale)


def _refuse_overflow(patches: Tensor, dtype: StoreDtype) -> NoReturn:
    largest = float(patches.float().abs().max())
    # Were they numbers before they were narrowed? No dtype mends it otherwise.
    if not isfinite(largest):
        raise InputError("the encoder gives tokens that are no numbers (NaN or infinite)")
    raise InputError(
        f"tokens of this encoder do not fit {dtype} (the largest is {largest:.3g}): use "
        "--store-dtype bf16"
    )
