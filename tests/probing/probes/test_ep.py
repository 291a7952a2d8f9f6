"""EP computes what the paper's equations say (docs/poolings.md)."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from helpers.probing_pools import build_ep
from toolkit_common.errors import InputError
from toolkit_probing.probes import EfficientProbing


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


@settings(max_examples=20, deadline=None)
@given(
    b=st.integers(1, 3), n=st.integers(1, 7), q=st.sampled_from([1, 2, 4]), m=st.integers(1, 3),
    divisor=st.integers(1, 2), seed=st.integers(0, 99),
)  # fmt: skip
def test_ep_equals_the_literal_form(b: int, n: int, q: int, m: int, divisor: int, seed: int):
    dim = q * m * divisor
    probe = build_ep(dim, q, divisor)
    tokens = torch.randn(
        b, n, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )
    expected = literal_ep(tokens, probe.queries, probe.value.weight)
    torch.testing.assert_close(probe(tokens), expected, atol=1e-10, rtol=1e-10)


def test_ep_gradients_equal_those_of_the_literal_form():
    probe = build_ep(12, 4)
    tokens = torch.randn(3, 5, 12, dtype=torch.float64, requires_grad=True)
    seen = torch.randn(3, 12, dtype=torch.float64)
    inputs = (tokens, probe.queries, probe.value.weight)
    expected = torch.autograd.grad((literal_ep(*inputs) * seen).sum(), inputs)
    actual = torch.autograd.grad((probe(tokens) * seen).sum(), inputs)
    for a, b in zip(actual, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-10, rtol=1e-10)


def test_attention_is_a_distribution_over_tokens_for_each_query():
    attention = build_ep(12, 4).attention(torch.randn(3, 5, 12, dtype=torch.float64))
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
