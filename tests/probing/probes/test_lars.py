"""Under LARS every pooling moves as its literal form does under LARS as it is written.

LARS looks at each tensor as it is stored: at whether it has two dimensions or more, and at the norm
of the whole of it. So it counts whether a query is a vector, and whether maps are stored as one.
"""

from collections.abc import Mapping
from copy import deepcopy

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from helpers.lars import MaeLars
from helpers.probing_pools import DIM, GRID, SMALL, draw_tokens
from lib.literal_probes import LITERAL, batch_norm
from toolkit_common.training.optimizers import build_optimizer, parameter_groups
from toolkit_probing.heads.head import Head, build_pool
from toolkit_probing.probes import POOLS

CLASSES, LR, STEPS = 3, 0.05, 20
# What the authors' modules store with two dimensions or more (billpsomas/efficient-probing, commit
# b8f4fb8, `poolings/`), by our names; mhca, which they have not, is ours.
ADAPTED: Mapping[str, set[str]] = {
    "ep": {"queries", "value.weight"},
    "abmilp": {"qkv.weight", "out.weight", "score.hidden0.weight", "score.last.weight"},
    "simpool": {"to_query.weight", "to_key.weight"},
    "esimpool": set(),
    "clip": {"positions", "qkv.weight", "out.weight"},
    "siglip": {"latent", "to_query.weight", "to_key_value.weight", "out.weight",
               "mlp.first.weight", "mlp.second.weight"},
    "aim": {"query", "to_key.weight", "to_value.weight"},
    "cbam": {"channel_gate.0.weight", "channel_gate.2.weight", "conv.weight"},
    "coca": {"queries", "to_query.weight", "to_key_value.weight", "out.weight"},
    "cait": {"cls_token", "to_query.weight", "to_key.weight", "to_value.weight", "out.weight",
             "mlp.first.weight", "mlp.second.weight"},
    "cae": {"query", "to_query.weight", "to_key.weight", "to_value.weight", "out.weight"},
    "dinovit": {"qkv.weight", "out.weight", "mlp.first.weight", "mlp.second.weight"},
    "jepa": {"query", "to_query.weight", "to_key_value.weight", "out.weight",
             "mlp.first.weight", "mlp.second.weight"},
    "dolg": {"map.weight", "score.weight"},
    "mhca": {"query", "to_query.weight", "to_key_value.weight", "out.weight"},
}  # fmt: skip


def build(name: str) -> Head:
    """A head as it is before training, in float64."""
    torch.manual_seed(0)
    pool = build_pool(name, DIM, grid=GRID, options=SMALL.get(name, {}))
    return Head(pool, dim=pool.out_dim, num_classes=CLASSES).double()


def literal_logits(head: Head, tokens: Tensor) -> Tensor:
    pooled = batch_norm(head.norm, LITERAL[name_of(head)](head.pool, tokens))
    return pooled @ head.classifier.weight.T + head.classifier.bias


def name_of(head: Head) -> str:
    return next(name for name, pool in POOLS.items() if type(head.pool) is pool)


def train(head: Head, optimizer: torch.optim.Optimizer, *, is_literal: bool) -> dict[str, Tensor]:
    for step in range(STEPS):
        tokens = draw_tokens(8, seed=step)
        targets = torch.arange(8) % CLASSES
        tokens[:, 0] += 3 * torch.eye(DIM, dtype=torch.float64)[targets]
        optimizer.zero_grad()
        logits = literal_logits(head, tokens) if is_literal else head(tokens)
        F.cross_entropy(logits, targets).backward()
        optimizer.step()
    return {key: value.detach() for key, value in head.named_parameters()}


@pytest.mark.parametrize("name", POOLS)
def test_what_is_adapted_and_decays_is_what_the_authors_store_as_matrices(name: str) -> None:
    pool = build(name).pool
    groups = parameter_groups(pool.parameters(), lr=LR, weight_decay=0.1)
    build_optimizer("lars", groups)
    adapts = {id(item): group["always_adapt"] for group in groups for item in group["params"]}
    decays = {id(item): group["weight_decay"] for group in groups for item in group["params"]}
    parameters = dict(pool.named_parameters())
    assert {key for key, item in parameters.items() if adapts[id(item)]} == ADAPTED[name]
    assert {key for key, item in parameters.items() if decays[id(item)]} == ADAPTED[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", POOLS)
def test_twenty_steps_of_lars_are_those_of_the_literal_form(name: str) -> None:
    head = build(name)
    twin, first = deepcopy(head), deepcopy(dict(head.named_parameters()))
    adapted = {id(twin.get_parameter(f"pool.{key}")) for key in ADAPTED[name]}
    adapted.add(id(twin.classifier.weight))
    lars = MaeLars(twin.parameters(), lr=LR, adapts=lambda item: id(item) in adapted)
    expected = train(twin, lars, is_literal=True)
    ours = build_optimizer("lars", parameter_groups(head.parameters(), lr=LR))
    actual = train(head, ours, is_literal=False)
    for key, value in actual.items():
        torch.testing.assert_close(value, expected[key], rtol=1e-9, atol=1e-12, msg=key)
    moved = max((value - first[key]).abs().max() for key, value in actual.items())
    assert moved > 1e-4
