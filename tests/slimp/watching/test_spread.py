"""Spread of embeddings: naive float64 references, corners, and the warning of a collapse."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from toolkit_slimp.watching.spread import (
    MIN_ROWS,
    alignment,
    collapse_warning,
    describe_spread,
    effective_rank,
    uniformity,
)


def unit(m: int, d: int, seed: int = 0) -> torch.Tensor:
    draws = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(m, d, generator=draws, dtype=torch.float64), dim=1)


@given(m=st.integers(2, 12), d=st.integers(2, 8), seed=st.integers(0, 99))
def test_they_equal_naive_loops(m, d, seed):
    first, second = unit(m, d, seed), unit(m, d, seed + 100)
    eigenvalues = np.linalg.eigvalsh(first.numpy().T @ first.numpy()).clip(0)
    shares = np.sqrt(eigenvalues) / np.sqrt(eigenvalues).sum()
    entropy = -sum(p * math.log(p) for p in shares if p > 0)
    assert effective_rank(first) == pytest.approx(math.exp(entropy), rel=1e-6)
    distances = [sum((a - b) ** 2) for a, b in zip(first.numpy(), second.numpy(), strict=True)]
    assert alignment(first, second) == pytest.approx(sum(distances) / m, abs=1e-12)
    kernels = [
        math.exp(-2 * float(((first[i] - first[j]) ** 2).sum())) for i in range(m) for j in range(i)
    ]
    assert uniformity(first) == pytest.approx(math.log(sum(kernels) / len(kernels)), abs=1e-9)


@given(seed=st.integers(0, 99))
def test_the_order_of_rows_does_not_matter(seed):
    rows = unit(9, 5, seed)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(seed))
    assert effective_rank(rows[order]) == pytest.approx(effective_rank(rows))
    assert uniformity(rows[order]) == pytest.approx(uniformity(rows))


def test_corners_equal_rows_and_orthogonal_rows():
    same = unit(1, 6).expand(10, 6)
    assert effective_rank(same) == pytest.approx(1.0)
    assert uniformity(same) == pytest.approx(0.0, abs=1e-9)
    assert alignment(same, same) == 0.0
    assert effective_rank(torch.eye(6)) == pytest.approx(6.0)
    assert uniformity(torch.eye(6)) == pytest.approx(-4.0)


def test_uniformity_of_one_row_is_refused():
    with pytest.raises(ValueError, match="needs two embeddings, got 1"):
        uniformity(unit(1, 4))
    assert set(describe_spread(unit(1, 4), unit(1, 4))) == {"alignment", "effective_rank"}


def test_a_collapsed_embedding_differs_from_a_healthy_one():
    collapsed = F.normalize(unit(1, 16) + 0.01 * unit(64, 16, 1), dim=1)
    warning = collapse_warning(collapsed)
    assert warning is not None
    assert "effective rank 1." in warning
    assert collapse_warning(unit(64, 16)) is None
    assert collapse_warning(collapsed[: MIN_ROWS - 1]) is None


def test_a_collapse_to_one_dimension_is_seen_by_its_rank():
    line = torch.where(torch.arange(64).unsqueeze(1) % 2 == 0, 1.0, -1.0) * unit(1, 16)
    warning = collapse_warning(line)
    assert warning is not None
    assert "effective rank 1.00" in warning
