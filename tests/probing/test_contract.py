"""The contract of every pooling in the registry; what a method cannot keep, its class declares."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pool_cases import DIM, GRID, NAMES, build, tokens
from toolkit_common.errors import InputError
from toolkit_probing.probes import POOLS, AttentivePool

HAS_POSITIONS = {"clip", "cbam"}  # a learned table, a convolution: token order matters


@pytest.mark.parametrize("name", NAMES)
def test_tokens_become_one_vector_an_image(name: str):
    pool = build(name).double()
    assert pool(tokens()).shape == (3, pool.out_dim)


@pytest.mark.parametrize("name", NAMES)
def test_a_gradient_reaches_every_parameter_that_is_not_declared_dead(name: str):
    pool = build(name).double()
    seen = torch.randn(3, pool.out_dim, dtype=torch.float64)
    (pool(tokens()) * seen).sum().backward()
    reached = {
        key
        for key, parameter in pool.named_parameters()
        if parameter.grad is not None and parameter.grad.abs().max() > 1e-12
    }
    assert reached == set(dict(pool.named_parameters())) - pool.dead_parameters


@pytest.mark.parametrize("name", NAMES)
def test_an_image_does_not_depend_on_the_batch_in_evaluation(name: str):
    pool = build(name).double().eval()
    inputs = tokens(b=4)
    alone = torch.cat([pool(image.unsqueeze(0)) for image in inputs])
    torch.testing.assert_close(pool(inputs), alone, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_in_training_only_declared_batch_statistics_mix_images(name: str):
    pool = build(name).double().train()
    inputs = tokens(b=4)
    alone, together = pool(inputs[:2]), pool(inputs)[:2]
    is_same = torch.allclose(alone, together, atol=1e-10, rtol=1e-10)
    assert is_same != pool.has_batch_statistics


@pytest.mark.parametrize("name", NAMES)
def test_token_order_matters_only_where_a_method_has_positions(name: str):
    pool = build(name).double().eval()
    inputs = tokens()
    shuffled = pool(inputs[:, torch.tensor([4, 2, 0, 5, 1, 3])])
    is_same = torch.allclose(pool(inputs), shuffled, atol=1e-10, rtol=1e-10)
    assert is_same == (name not in HAS_POSITIONS)
    assert pool.needs_grid == (name in HAS_POSITIONS)


@pytest.mark.parametrize("name", NAMES)
def test_a_state_dict_makes_the_same_pooling(name: str):
    pool, other = build(name).double(), build(name).double()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1.0)
    other.load_state_dict(pool.state_dict())
    assert torch.equal(other.eval()(tokens()), pool.eval()(tokens()))


@pytest.mark.parametrize("name", NAMES)
def test_low_precision_stays_finite(name: str):
    pool, inputs = build(name), tokens(dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        pooled = pool(inputs)
    pooled.float().square().sum().backward()
    gradients = [item.grad for item in pool.parameters() if item.grad is not None]
    assert all(item.isfinite().all() for item in [pooled, *gradients])


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(NAMES), b=st.integers(1, 3), height=st.integers(1, 4),
    width=st.integers(1, 4),
)  # fmt: skip
def test_any_grid_and_a_batch_of_one(name: str, b: int, height: int, width: int):
    pool = build(name, grid=(height, width)).eval()
    pooled = pool(tokens(b=b, n=height * width, dtype=torch.float32))
    assert pooled.shape == (b, pool.out_dim)
    assert pooled.isfinite().all()


@pytest.mark.parametrize("name", [name for name in NAMES if issubclass(POOLS[name], AttentivePool)])
def test_attention_is_a_distribution_over_tokens(name: str):
    pool = build(name).double().eval()
    assert isinstance(pool, AttentivePool)
    attention = pool.attention(tokens())
    assert attention.shape[0] == 3
    assert attention.shape[2] == 6
    assert (attention >= 0).all()
    torch.testing.assert_close(attention.sum(-1), torch.ones_like(attention[..., 0]))


@pytest.mark.parametrize("name", NAMES)
def test_looking_at_attention_changes_nothing(name: str):
    pool = build(name).double().train()
    if not isinstance(pool, AttentivePool):
        pytest.skip("has no attention to look at")
    before = {key: value.clone() for key, value in pool.state_dict().items()}
    pool.attention(tokens())
    assert all(torch.equal(value, before[key]) for key, value in pool.state_dict().items())


@pytest.mark.parametrize("name", sorted(HAS_POSITIONS))
def test_tokens_that_are_not_the_grids_are_refused(name: str):
    with pytest.raises(InputError, match=rf"method {name} .*2 x 3.*got 7 tokens"):
        build(name)(tokens(n=7, dtype=torch.float32))


HEADS = ["simpool", "coca", "cbam", "dolg", "abmilp", "ep"]


@pytest.mark.parametrize("name", [name for name in NAMES if name not in HEADS])
def test_heads_that_do_not_divide_the_width_are_refused(name: str):
    options = {"grid": GRID} if POOLS[name].needs_grid else {}
    message = r"multiple of num_heads, got dim=96, num_heads=7.*1, 2, 3, 4, 6, 8, 12"
    with pytest.raises(InputError, match=message):
        POOLS[name](DIM, num_heads=7, **options)
