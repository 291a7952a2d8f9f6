"""The nested loss equals naive loops, whatever the order of lesions (specs/slimp.md 1.2)."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit_slimp.losses import info_nce
from toolkit_slimp.phenotype import segment_mean


def unit(m: int, d: int, seed: int) -> torch.Tensor:
    draws = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(m, d, dtype=torch.float64, generator=draws))


def naive_info_nce(first, second, scale, positives):
    total = 0.0
    for a, b, match in ((first, second, positives), (second, first, positives.T)):
        for i in range(len(a)):
            logits = [scale * float(a[i] @ row) for row in b]
            largest = max(logits)
            log_sum = largest + math.log(sum(math.exp(value - largest) for value in logits))
            matches = [j for j in range(len(b)) if match[i, j]]
            total += sum(log_sum - logits[j] for j in matches) / len(matches) / len(a)
    return 0.5 * total


@settings(max_examples=20, deadline=None)
@given(m=st.integers(1, 8), d=st.integers(1, 5), seed=st.integers(0, 99), scale=st.floats(0.1, 50))
def test_info_nce_equals_a_naive_loop(m, d, seed, scale):
    first, second = unit(m, d, seed), unit(m, d, seed + 1)
    expected = naive_info_nce(first, second, scale, torch.eye(m, dtype=torch.bool))
    assert float(info_nce(first, second, scale)) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(m=st.integers(1, 8), kinds=st.integers(1, 4), seed=st.integers(0, 99))
def test_multi_positive_info_nce_equals_a_naive_loop(m, kinds, seed):
    first, second = unit(m, 4, seed), unit(m, 4, seed + 1)
    kind = torch.randint(kinds, (m,), generator=torch.Generator().manual_seed(seed))
    positives = kind.unsqueeze(0) == kind.unsqueeze(1)
    expected = naive_info_nce(first, second, 10.0, positives)
    assert float(info_nce(first, second, 10.0, positives=positives)) == pytest.approx(expected)


def test_gradient_of_info_nce_is_right():
    inputs = [unit(4, 3, seed).requires_grad_() for seed in (0, 1)]
    assert torch.autograd.gradcheck(lambda a, b: info_nce(a, b, 5.0), inputs)


def test_a_single_pair_has_loss_zero():
    assert float(info_nce(unit(1, 3, 0), unit(1, 3, 1), 10.0)) == 0.0


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), m=st.integers(1, 9))
def test_order_of_pairs_does_not_matter(seed, m):
    first, second = unit(m, 4, seed), unit(m, 4, seed + 1)
    order = torch.randperm(m, generator=torch.Generator().manual_seed(seed))
    expected = float(info_nce(first, second, 10.0))
    assert float(info_nce(first[order], second[order], 10.0)) == pytest.approx(expected)


@settings(max_examples=20, deadline=None)
@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=5), seed=st.integers(0, 99))
def test_segment_mean_equals_a_loop_in_any_order_of_lesions(sizes, seed):
    draws = torch.Generator().manual_seed(seed)
    segments = torch.cat([torch.full((n,), i) for i, n in enumerate(sizes)])
    values = torch.randn(len(segments), 3, dtype=torch.float64, generator=draws)
    order = torch.randperm(len(segments), generator=draws)
    found = segment_mean(values[order], segments[order], len(sizes))
    for number in range(len(sizes)):
        torch.testing.assert_close(found[number], values[segments == number].mean(0))


def test_a_patient_with_9000_lesions_and_one_with_a_single_one_work_together():
    segments = torch.cat([torch.zeros(9000, dtype=torch.int64), torch.ones(1, dtype=torch.int64)])
    found = segment_mean(torch.ones(9001, 2), segments, 2)
    torch.testing.assert_close(found, torch.ones(2, 2))
