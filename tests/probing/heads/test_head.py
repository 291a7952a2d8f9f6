"""Heads: pool, batch norm, classifier; built from a spec and nothing else."""

import pickle

import pytest
import torch
from torch.nn import functional as F

from helpers.probing_pools import build_pool, draw_tokens
from toolkit_common.errors import InputError
from toolkit_common.features.codec import keep
from toolkit_common.features.contract import Features
from toolkit_probing.heads.head import Head, HeadSpec, build_head
from toolkit_probing.heads.inputs import read_source
from toolkit_probing.probes import POOLS, Pool


def features(b: int = 6, n: int = 4, d: int = 8) -> Features:
    draws = torch.Generator().manual_seed(0)
    patches = torch.randn(b, n, d, generator=draws)
    vectors = {"mean": patches.mean(1), "cls": torch.randn(b, d, generator=draws)}
    return Features(vectors, patches, (2, 2))


def spec(**changes) -> HeadSpec:
    values = {"method": "ep", "layer": 1, "source": "patches", "base_lr": 0.1, "seed": 0}
    options = {"num_queries": 2} if changes.get("method", "ep") == "ep" else {}
    return HeadSpec(**{**values, "options": options, **changes})


def test_all_puts_the_class_token_before_the_patches():
    given = features()
    tokens = read_source(given, "all")
    assert tokens.shape == (6, 5, 8)
    assert torch.equal(tokens[:, 0], given.vectors["cls"])


def test_half_precision_patches_are_read_in_full_precision():
    given = features()
    half = Features(given.vectors, given.patches.half(), given.grid)
    assert read_source(half, "patches").dtype == torch.float32


@pytest.mark.parametrize("kept", ["fp16", "int8"])
def test_under_autocast_patches_are_rounded_once_to_what_products_read(kept):
    narrow = keep({1: features()}, kept)[1]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        patches, tokens = (read_source(narrow, source) for source in ("patches", "all"))
    assert torch.equal(patches, read_source(narrow, "patches").bfloat16())
    assert torch.equal(tokens, read_source(narrow, "all").bfloat16())


def test_initial_weights_depend_on_seed_and_method_not_on_learning_rate_or_rng():
    first = build_head(spec(base_lr=0.1), features(), num_classes=3).state_dict()
    torch.rand(100)
    same = build_head(spec(base_lr=9.0), features(), num_classes=3).state_dict()
    other = build_head(spec(seed=1), features(), num_classes=3).state_dict()
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["pool.queries"], other["pool.queries"])


def test_building_a_head_leaves_the_global_random_stream_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    build_head(spec(), features(), num_classes=3)
    assert torch.equal(torch.rand(2), expected)


def test_linear_head_is_batch_norm_then_classifier():
    head = build_head(spec(method="linear", source="cls"), features(), num_classes=3)
    x = features().vectors["cls"]
    scaled = (x - x.mean(0)) / (x.var(0, unbiased=False) + 1e-6).sqrt()
    torch.testing.assert_close(head(x), head.classifier(scaled))


def test_a_batch_of_one_works_in_eval():
    head = build_head(spec(), features(), num_classes=3).eval()
    assert head(features(b=1).patches).shape == (1, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"source": "pooled", "method": "linear"},
            "unknown vector of this backbone 'pooled'.*cls, mean",
        ),
        ({"method": "eq"}, "unknown method 'eq'; did you mean 'ep'"),
    ],
)
def test_unknown_sources_and_methods_are_named(change, message):
    with pytest.raises(InputError, match=message):
        build_head(spec(**change), features(), num_classes=3)


def test_all_without_a_class_token_says_what_to_do():
    bare = Features({"mean": torch.zeros(2, 8)}, torch.zeros(2, 4, 8), (2, 2))
    with pytest.raises(InputError, match=r"--tokens all needs a class token.*use patches"):
        read_source(bare, "all")


def test_a_micro_batch_changes_neither_loss_nor_gradient_nor_running_statistics():
    tokens = features(b=7).patches.double()
    goals = torch.tensor([0, 1, 2, 0, 1, 2, 0])
    outcomes = []
    for size in (None, 3):
        head = build_head(spec(), features(), num_classes=3).double()
        loss = torch.nn.functional.cross_entropy(head(tokens, micro_batch=size), goals)
        loss.backward()
        gradients = [parameter.grad for parameter in head.parameters()]
        outcomes.append([loss.detach(), *gradients, *head.norm.buffers()])
    for whole, cut in zip(*outcomes, strict=True):
        torch.testing.assert_close(cut, whole, atol=1e-12, rtol=1e-12)


class PoolWithStatistics(Pool):
    """Normalises over the batch before it pools, as AIM's probe does."""

    title = "mean of normalised tokens"
    out_dim = 8

    def __init__(self) -> None:
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(8)

    def forward(self, tokens):
        return self.norm(tokens.mean(dim=1))


def test_a_pool_with_batch_statistics_is_not_cut():
    head = Head(PoolWithStatistics(), dim=8, num_classes=3)
    tokens = features(b=7).patches
    expected = Head(PoolWithStatistics(), dim=8, num_classes=3)
    expected.load_state_dict(head.state_dict())
    assert torch.equal(head(tokens, micro_batch=3), expected(tokens))
    assert torch.equal(head.pool.norm.running_mean, expected.pool.norm.running_mean)


def gradients(head: Head) -> dict[str, torch.Tensor]:
    """Gradients of a head in training, in float64."""
    F.cross_entropy(head(draw_tokens(6)), torch.arange(6) % 3).backward()
    return {name: item.grad for name, item in head.pool.named_parameters()}


@pytest.mark.parametrize("name", POOLS)
def test_what_the_norm_takes_away_again_has_no_gradient(name):
    pool = build_pool(name)
    actual = gradients(Head(pool, dim=pool.out_dim, num_classes=3).double())
    scale = max(item.abs().max() for item in actual.values())
    for key, item in actual.items():
        for part in item.chunk(3 if key == "qkv.bias" else 1):  # of queries, keys and values
            # Nothing between zero and what a sum can tell from its rounding.
            assert part.abs().max() > 1e-12 * scale or not part.any(), key


@pytest.mark.parametrize("name", [name for name, pool in POOLS.items() if pool.shifts])
def test_what_is_made_zero_is_but_rounding_and_nothing_else_changes(name):
    actual, exact = [], []
    for kept in (actual, exact):
        pool = build_pool(name)
        torch.manual_seed(0)
        head = Head(pool, dim=pool.out_dim, num_classes=3).double()
        if kept is exact:
            for parameter in pool.parameters():
                parameter._backward_hooks = None
        kept.append(gradients(head))
    for key, item in actual[0].items():
        # torch 2.11 sums in another order than 2.13 and is 1.1e-15 off.
        torch.testing.assert_close(item, exact[0][key], rtol=1e-12, atol=4e-15)
        assert not torch.equal(item, exact[0][key]) or key not in POOLS[name].shifts


def test_a_head_with_shifts_is_pickled():
    head = build_head(spec(method="mhca"), features(), num_classes=3).eval()
    again = pickle.loads(pickle.dumps(head))
    assert torch.equal(again(features().patches), head(features().patches))


def test_a_vector_beside_metadata_is_as_wide_as_both():
    head = build_head(
        spec(method="linear", source="cls+meta", base_lr=None), features(), num_classes=3, width=14
    )
    assert head.classifier.weight.shape == (3, 14)
