"""The nested loss equals naive loops, whatever the order of lesions (docs/slimp.md)."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers.properties import few_examples
from toolkit_slimp.model.losses import equal_pairs, info_nce, nt_xent


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


@few_examples
@given(m=st.integers(1, 8), d=st.integers(1, 5), seed=st.integers(0, 99), scale=st.floats(0.1, 50))
def test_info_nce_equals_a_naive_loop(m, d, seed, scale):
    first, second = unit(m, d, seed), unit(m, d, seed + 1)
    expected = naive_info_nce(first, second, scale, torch.eye(m, dtype=torch.bool))
    assert float(info_nce(first, second, scale)) == pytest.approx(expected, abs=1e-9)


@few_examples
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


@few_examples
@given(seed=st.integers(0, 999), m=st.integers(1, 9))
def test_order_of_pairs_does_not_matter(seed, m):
    first, second = unit(m, 4, seed), unit(m, 4, seed + 1)
    order = torch.randperm(m, generator=torch.Generator().manual_seed(seed))
    expected = float(info_nce(first, second, 10.0))
    assert float(info_nce(first[order], second[order], 10.0)) == pytest.approx(expected)


def naive_nt_xent(first, second, scale, ignored):
    both, m = torch.cat([first, second]), len(first)
    total = 0.0
    for i in range(2 * m):
        match = (i + m) % (2 * m)
        others = [j for j in range(2 * m) if j != i and (j == match or not ignored[i % m, j % m])]
        logits = {j: scale * float(both[i] @ both[j]) for j in others}
        largest = max(logits.values())
        total += largest - logits[match]
        total += math.log(sum(math.exp(value - largest) for value in logits.values()))
    return total / (2 * m)


def pairs(m, kinds, seed):
    kind = torch.randint(kinds, (m,), generator=torch.Generator().manual_seed(seed))
    return equal_pairs(kind)


@few_examples
@given(m=st.integers(1, 8), kinds=st.integers(1, 5), seed=st.integers(0, 99))
def test_ignored_pairs_are_no_negatives(m, kinds, seed):
    first, second, ignored = unit(m, 4, seed), unit(m, 4, seed + 1), pairs(m, kinds, seed)
    positives = pairs(m, kinds, seed + 7)
    total = 0.0
    for a, b in ((first, second), (second, first)):
        for i in range(m):
            kept = [j for j in range(m) if positives[i, j] or not ignored[i, j]]
            logits = {j: 10.0 * float(a[i] @ b[j]) for j in kept}
            log_sum = math.log(sum(math.exp(value) for value in logits.values()))
            matches = [j for j in kept if positives[i, j]]
            total += sum(log_sum - logits[j] for j in matches) / len(matches) / m
    actual = info_nce(first, second, 10.0, positives=positives, ignored=ignored)
    assert float(actual) == pytest.approx(0.5 * total, abs=1e-9)


@pytest.mark.slow
@few_examples
@given(m=st.integers(1, 7), kinds=st.integers(1, 5), seed=st.integers(0, 99))
def test_nt_xent_equals_a_naive_loop(m, kinds, seed):
    first, second, ignored = unit(m, 4, seed), unit(m, 4, seed + 1), pairs(m, kinds, seed)
    nothing = torch.zeros(m, m, dtype=torch.bool)
    for mask, given_mask in ((nothing, None), (ignored, ignored)):
        expected = naive_nt_xent(first, second, 5.0, mask)
        actual = nt_xent(first, second, 5.0, ignored=given_mask)
        assert float(actual) == pytest.approx(expected, abs=1e-9)


def test_gradients_with_ignored_pairs_are_right_and_finite():
    ignored, positives = pairs(5, 2, 0), pairs(5, 3, 1)
    inputs = [unit(5, 3, seed).requires_grad_() for seed in (0, 1)]

    def lesion(a, b):
        return info_nce(a, b, 5.0, positives=positives, ignored=ignored)

    assert torch.autograd.gradcheck(lesion, inputs)
    assert torch.autograd.gradcheck(lambda a, b: nt_xent(a, b, 5.0, ignored=ignored), inputs)


def test_where_all_are_one_lesion_nothing_is_left_to_contrast():
    first, second = unit(4, 3, 0), unit(4, 3, 1)
    everything = torch.ones(4, 4, dtype=torch.bool)
    assert float(info_nce(first, second, 10.0, ignored=everything)) == 0.0
    assert float(nt_xent(first, second, 10.0, ignored=everything)) == 0.0


def test_identical_pairs_cost_the_logarithm_of_their_number():
    same = unit(1, 3, 0).repeat(6, 1)
    assert float(info_nce(same, same, 10.0)) == pytest.approx(math.log(6))
    positives = torch.ones(6, 6, dtype=torch.bool)
    spread = info_nce(same, same, 10.0, positives=positives)
    assert float(spread) == pytest.approx(math.log(6))


def test_rows_of_codes_are_equal_where_all_codes_are():
    codes = torch.tensor([[1, 2], [1, 3], [1, 2]])
    assert equal_pairs(codes).int().tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
    assert equal_pairs(torch.tensor([4, 4, 5])).int().tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
