"""The contract that every pooling of the registry keeps."""

import io
import re
import tokenize
from copy import deepcopy
from pathlib import Path

import pytest
import torch

import toolkit_probing.probes
from helpers.devices import DEVICE, on_gpu
from helpers.probing_pools import (
    DEAD,
    DIM,
    GRID,
    SMALL,
    WITH_BATCH_STATISTICS,
    WITH_GRID,
    WITHOUT_GRID,
    build_pool,
    draw_tokens,
)
from toolkit_common.errors import InputError
from toolkit_probing.probes import POOLS, AttentivePool

every_pool = pytest.mark.parametrize("name", POOLS)
PROBES = Path(toolkit_probing.probes.__file__).parent


@every_pool
def test_the_output_has_the_width_that_is_announced(name: str):
    pool = build_pool(name)
    assert pool(draw_tokens(3)).shape == (3, pool.out_dim)


@every_pool
def test_a_gradient_reaches_every_parameter_that_is_not_declared_dead(name: str):
    pool = build_pool(name)
    (pool(draw_tokens(3)) * draw_tokens(3, 1)[:, 0, : pool.out_dim]).sum().backward()
    names = dict(pool.named_parameters())
    assert [key for key, parameter in names.items() if parameter.grad is None] == []
    dead = {key for key, value in names.items() if value.grad.abs().max() < 1e-12}
    assert dead == DEAD.get(name, set())


@every_pool
def test_every_parameter_has_a_gradient_in_training(name: str):
    pool = build_pool(name)
    pool(draw_tokens(3)).sum().backward()
    assert [key for key, value in pool.named_parameters() if value.grad is None] == []


@every_pool
def test_an_image_does_not_depend_on_its_batch(name: str):
    pool, tokens = build_pool(name).eval(), draw_tokens(4)
    torch.testing.assert_close(pool(tokens)[1:3], pool(tokens[1:3]), atol=1e-12, rtol=1e-10)


@every_pool
def test_statistics_of_the_batch_are_declared(name: str):
    pool, tokens = build_pool(name), draw_tokens(4)
    is_independent = torch.allclose(pool(tokens)[:2], pool(tokens[:2]), atol=1e-9)
    assert is_independent is (name not in WITH_BATCH_STATISTICS)


@every_pool
def test_token_order_matters_only_where_the_grid_is_needed(name: str):
    pool, tokens = build_pool(name).eval(), draw_tokens(3)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    is_equal = torch.allclose(pool(tokens), pool(tokens[:, order]), atol=1e-10)
    assert is_equal is not POOLS[name].needs_grid


@every_pool
def test_a_state_dict_brings_the_same_function(name: str):
    pool, other = build_pool(name), build_pool(name)
    for parameter in other.parameters():
        torch.nn.init.zeros_(parameter)
    other.load_state_dict(pool.state_dict())
    tokens = draw_tokens(3)
    assert torch.equal(pool.eval()(tokens), other.eval()(tokens))


@on_gpu
@every_pool
def test_values_and_gradients_on_a_gpu_are_those_of_float64(name: str):
    exact, tokens = build_pool(name), draw_tokens(3)
    pool = deepcopy(exact).float().to(DEVICE)
    expected, actual = exact(tokens), pool(tokens.float().to(DEVICE))
    expected.square().sum().backward()
    actual.square().sum().backward()
    pairs = [(actual, expected)]
    pairs += [
        (one.grad, other.grad)
        for one, other in zip(pool.parameters(), exact.parameters(), strict=True)
    ]
    for one, other in pairs:
        assert (one.cpu().double() - other).norm() <= 1e-3 * other.norm() + 1e-5


@every_pool
@pytest.mark.parametrize("kept", [torch.float32, torch.bfloat16])
def test_bf16_autocast_is_finite_and_near(name: str, kept: torch.dtype):
    pool, tokens = build_pool(name).float(), draw_tokens(3).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        pooled = pool(tokens.to(kept))
        loss = pooled.float().square().mean()
    loss.backward()
    assert torch.isfinite(pooled).all()
    assert all(torch.isfinite(parameter.grad).all() for parameter in pool.parameters())
    exact = pool(tokens)
    assert (pooled.float() - exact).norm() < 0.1 * exact.norm()


@every_pool
def test_a_batch_of_one_works_in_evaluation(name: str):
    pool = build_pool(name).eval()
    assert pool(draw_tokens(1)).shape == (1, pool.out_dim)


@every_pool
def test_a_single_token_works(name: str):
    pool = build_pool(name, grid=(1, 1))
    tokens = draw_tokens(3, 1)
    pooled = pool(tokens)
    pooled.sum().backward()
    assert torch.isfinite(pooled).all()


@pytest.mark.parametrize("grid", [(1, 7), (5, 2), (3, 3)])
@pytest.mark.parametrize("name", WITH_GRID)
def test_any_grid_works(name: str, grid: tuple[int, int]):
    pool = build_pool(name, grid=grid)
    assert pool(draw_tokens(3, grid[0] * grid[1])).shape == (3, pool.out_dim)


@pytest.mark.parametrize("name", WITH_GRID)
def test_tokens_off_the_grid_are_refused(name: str):
    with pytest.raises(InputError, match=r"2 x 3 grid.*got 7 tokens.*the patches alone"):
        build_pool(name)(draw_tokens(3, 7))


@pytest.mark.parametrize("name", WITHOUT_GRID)
def test_any_number_of_tokens_works_without_a_grid(name: str):
    pool = build_pool(name)
    assert pool(draw_tokens(2, 11)).shape == pool(draw_tokens(2, 4)).shape


@every_pool
def test_no_device_is_assumed(name: str):
    with torch.device("meta"):
        where = {"grid": GRID} if POOLS[name].needs_grid else {}
        pool = POOLS[name](DIM, **where, **SMALL.get(name, {})).eval()
        pooled = pool(torch.empty(2, GRID[0] * GRID[1], DIM))
    assert pooled.device.type == "meta"


@pytest.mark.parametrize("path", sorted(PROBES.glob("*.py")), ids=lambda path: path.stem)
def test_no_probe_calls_a_device_by_name(path: Path):
    code = tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline)
    assert [
        item.start for item in code if item.type == tokenize.NAME and item.string == "cuda"
    ] == []


@pytest.mark.parametrize("name", [n for n in POOLS if issubclass(POOLS[n], AttentivePool)])
def test_attention_is_a_distribution_over_tokens(name: str):
    pool, tokens = build_pool(name), draw_tokens(3)
    attention = pool.attention(tokens)
    assert attention.shape[::2] == (3, 6)
    assert (attention >= 0).all()
    torch.testing.assert_close(attention.sum(-1), torch.ones(attention.shape[:2]).double())


@every_pool
def test_looking_at_attention_changes_nothing(name: str):
    pool = build_pool(name)
    before = {key: value.clone() for key, value in pool.state_dict().items()}
    if isinstance(pool, AttentivePool):
        pool.attention(draw_tokens(3))
    assert all(torch.equal(value, before[key]) for key, value in pool.state_dict().items())


@every_pool
def test_title_and_source_give_name_authors_and_year(name: str):
    assert re.fullmatch(r"[^()]+", POOLS[name].title)
    assert re.fullmatch(r"[^()]+, \d{4}", POOLS[name].source)
