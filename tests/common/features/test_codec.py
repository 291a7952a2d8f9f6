"""How tokens are kept: exactly, nearly, or refused."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers.properties import few_examples
from toolkit_common.errors import InputError
from toolkit_common.features.codec import (
    DTYPES,
    bytes_per_image,
    dequantize,
    narrow,
    quantize,
)


@given(st.integers(0, 10**6), st.floats(1e-2, 1e5))
@few_examples
def test_int8_is_off_by_at_most_half_a_step_of_its_token(seed: int, size: float) -> None:
    draws = torch.Generator().manual_seed(seed)
    patches = torch.randn(3, 5, 7, generator=draws) * size
    values, scale = quantize(patches)
    assert (values.dtype, scale.dtype) == (torch.int8, torch.float16)
    error = (dequantize(values, scale) - patches).abs()
    assert (error <= 0.5001 * scale.float().unsqueeze(-1)).all()
    largest = patches.abs().amax(-1)
    torch.testing.assert_close(scale.float(), largest / 127, rtol=1e-3, atol=6.2e-5)


def test_the_largest_number_of_a_token_never_wraps_around() -> None:
    """The fp16 scale is rounded: where it is rounded down the largest number is above 127 steps."""
    patches = torch.linspace(1.0, 2.0, 2001).view(1, -1, 1) * torch.tensor([1.0, -1.0])
    values, scale = quantize(patches)
    assert torch.equal(values[..., 0].float(), torch.full_like(scale.float(), 127.0))
    assert torch.equal(values[..., 1], -values[..., 0])


def test_tokens_of_zeros_stay_zeros() -> None:
    assert torch.equal(dequantize(*quantize(torch.zeros(1, 2, 3))), torch.zeros(1, 2, 3))


@pytest.mark.parametrize("dtype", ["fp32", "fp16", "bf16"])
def test_narrowing_is_torchs_own_rounding(dtype: str) -> None:
    patches = torch.randn(2, 3, 4)
    kept = narrow(patches, dtype)  # type: ignore[arg-type]
    assert kept.dtype == DTYPES[dtype]
    assert torch.equal(kept, patches.to(DTYPES[dtype]))


def test_tokens_too_large_for_fp16_are_refused_with_the_largest() -> None:
    patches = torch.ones(1, 2, 3)
    patches[0, 1, 2] = -70000.0
    with pytest.raises(InputError, match=r"do not fit fp16 \(the largest is 7e\+04\): use .* bf16"):
        narrow(patches, "fp16")
    assert narrow(patches, "bf16").isfinite().all()
    torch.testing.assert_close(dequantize(*quantize(patches)), patches, rtol=0.01, atol=300)


def test_tokens_too_large_for_int8s_scale_are_refused() -> None:
    with pytest.raises(InputError, match=r"do not fit int8 \(the largest is 1e\+08\)"):
        quantize(torch.full((1, 1, 2), 1e8))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", ["fp32", "fp16", "bf16", "int8"])
def test_tokens_that_are_no_numbers_are_refused(dtype: str, bad: float) -> None:
    patches = torch.ones(2, 2, 3)
    patches[1, 0, 1] = bad
    with pytest.raises(InputError, match=r"tokens that are no numbers \(NaN or infinite\)"):
        quantize(patches) if dtype == "int8" else narrow(patches, dtype)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("fp32", 196 * 384 * 4), ("fp16", 196 * 384 * 2), ("bf16", 196 * 384 * 2),
     ("int8", 196 * (384 + 2))],
)  # fmt: skip
def test_the_bytes_of_an_image_are_those_of_its_patches_and_vectors(
    dtype: str, expected: int
) -> None:
    shapes = {12: (196, 384)}
    vectors = 5 * 4 * 384
    with_patches = bytes_per_image(shapes, dtype=dtype, with_patches=True)  # type: ignore[arg-type]
    assert with_patches == expected + vectors
    assert bytes_per_image(shapes, dtype=dtype, with_patches=False) == vectors  # type: ignore[arg-type]


def test_the_bytes_of_layers_add_up() -> None:
    one = bytes_per_image({1: (4, 8)}, dtype="fp16", with_patches=True)
    assert bytes_per_image({1: (4, 8), 2: (4, 8)}, dtype="fp16", with_patches=True) == 2 * one
