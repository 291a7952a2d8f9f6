"""Pooling over ragged sets equals naive loops, in any order of lesions."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers.properties import few_examples
from toolkit_slimp.model.phenotype import (
    PHENOTYPES,
    AttentionPhenotype,
    segment_max,
    segment_mean,
    segment_softmax,
)

SIZES = st.lists(st.integers(1, 5), min_size=1, max_size=5)


def ragged(sizes, seed, dim=3):
    """Values and segments, shuffled."""
    draws = torch.Generator().manual_seed(seed)
    segments = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    values = torch.randn(len(segments), dim, dtype=torch.float64, generator=draws)
    order = torch.randperm(len(segments), generator=draws)
    return values[order], segments[order]


def naive_attention(pool, values):
    scores = []
    for row in values:
        hidden = torch.tanh(pool.content(row)) * torch.sigmoid(pool.gate(row))
        scores.append(float(pool.score(hidden).detach()))
    powers = [torch.tensor(score, dtype=torch.float64).exp() for score in scores]
    return sum(power / sum(powers) * row for power, row in zip(powers, values, strict=True))


@pytest.mark.slow
@few_examples
@given(sizes=SIZES, seed=st.integers(0, 99))
def test_every_pooling_equals_a_loop_in_any_order_of_lesions(sizes, seed):
    values, segments = ragged(sizes, seed)
    torch.manual_seed(seed)
    attention = AttentionPhenotype(3).double()
    pooled = {
        name: PHENOTYPES[name](3).double()(values, segments, len(sizes)) for name in PHENOTYPES
    }
    pooled["attention"] = attention(values, segments, len(sizes))
    for number in range(len(sizes)):
        own = values[segments == number]
        mean = sum(own) / len(own)
        largest = torch.stack([max(column) for column in own.T])
        torch.testing.assert_close(pooled["mean"][number], mean)
        torch.testing.assert_close(pooled["mean_max"][number], torch.cat([mean, largest]))
        torch.testing.assert_close(pooled["attention"][number], naive_attention(attention, own))


@pytest.mark.parametrize("name", PHENOTYPES)
def test_gradients_are_right(name):
    values, segments = ragged([3, 1, 2], seed=1)
    torch.manual_seed(0)
    pool = PHENOTYPES[name](3).double()
    assert torch.autograd.gradcheck(lambda rows: pool(rows, segments, 3), values.requires_grad_())


@pytest.mark.parametrize("name", PHENOTYPES)
def test_a_patient_with_one_lesion_is_that_lesion(name):
    values, segments = ragged([1, 1], seed=2)
    actual = PHENOTYPES[name](3).double()(values, segments, 2)
    torch.testing.assert_close(actual[:, :3], values[segments.argsort()])
    assert actual.shape[1] == PHENOTYPES[name](3).out_dim


def test_attention_weights_of_a_patient_sum_to_one_whatever_the_scores():
    scores = torch.tensor([1000.0, 0.0, -1000.0, 5.0])
    segments = torch.tensor([0, 0, 1, 1])
    weights = segment_softmax(scores, segments, 2)
    torch.testing.assert_close(weights, torch.tensor([1.0, 0.0, 0.0, 1.0]))
    tied = segment_softmax(torch.zeros(3), torch.tensor([0, 0, 0]), 1)
    torch.testing.assert_close(tied, torch.full((3,), 1 / 3))


def test_attention_can_pick_one_lesion_among_thousands_where_a_mean_drowns_it():
    values = torch.zeros(9001, 2)
    values[4321, 0] = 1.0
    segments = torch.zeros(9001, dtype=torch.int64)
    pool = AttentionPhenotype(2)
    with torch.no_grad():
        for layer in (pool.content, pool.gate, pool.score):
            layer.weight.fill_(9.0)
    assert float(segment_mean(values, segments, 1)[0, 0]) < 1e-3
    assert float(pool(values, segments, 1)[0, 0].detach()) > 0.9


def test_ties_share_the_gradient_of_a_maximum():
    values = torch.ones(2, 1, dtype=torch.float64, requires_grad=True)
    segment_max(values, torch.zeros(2, dtype=torch.int64), 1).sum().backward()
    assert values.grad is not None
    assert values.grad.flatten().tolist() == [0.5, 0.5]


def test_a_patient_with_9000_lesions_and_one_with_a_single_one_work_together():
    segments = torch.cat([torch.zeros(9000, dtype=torch.int64), torch.ones(1, dtype=torch.int64)])
    actual = segment_mean(torch.ones(9001, 2), segments, 2)
    torch.testing.assert_close(actual, torch.ones(2, 2))
