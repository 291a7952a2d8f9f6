"""EP computes what the paper's equations say (docs/poolings.md)."""

from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from toolkit_common.errors import InputError
from toolkit_probing.probes import EfficientProbing, ep_kernel
from toolkit_probing.probes.ep_kernel import ep_pool


def literal_ep(tokens: Tensor, queries: Tensor, weight: Tensor) -> Tensor:
    """The literal form: project every token, cut into blocks, pool block j by query j."""
    b, _, d = tokens.shape
    q = len(queries)
    width = len(weight) // q
    out = tokens.new_zeros(b, len(weight))
    for i in range(b):
        values = tokens[i] @ weight.T
        for j in range(q):
            scores = tokens[i] @ queries[j] / d**0.5
            attention = torch.exp(scores - scores.max())
            attention = attention / attention.sum()
            for n, share in enumerate(attention):
                out[i, j * width : (j + 1) * width] += (
                    share * values[n, j * width : (j + 1) * width]
                )
    return out


def build(dim: int, queries: int, divisor: int = 1) -> EfficientProbing:
    torch.manual_seed(0)
    probe = EfficientProbing(dim, num_queries=queries, width_divisor=divisor).double()
    with torch.no_grad():
        probe.queries.mul_(50)  # far from the almost uniform attention of the start
    return probe


@settings(max_examples=20, deadline=None)
@given(
    b=st.integers(1, 3), n=st.integers(1, 7), q=st.sampled_from([1, 2, 4]), m=st.integers(1, 3),
    divisor=st.integers(1, 2), seed=st.integers(0, 99),
)  # fmt: skip
def test_ep_equals_the_literal_form(b: int, n: int, q: int, m: int, divisor: int, seed: int):
    dim = q * m * divisor
    probe = build(dim, q, divisor)
    tokens = torch.randn(
        b, n, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )
    expected = literal_ep(tokens, probe.queries, probe.value.weight)
    torch.testing.assert_close(probe(tokens), expected, atol=1e-10, rtol=1e-10)


def test_ep_gradients_equal_those_of_the_literal_form():
    probe = build(12, 4)
    tokens = torch.randn(3, 5, 12, dtype=torch.float64, requires_grad=True)
    seen = torch.randn(3, 12, dtype=torch.float64)
    inputs = (tokens, probe.queries, probe.value.weight)
    expected = torch.autograd.grad((literal_ep(*inputs) * seen).sum(), inputs)
    found = torch.autograd.grad((probe(tokens) * seen).sum(), inputs)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-10, rtol=1e-10)


@settings(max_examples=15, deadline=None)
@given(
    b=st.integers(0, 9), n=st.integers(1, 5), q=st.sampled_from([1, 2, 4]), m=st.integers(1, 4),
    needs=st.tuples(st.booleans(), st.booleans(), st.booleans()).filter(any),
    chunk=st.sampled_from([1, 40, 1 << 17]),
)  # fmt: skip
def test_each_gradient_asked_for_is_autograds_own(b, n, q, m, needs, chunk):
    probe = build(q * m, q)
    values = (torch.randn(b, n, q * m, dtype=torch.float64), probe.queries, probe.value.weight)
    inputs = [
        item.detach().requires_grad_(asked) for item, asked in zip(values, needs, strict=True)
    ]
    wanted = [item for item in inputs if item.requires_grad]
    seen = torch.randn(b, q * m, dtype=torch.float64)
    with patch.object(ep_kernel, "CHUNK", chunk):
        found = torch.autograd.grad((ep_pool(*inputs) * seen).sum(), wanted)
    expected = torch.autograd.grad((plain_ep(*inputs) * seen).sum(), wanted)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=1e-10)


def plain_ep(tokens: Tensor, queries: Tensor, weight: Tensor) -> Tensor:
    pooled = (queries @ tokens.transpose(1, 2)).softmax(-1) @ tokens
    return torch.einsum("bqd,qmd->bqm", pooled, weight.unflatten(0, (len(queries), -1))).flatten(1)


@pytest.mark.parametrize("b", [2, 3, 5, 9])
def test_ep_passes_gradcheck_also_where_gradients_take_the_place_of_pooled_values(b: int):
    probe = build(12, 4)
    inputs = (torch.randn(b, 2, 12, dtype=torch.float64), probe.queries, probe.value.weight)
    inputs = tuple(item.detach().requires_grad_() for item in inputs)
    assert torch.autograd.gradcheck(ep_pool, inputs)


def test_a_retained_graph_can_be_gone_through_again():
    probe, tokens = build(12, 4), torch.randn(4, 5, 12, dtype=torch.float64)
    out = probe(tokens).square().sum()
    first = torch.autograd.grad(out, list(probe.parameters()), retain_graph=True)
    second = torch.autograd.grad(out, list(probe.parameters()))
    for one, other in zip(first, second, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("b", [4, 20])
def test_checkpointing_ep_changes_no_gradient(b: int):
    probe, tokens = build(12, 4), torch.randn(b, 5, 12, dtype=torch.float64)
    expected = torch.autograd.grad(probe(tokens).square().sum(), list(probe.parameters()))
    out = checkpoint(probe, tokens, use_reentrant=False)
    found = torch.autograd.grad(out.square().sum(), list(probe.parameters()))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_frozen_tokens_get_no_gradient_and_tokens_that_ask_get_one():
    probe, tokens = build(12, 4), torch.randn(4, 5, 12, dtype=torch.float64)
    probe(tokens).sum().backward()
    assert tokens.grad is None
    tokens.requires_grad_()
    probe(tokens).sum().backward()
    assert tokens.grad is not None


def test_a_second_derivative_is_refused():
    probe, tokens = build(12, 4), torch.randn(4, 5, 12, dtype=torch.float64)
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


def test_attention_is_a_distribution_over_tokens_for_each_query():
    attention = build(12, 4).attention(torch.randn(3, 5, 12, dtype=torch.float64))
    assert attention.shape == (3, 4, 5)
    torch.testing.assert_close(attention.sum(-1), torch.ones(3, 4, dtype=torch.float64))


@pytest.mark.parametrize(
    ("dim", "queries", "divisor", "expected"),
    [(768, 32, 1, 614_400), (1024, 32, 1, 1_081_344), (768, 32, 2, 319_488), (768, 1, 1, 590_592)],
)
def test_parameter_count_is_the_published_one(dim, queries, divisor, expected):
    probe = EfficientProbing(dim, num_queries=queries, width_divisor=divisor)
    assert sum(parameter.numel() for parameter in probe.parameters()) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"num_queries": 5},
            r"num_queries, got dim=48, width_divisor=1, num_queries=5; .*1, 2, 3, 4, 6",
        ),
        ({"width_divisor": 5}, r"dim must be a multiple of width_divisor.*dim=48, width_divisor=5"),
        ({"num_queries": 0}, r"num_queries=0"),
        ({"width_divisor": 0}, r"width_divisor=0"),
    ],
)
def test_options_that_do_not_divide_are_refused_with_the_valid_ones(options, message):
    with pytest.raises(InputError, match=message):
        EfficientProbing(48, **options)
