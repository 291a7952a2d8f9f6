"""Heads of EP that read tokens at once learn what each learns alone, to the bit."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.probe_problem import FITTED, Interrupting, make_examples, make_problem, train_heads
from toolkit_probing.heads.bank import HeadBank, sample_of
from toolkit_probing.heads.head import HeadSpec
from toolkit_probing.heads.together import split_evenly
from toolkit_probing.probes import ep_kernel

D, QUERIES = 32, 16
EP = HeadSpec("ep", 1, "patches", 0.01, 0, {"num_queries": QUERIES})
LIKES = [
    EP,
    *(replace(EP, base_lr=rate) for rate in (0.003, 0.03, 0.1, 1.0)),
    replace(EP, seed=1),
    replace(EP, options={**EP.options, "value_init": "uniform"}),
]
OTHERS = [
    replace(EP, source="all"),
    replace(EP, options={"num_queries": 2}),  # which another library multiplies
    replace(EP, options={**EP.options, "width_divisor": 2}),
    HeadSpec("mhca", 1, "patches", 0.01, 0, {}),
    HeadSpec("linear", 1, "cls", 0.01, 0),
]


def bank_of(specs):
    store, _ = make_problem(d=D)
    bank = HeadBank(specs, sample_of(store), num_classes=3)
    (features,) = store.iterate([np.arange(20)])
    return bank, features


def groups_of(bank, features, **changes):
    keys = list(bank.specs)
    return bank.groups(keys, bank.read(features, keys), **changes)


def test_heads_of_ep_of_one_shape_and_place_go_together_a_few_at_once():
    bank, features = bank_of([*OTHERS, *LIKES])
    groups = groups_of(bank, features)
    alike = [spec.key for spec in LIKES]
    assert groups == [*([spec.key] for spec in OTHERS), alike[:4], alike[4:]]


@pytest.mark.parametrize(
    ("count", "sizes"), [(1, [1]), (4, [4]), (5, [3, 2]), (6, [3, 3]), (9, [3] * 3)]
)
def test_groups_are_even(count, sizes):
    keys = [str(number) for number in range(count)]
    groups = split_evenly(keys)
    assert [len(group) for group in groups] == sizes
    assert [key for group in groups for key in group] == keys


def test_under_a_micro_batch_or_in_half_precision_each_head_goes_alone():
    bank, features = bank_of(LIKES)
    alone = [[spec.key] for spec in LIKES]
    assert groups_of(bank, features, micro_batch=8) == alone
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert groups_of(bank, features) == alone
    assert groups_of(bank.double(), {1: features[1]}) == alone


def test_tokens_are_read_once_for_a_group(monkeypatch):
    bank, features = bank_of(LIKES)
    num_queries, attend = [], ep_kernel.attend

    def counted(tokens, queries):
        num_queries.append(len(queries))
        return attend(tokens, queries)

    monkeypatch.setattr(ep_kernel, "attend", counted)
    together = bank.eval()(features)
    assert num_queries == [4 * QUERIES, 3 * QUERIES]
    for spec in LIKES:
        assert torch.equal(together[spec.key], bank(features, [spec.key])[spec.key]), spec.key


def assert_each_as_alone(folder, specs, **changes):
    """Train heads in one bank and each in its own, and compare all that is left of them."""
    bank, best = train_heads(folder / "bank", specs, d=D, **changes)
    for number, spec in enumerate(specs):
        single, alone = train_heads(folder / str(number), [spec], d=D, **changes)
        expected, actual = (item.heads[spec.key].state_dict() for item in (single, bank))
        for name, value in expected.items():
            assert torch.equal(value, actual[name]) or value.isnan().all(), (spec.key, name)
        assert alone[spec.key].epoch == best[spec.key].epoch
        assert alone[spec.key].value == best[spec.key].value
    return bank, best


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "lars"])
def test_heads_that_go_together_equal_those_alone_to_the_bit(tmp_path, optimizer):
    bank, _ = assert_each_as_alone(tmp_path, LIKES, optimizer=optimizer)
    norms = [bank.head(spec.key).norm.running_mean for spec in LIKES]
    assert len({tuple(mean.tolist()) for mean in norms}) == len(LIKES)


@pytest.mark.slow
def test_one_that_stops_early_or_diverges_leaves_the_others_as_they_are(tmp_path):
    wild = replace(EP, base_lr=1e30)
    changes = {**FITTED, "epochs": 6, "patience": 1}
    _, best = assert_each_as_alone(tmp_path / "fitted", [*LIKES[:3], wild, LIKES[4]], **changes)
    assert len({item.epoch for item in best.values()}) > 1
    bank, _ = assert_each_as_alone(tmp_path / "trained", [wild, *LIKES[:3]], optimizer="sgd")
    finite = [bank.head(key).norm.running_var.isfinite().all().item() for key in bank.specs]
    assert finite == [False, True, True, True]


@pytest.mark.slow
@pytest.mark.parametrize("at", [2, 7])
def test_heads_that_go_together_resume_to_the_bit(tmp_path, at):
    whole, best = train_heads(tmp_path / "whole", LIKES, d=D, optimizer="adamw")
    given = make_examples(d=D)
    source = Interrupting(given.source, itertools.count(), at=at)
    cut = replace(given, source=source)
    with pytest.raises(KeyboardInterrupt):
        train_heads(tmp_path / "cut", LIKES, examples=cut, d=D, optimizer="adamw")
    resumed, again = train_heads(tmp_path / "cut", LIKES, d=D, optimizer="adamw")
    expected, actual = whole.state_dict(), resumed.state_dict()
    assert all(torch.equal(expected[name], actual[name]) for name in expected)
    assert {key: item.value for key, item in best.items()} == {
        key: item.value for key, item in again.items()
    }
