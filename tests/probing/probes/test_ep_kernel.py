"""The backward pass of EP's kernel is autograd's, with less kept and less built."""

from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from helpers.probing_pools import build_ep
from toolkit_probing.probes import EfficientProbing, ep_kernel
from toolkit_probing.probes.ep_kernel import ep_pool, pool_together


@settings(max_examples=15, deadline=None)
@given(
    b=st.integers(0, 9), n=st.integers(1, 5), q=st.sampled_from([1, 2, 4]), m=st.integers(1, 4),
    needs=st.tuples(st.booleans(), st.booleans(), st.booleans()).filter(any),
    chunk=st.sampled_from([1, 40, 1 << 17]),
)  # fmt: skip
def test_each_requested_gradient_is_autograds_own(b, n, q, m, needs, chunk):
    probe = build_ep(q * m, q)
    values = (torch.randn(b, n, q * m, dtype=torch.float64), probe.queries, probe.value.weight)
    inputs = [
        item.detach().requires_grad_(wanted) for item, wanted in zip(values, needs, strict=True)
    ]
    wanted = [item for item in inputs if item.requires_grad]
    seen = torch.randn(b, q * m, dtype=torch.float64)
    with patch.object(ep_kernel, "CHUNK", chunk):
        actual = torch.autograd.grad((ep_pool(*inputs) * seen).sum(), wanted)
    expected = torch.autograd.grad((plain_ep(*inputs) * seen).sum(), wanted)
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=1e-10)


@settings(max_examples=15, deadline=None)
@given(
    b=st.integers(0, 9), q=st.sampled_from([1, 2, 4]), m=st.integers(1, 4),
    needs=st.lists(st.booleans(), min_size=7, max_size=7).filter(any),
    chunk=st.sampled_from([1, 40, 1 << 17]),
)  # fmt: skip
def test_each_of_three_heads_on_the_same_tokens_has_its_own_gradients(b, q, m, needs, chunk):
    probes = [build_ep(q * m, q) for _ in range(3)]
    maps = [*(probe.queries for probe in probes), *(probe.value.weight for probe in probes)]
    values = [torch.randn(b, 5, q * m, dtype=torch.float64), *maps]
    inputs = [
        item.detach().clone().requires_grad_(wanted)
        for item, wanted in zip(values, needs, strict=True)
    ]
    tokens, queries, weights = inputs[0], inputs[1:4], inputs[4:]
    wanted = [item for item in inputs if item.requires_grad]
    seen = torch.randn(3, b, q * m, dtype=torch.float64)
    with patch.object(ep_kernel, "CHUNK", chunk):
        pooled = torch.stack(pool_together(tokens, queries, weights))
        actual = torch.autograd.grad((pooled * seen).sum(), wanted)
    plain = torch.stack([plain_ep(tokens, *pair) for pair in zip(queries, weights, strict=True)])
    torch.testing.assert_close(pooled, plain, atol=1e-10, rtol=1e-10)
    expected = torch.autograd.grad((plain * seen).sum(), wanted)
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=1e-10)


def plain_ep(tokens: Tensor, queries: Tensor, weight: Tensor) -> Tensor:
    pooled = (queries @ tokens.transpose(1, 2)).softmax(-1) @ tokens
    return torch.einsum("bqd,qmd->bqm", pooled, weight.unflatten(0, (len(queries), -1))).flatten(1)


@pytest.mark.slow
@pytest.mark.parametrize("b", [2, 3, 5, 9])
def test_ep_passes_gradcheck_also_where_gradients_take_the_place_of_pooled_values(b: int):
    probe = build_ep(12, 4)
    inputs = (torch.randn(b, 2, 12, dtype=torch.float64), probe.queries, probe.value.weight)
    inputs = tuple(item.detach().requires_grad_() for item in inputs)
    assert torch.autograd.gradcheck(ep_pool, inputs)


def test_a_retained_graph_can_be_gone_through_again():
    probe, tokens = build_ep(12, 4), torch.randn(4, 5, 12, dtype=torch.float64)
    out = probe(tokens).square().sum()
    first = torch.autograd.grad(out, list(probe.parameters()), retain_graph=True)
    second = torch.autograd.grad(out, list(probe.parameters()))
    for one, other in zip(first, second, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("b", [4, 20])
def test_checkpointing_ep_changes_no_gradient(b: int):
    probe, tokens = build_ep(12, 4), torch.randn(b, 5, 12, dtype=torch.float64)
    expected = torch.autograd.grad(probe(tokens).square().sum(), list(probe.parameters()))
    out = checkpoint(probe, tokens, use_reentrant=False)
    actual = torch.autograd.grad(out.square().sum(), list(probe.parameters()))
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_frozen_tokens_get_no_gradient_and_others_get_one():
    probe, tokens = build_ep(12, 4), torch.randn(4, 5, 12, dtype=torch.float64)
    probe(tokens).sum().backward()
    assert tokens.grad is None
    tokens.requires_grad_()
    probe(tokens).sum().backward()
    assert tokens.grad is not None


def test_a_second_derivative_is_refused():
    probe, tokens = build_ep(12, 4), torch.randn(4, 5, 12, dtype=torch.float64)
    out = probe(tokens).square().sum()
    (grad,) = torch.autograd.grad(out, probe.queries, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_ep_works_under_autocast(dtype: torch.dtype):
    torch.manual_seed(0)
    probe, tokens = EfficientProbing(24, num_queries=4), torch.randn(5, 6, 24)
    exact = probe(tokens)
    with torch.autocast("cpu", dtype=dtype):
        out = probe(tokens)
    assert out.dtype == dtype
    torch.testing.assert_close(out.float(), exact, atol=0.02, rtol=0.02)
    out.float().square().sum().backward()
    for parameter in probe.parameters():
        assert parameter.grad is not None
        assert parameter.grad.dtype == torch.float32
        assert parameter.grad.isfinite().all()
