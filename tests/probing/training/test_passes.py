"""A bank cut into passes gives the same bits, and its memory is counted right."""

import re
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers.probe_problem import divide, make_problem, settings, specs, train_heads
from helpers.properties import few_examples
from toolkit_common.errors import InputError
from toolkit_common.features.planner import GIB
from toolkit_common.runs.files import read_json
from toolkit_common.runs.folder import RunFolder
from toolkit_common.training.distributed import build_accelerator
from toolkit_probing.heads.bank import sample_of
from toolkit_probing.heads.head import HeadSpec, build_head
from toolkit_probing.heads.inputs import Inputs
from toolkit_probing.training.checkpoint import Record
from toolkit_probing.training.passes import HeadCost, head_cost, passes_for, plan_passes
from toolkit_probing.training.plan import TrainingPlan


@pytest.mark.slow
@pytest.mark.parametrize("budget", [1, 9000])
def test_a_bank_in_passes_equals_one_at_once_to_the_bit(tmp_path, budget):
    (whole,) = divide(tmp_path / "whole", None).values()
    cut = divide(tmp_path / "cut", budget / GIB)
    assert len(cut) == {1: 6, 9000: 2}[budget]
    _, at_once = train_heads(tmp_path / "whole", whole)
    for name, heads in cut.items():
        for key, best in train_heads(tmp_path / name, heads)[1].items():
            assert (best.value, best.epoch) == (at_once[key].value, at_once[key].epoch)
            assert all(torch.equal(best.state[n], at_once[key].state[n]) for n in best.state)


def test_a_resumed_run_keeps_its_passes_whatever_memory_it_finds(tmp_path):
    first = divide(tmp_path, 1 / GIB)
    assert len(read_json(tmp_path / "checkpoints/all/passes.json")) == len(first) == 6
    assert divide(tmp_path, None) == first


@pytest.mark.parametrize("text", ["{}", '[["ep"], 1]', '[["of another run"]]', "[]"])
def test_passes_of_other_heads_are_refused_by_their_file(tmp_path, text):
    divide(tmp_path, None)
    file = tmp_path / "checkpoints/all/passes.json"
    file.write_text(text)
    with pytest.raises(InputError, match=re.escape(f"{file} is damaged: ")):
        divide(tmp_path, None)


def plan(batch_size, **changes):
    return TrainingPlan(settings(batch_size=batch_size, **changes), num_train=batch_size)


def test_the_cost_of_a_linear_head_is_what_it_holds():
    store, _ = make_problem()
    sample = sample_of(store)
    linear = specs()[-1]
    head = build_head(linear, sample[1], num_classes=3)
    inputs = Inputs(sample[1].vectors["cls"])
    cost = head_cost(head, inputs, plan(10, optimizer="adamw"))
    assert cost.kept == 4 * (8 * 3 + 3) * 4  # weights, gradients, two moments of fp32
    assert cost.passing == 2 * 10 * 8 * 4  # the normalised vectors, and their gradient


def test_a_micro_batch_bounds_what_passes():
    store, _ = make_problem()
    sample = sample_of(store)
    head = build_head(specs()[0], sample[1], num_classes=3)
    inputs = Inputs(sample[1].patches)
    whole = head_cost(head, inputs, plan(64))
    cut = head_cost(head, inputs, plan(64, micro_batch=16))
    assert whole.passing == 4 * cut.passing
    assert whole.kept == cut.kept


@pytest.mark.parametrize(("micro_batch", "num_passes"), [(None, 2), (8, 1)])
def test_heads_that_read_tokens_together_pass_together(tmp_path, micro_batch, num_passes):
    ep = HeadSpec("ep", 1, "patches", 0.5, 0, {"num_queries": 16})
    sample = sample_of(make_problem(d=16)[0])
    cost = head_cost(build_head(ep, sample[1], num_classes=3), Inputs(sample[1].patches), plan(8))
    budget = 2 * cost.kept + cost.passing  # of one at a time
    cut = passes_for(
        [ep, replace(ep, seed=1)],
        sample,
        plan(8, bank_memory=budget / GIB, micro_batch=micro_batch),
        num_classes=3,
        accelerator=build_accelerator(device="cpu"),
        record=Record(RunFolder(tmp_path), "all"),
    )
    assert len(cut) == num_passes


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
