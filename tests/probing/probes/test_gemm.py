"""The products of queries and tokens, fast path and plain, give float64's values and gradients."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from helpers.waiting import counting
from toolkit_probing.probes import gemm


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def check(
    fast: Callable[..., Tensor], plain: Callable[..., Tensor], *inputs: Tensor, trained: int = 1
) -> None:
    """Compare the first `trained` inputs' gradients, and the values, with float64."""
    ours = [item.clone().requires_grad_(i < trained) for i, item in enumerate(inputs)]
    exact = [item.double().requires_grad_(i < trained) for i, item in enumerate(inputs)]
    value, expected = fast(*ours), plain(*exact)
    torch.testing.assert_close(value.double(), expected, atol=1e-4, rtol=1e-4)
    seen = numbers(*value.shape, seed=1)
    (value * seen).sum().backward()
    (expected * seen.double()).sum().backward()
    for mine, theirs in zip(ours[:trained], exact[:trained], strict=True):
        assert mine.grad is not None
        assert theirs.grad is not None
        torch.testing.assert_close(mine.grad.double(), theirs.grad, atol=1e-3, rtol=1e-4)


def test_a_device_with_launches_sums_over_all_tokens_in_one_product():
    weights = torch.empty(64, 32, 196, device="meta")
    with counting() as (_, launches):
        total = gemm.sum_over_tokens(weights, torch.empty(64, 196, 384, device="meta"))
    assert total.shape == (32, 384)
    assert launches["mm"] == 1
    assert sum(launches.values()) <= 2  # and the copy of the weights, side by side


sizes = {"b": st.integers(1, 4), "n": st.integers(1, 40), "d": st.integers(1, 24)}
counts = st.sampled_from([1, 3, 12, 20])


@settings(max_examples=25, deadline=None)
@given(**sizes, q=counts)
def test_scores_and_sums_of_shared_queries(b: int, n: int, d: int, q: int):
    check(gemm.scores, lambda q, x: q @ x.transpose(1, 2), numbers(q, d), numbers(b, n, d, seed=2))


@settings(max_examples=25, deadline=None)
@given(**sizes, q=counts)
def test_scores_of_each_images_own_queries(b: int, n: int, d: int, q: int):
    tokens = numbers(b, n, d, seed=2)
    check(gemm.scores, lambda q, x: q @ x.transpose(1, 2), numbers(b, q, d), tokens)


@settings(max_examples=25, deadline=None)
@given(**sizes, q=counts)
def test_pooled_tokens(b: int, n: int, d: int, q: int):
    check(gemm.pool, lambda a, x: a @ x, numbers(b, q, n), numbers(b, n, d, seed=2))


@settings(max_examples=25, deadline=None)
@given(**sizes, c=st.integers(1, 9))
def test_projected_tokens(b: int, n: int, d: int, c: int):
    tokens = numbers(b, n, d, seed=2)
    check(gemm.linear, lambda x, w: x @ w.T, tokens, numbers(c, d), trained=2)


def test_a_projection_takes_a_bias():
    tokens, weight, bias = numbers(2, 3, 4), numbers(5, 4, seed=1), numbers(5, seed=2)
    expected = torch.nn.functional.linear(tokens, weight, bias)
    torch.testing.assert_close(gemm.linear(tokens, weight, bias), expected)


def test_tokens_that_need_a_gradient_get_it():
    queries, tokens = numbers(12, 8), numbers(2, 5, 8, seed=1).requires_grad_()
    gemm.pool(gemm.scores(queries, tokens).softmax(-1), tokens).sum().backward()
    assert tokens.grad is not None
    assert tokens.grad.abs().sum() > 0


@pytest.mark.parametrize("shape", [(0, 5, 8), (2, 5, 8)])
def test_an_empty_batch_and_another_dtype_take_the_plain_product(shape: tuple[int, ...]):
    tokens = torch.zeros(shape, dtype=torch.float64 if shape[0] else torch.float32)
    queries = torch.zeros(12, 8, dtype=tokens.dtype)
    assert not gemm.serves(queries, tokens)
    assert gemm.scores(queries, tokens).shape == (shape[0], 12, 5)


@pytest.mark.filterwarnings("ignore:TF32 acceleration")  # torch's own, on any change of a flag
def test_with_onednn_switched_off_the_plain_product_serves():
    queries, tokens = numbers(12, 8), numbers(2, 5, 8, seed=1)
    expected = gemm.scores(queries, tokens)
    with torch.backends.mkldnn.flags(enabled=False):
        assert not gemm.serves(queries, tokens)
        torch.testing.assert_close(gemm.scores(queries, tokens), expected)
