"""Optimizers by name; `lars` is the one of the MAE and EP protocols (docs/traps.md 1)."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.lars import MaeLars
from toolkit_common.errors import InputError
from toolkit_common.torchvision_ops import prepare
from toolkit_common.training.optimizers import OPTIMIZERS, build_optimizer, parameter_groups

LR = 0.5


def train(layer: nn.Linear, optimizer: torch.optim.Optimizer, *, steps: int = 50) -> Tensor:
    """Train on random batches and return all weights as one vector."""
    draws = torch.Generator().manual_seed(1)
    for _ in range(steps):
        inputs = torch.randn(32, 64, generator=draws, dtype=torch.float64)
        targets = torch.randint(10, (32,), generator=draws)
        optimizer.zero_grad()
        F.cross_entropy(layer(inputs), targets).backward()
        optimizer.step()
    return torch.cat([item.detach().flatten() for item in layer.parameters()])


def build_layer() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(64, 10, dtype=torch.float64)


def ours(name: str) -> Callable[[nn.Linear], torch.optim.Optimizer]:
    return lambda layer: build_optimizer(name, parameter_groups(layer.parameters(), lr=LR))


def test_lars_is_that_of_mae() -> None:
    layer, twin = build_layer(), build_layer()
    result = train(layer, ours("lars")(layer))
    expected = train(twin, MaeLars(twin.parameters(), lr=LR))
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-12)


def test_lars_from_zero_weights_is_that_of_mae() -> None:
    results = []
    for build in (ours("lars"), lambda layer: MaeLars(layer.parameters(), lr=LR)):
        layer = build_layer()
        nn.init.zeros_(layer.weight)
        results.append(train(layer, build(layer), steps=5))
    torch.testing.assert_close(*results, rtol=0, atol=1e-12)


def test_the_default_lars_of_timm_is_plain_sgd_and_not_ours() -> None:
    prepare()
    from timm.optim import Lars

    layers = [build_layer() for _ in range(3)]
    default = train(layers[0], Lars(layers[0].parameters(), lr=LR, momentum=0.9))
    sgd = train(layers[1], torch.optim.SGD(layers[1].parameters(), lr=LR, momentum=0.9))
    assert torch.equal(default, sgd)
    assert (default - train(layers[2], ours("lars")(layers[2]))).abs().max() > 0.1


def test_lars_adapts_matrices_and_never_vectors() -> None:
    optimizer = ours("lars")(build_layer())
    adapts = {group["params"][0].ndim: group["always_adapt"] for group in optimizer.param_groups}
    assert adapts == {2: True, 1: False}


def test_weight_decay_of_lars_spares_vectors() -> None:
    layer = build_layer()
    groups = parameter_groups(layer.parameters(), lr=LR, weight_decay=0.1)
    decays = [group["weight_decay"] for group in build_optimizer("lars", groups).param_groups]
    assert decays == [0.1, 0.0]


def test_matrices_decay_and_vectors_do_not() -> None:
    layer = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Conv2d(1, 2, 3))
    matrices, vectors = parameter_groups(layer.parameters(), lr=0.1, weight_decay=0.05)
    assert {item.ndim for item in matrices["params"]} == {2, 4}
    assert {item.ndim for item in vectors["params"]} == {1}
    assert (matrices["weight_decay"], vectors["weight_decay"]) == (0.05, 0.0)
    assert matrices["lr"] == matrices["lr_scale"] == vectors["lr_scale"] == 0.1


def test_frozen_parameters_and_empty_groups_are_left_out() -> None:
    layer = nn.Linear(3, 4)
    layer.bias.requires_grad_(False)
    groups = parameter_groups(layer.parameters(), lr=0.1)
    assert [group["params"] for group in groups] == [[layer.weight]]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_learns(name: str) -> None:
    torch.manual_seed(0)
    inputs = torch.randn(64, 8)
    targets = (inputs[:, 0] > 0).long()
    layer = nn.Linear(8, 2)
    rate = {"lars": 50.0, "adamw": 0.05, "sgd": 0.5}[name]
    optimizer = build_optimizer(name, parameter_groups(layer.parameters(), lr=rate))
    for _ in range(40):
        optimizer.zero_grad()
        F.cross_entropy(layer(inputs), targets).backward()
        optimizer.step()
    assert (layer(inputs).argmax(dim=1) == targets).float().mean() > 0.9


def test_an_unknown_optimizer_is_answered_with_its_neighbours() -> None:
    with pytest.raises(InputError, match=r"unknown optimizer 'adam'; did you mean 'adamw'\?"):
        build_optimizer("adam", [])


def test_adamw_is_fused_and_takes_the_steps_of_the_plain_one() -> None:
    steps = []
    for build in (partial(build_optimizer, "adamw"), partial(torch.optim.AdamW, foreach=False)):
        weight = torch.nn.Parameter(torch.linspace(-1, 1, 12, dtype=torch.float64).view(3, 4))
        optimizer = build([{"params": [weight], "lr": 0.1, "weight_decay": 0.3}])
        for step in range(5):
            weight.grad = torch.sin(weight.detach() * (step + 1))
            optimizer.step()
        steps.append((weight.detach(), optimizer.defaults["fused"]))
    (ours, ours_fused), (plain, _) = steps
    assert ours_fused
    torch.testing.assert_close(ours, plain, rtol=1e-12, atol=0)
