"""Every pooling computes what its equations say: against the literal form, in float64."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from helpers.probing_pools import DEAD, WITHOUT_GRID, build_pool, draw_tokens
from helpers.properties import few_examples
from lib.literal_probes import LITERAL
from toolkit_probing.probes import POOLS, Pool
from toolkit_probing.probes.abmilp import _joins_keys, _joins_values

VARIANTS = [
    *((name, {}) for name in POOLS),
    ("ep", {"width_divisor": 2}),
    ("abmilp", {"mode": "map"}),
    ("abmilp", {"mode": "none", "depth": 1}),
    ("abmilp", {"depth": 3, "activation": "relu"}),
    ("coca", {"num_heads": 3}),
    ("mhca", {"num_heads": 2}),
]


def test_every_pooling_has_a_literal_form():
    assert set(LITERAL) == set(POOLS)


def gradients(pool: Pool, pooled: Tensor, tokens: Tensor) -> dict[str, Tensor]:
    seen = draw_tokens(len(pooled), 1, pooled.shape[1], seed=7)[:, 0]
    names = {"tokens": tokens, **dict(pool.named_parameters())}
    actual = torch.autograd.grad((pooled * seen).sum(), names.values(), allow_unused=True)
    return {
        key: torch.zeros_like(names[key]) if grad is None else grad
        for key, grad in zip(names, actual, strict=True)
    }


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=str)
def test_output_and_all_gradients_equal_the_literal_form(name, options, training: bool):
    pool = build_pool(name, **options).train(training)
    tokens = draw_tokens(3).requires_grad_()
    expected = LITERAL[name](pool, tokens)
    wanted = gradients(pool, expected, tokens)
    actual = pool(tokens)
    torch.testing.assert_close(actual, expected, atol=1e-10, rtol=1e-10)
    for key, gradient in gradients(pool, actual, tokens).items():
        torch.testing.assert_close(gradient, wanted[key], atol=1e-10, rtol=1e-10, msg=key)


@pytest.mark.parametrize(("b", "n", "joined"), [(1, 9, ""), (2, 25, "values"), (4, 30, "both")])
@pytest.mark.parametrize("mode", ["both", "map"])
def test_abmilp_equals_the_literal_form_whichever_maps_are_joined(mode, b: int, n: int, joined):
    pool, tokens = build_pool("abmilp", dim=48, mode=mode), draw_tokens(b, n, 48)
    is_joined = _joins_keys(tokens), _joins_values(tokens, pool.score[0].weight)
    assert is_joined == (joined == "both", joined != "")
    expected, actual = LITERAL["abmilp"](pool, tokens), pool(tokens)
    torch.testing.assert_close(actual, expected, atol=1e-10, rtol=1e-10)
    tokens.requires_grad_()
    wanted = gradients(pool, LITERAL["abmilp"](pool, tokens), tokens)
    for key, gradient in gradients(pool, pool(tokens), tokens).items():
        torch.testing.assert_close(gradient, wanted[key], atol=1e-10, rtol=1e-10, msg=key)


@pytest.mark.parametrize("name", POOLS)
def test_gradients_of_parameters_do_not_need_those_of_tokens(name: str):
    pool, tokens = build_pool(name), draw_tokens(3)
    pool(tokens).square().sum().backward()
    actual = {key: value.grad.clone() for key, value in pool.named_parameters()}
    pool.zero_grad()
    pool(tokens.requires_grad_()).square().sum().backward()
    for key, value in pool.named_parameters():
        torch.testing.assert_close(value.grad, actual[key], atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("name", POOLS)
def test_in_single_precision_the_faster_products_give_the_literal_gradients(name: str):
    pool, tokens = build_pool(name).float(), draw_tokens(3).float()
    dead = DEAD.get(name, ())
    parameters = [item for key, item in pool.named_parameters() if key not in dead]
    seen = draw_tokens(3, 1, pool.out_dim, seed=7)[:, 0].float()
    exact = torch.autograd.grad((LITERAL[name](pool, tokens) * seen).sum(), parameters)
    actual = torch.autograd.grad((pool(tokens) * seen).sum(), parameters)
    for mine, theirs in zip(actual, exact, strict=True):
        scale = theirs.abs().max()
        torch.testing.assert_close(mine / scale, theirs / scale, atol=2e-4, rtol=1e-3)


@pytest.mark.slow
@few_examples
@given(
    name=st.sampled_from(WITHOUT_GRID), b=st.integers(1, 3), n=st.integers(1, 9),
    dim=st.sampled_from([16, 48, 64]), seed=st.integers(0, 99),
)  # fmt: skip
def test_any_shape_equals_the_literal_form(name: str, b: int, n: int, dim: int, seed: int):
    pool, tokens = build_pool(name, dim=dim).eval(), draw_tokens(b, n, dim, seed=seed)
    torch.testing.assert_close(pool(tokens), LITERAL[name](pool, tokens), atol=1e-10, rtol=1e-10)
