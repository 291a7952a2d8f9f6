"""A bank cut into passes gives the same bits, and its memory is counted right."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers.probe_problem import PLAN, make_problem, specs
from helpers.properties import few_examples
from toolkit_common.runs.files import read_json
from toolkit_common.runs.folder import RunFolder
from toolkit_common.training.distributed import build_accelerator
from toolkit_probing.heads.head import build_head
from toolkit_probing.heads.inputs import Inputs
from toolkit_probing.training.loop import Part
from toolkit_probing.training.passes import HeadCost, head_cost, plan_passes, train_in_passes


def train(folder, budget):
    store, targets = make_problem()
    folder.mkdir(exist_ok=True)
    return train_in_passes(
        specs(), store, targets, train=np.arange(30), select=np.arange(30, 40), plan=PLAN,
        accelerator=build_accelerator(device="cpu"), run=RunFolder(folder), part=Part("all"),
        num_classes=3, budget=budget,
    )  # fmt: skip


@pytest.mark.parametrize("budget", [1, 9000])
def test_a_bank_in_passes_equals_one_at_once_to_the_bit(tmp_path, budget):
    whole, after = train(tmp_path / "whole", None)
    cut, after_cut = train(tmp_path / "cut", budget)
    passes = read_json(tmp_path / "cut/checkpoints/all/passes.json")
    assert len(passes) == {1: 6, 9000: 2}[budget]
    for key, best in whole.items():
        assert (best.value, best.epoch) == (cut[key].value, cut[key].epoch)
        assert all(torch.equal(best.state[name], cut[key].state[name]) for name in best.state)
    assert after_cut.first_step == len(passes) * after.first_step


def test_a_resumed_run_keeps_its_passes_whatever_memory_it_finds(tmp_path):
    first, _ = train(tmp_path, 1)
    log = (tmp_path / "metrics.jsonl").read_text()
    again, _ = train(tmp_path, None)
    assert len(read_json(tmp_path / "checkpoints/all/passes.json")) == 6
    assert (tmp_path / "metrics.jsonl").read_text() == log
    for key, best in first.items():
        assert all(torch.equal(best.state[name], again[key].state[name]) for name in best.state)


def test_the_cost_of_a_linear_head_is_what_it_holds():
    store, _ = make_problem()
    sample = next(iter(store.iterate([np.arange(2)])))
    linear = specs()[-1]
    head = build_head(linear, sample[1], num_classes=3)
    inputs = Inputs(sample[1].vectors["cls"])
    cost = head_cost(head, inputs, plan=replace(PLAN, optimizer="adamw"), rows=10)
    assert cost.kept == 4 * (8 * 3 + 3) * 4  # weights, gradients, two moments of fp32
    assert cost.passing == 2 * 10 * 8 * 4  # the normalised vectors, and their gradient


def test_a_micro_batch_bounds_what_passes():
    store, _ = make_problem()
    sample = next(iter(store.iterate([np.arange(2)])))
    head = build_head(specs()[0], sample[1], num_classes=3)
    inputs = Inputs(sample[1].patches)
    whole = head_cost(head, inputs, plan=PLAN, rows=64)
    cut = head_cost(head, inputs, plan=replace(PLAN, micro_batch=16), rows=64)
    assert whole.passing == 4 * cut.passing
    assert whole.kept == cut.kept


@few_examples
@given(
    costs=st.lists(st.tuples(st.integers(1, 50), st.integers(0, 50)), min_size=1, max_size=12),
    budget=st.integers(1, 200),
)
def test_passes_hold_every_head_once_in_order_and_within_the_budget(costs, budget):
    by_key = {str(i): HeadCost(*cost) for i, cost in enumerate(costs)}
    passes = plan_passes(by_key, budget)
    assert [key for keys in passes for key in keys] == list(by_key)
    for keys in passes:
        kept = sum(by_key[key].kept for key in keys)
        passing = max(by_key[key].passing for key in keys)
        assert len(keys) == 1 or kept + passing <= budget
