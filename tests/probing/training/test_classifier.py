"""The classifier that is fitted is scikit-learn's logistic regression, for every strength."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn import functional as F

from helpers.properties import few_examples
from toolkit_probing.training import classifier
from toolkit_probing.training.classifier import (
    Solution,
    fit_classifiers,
    log_frequencies,
    row_weights,
)

CS = (0.001, 0.1, 10.0)


def draw(
    num_rows: int = 90, width: int = 6, num_classes: int = 3, *, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Standardised rows of classes of unequal size, of which some overlap."""
    draws = np.random.default_rng(seed)
    shares = np.arange(1, num_classes + 1) / np.arange(1, num_classes + 1).sum()
    targets = draws.choice(num_classes, num_rows, p=shares)
    rows = draws.normal(size=(num_rows, width))
    rows[:, 0] += targets
    rows = (rows - rows.mean(0)) / rows.std(0)
    return torch.from_numpy(rows).float(), torch.from_numpy(targets)


def fit(
    rows: Tensor, targets: Tensor, *, num_classes: int = 3, rule: str = "none", cs=CS
) -> list[Solution]:
    weights = row_weights(targets, num_classes, rule)
    return [*fit_classifiers(rows, targets, cs=cs, num_classes=num_classes, weights=weights)]


def plain_gradient(
    rows: np.ndarray, targets: np.ndarray, item: Solution, weights: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """Loss and its gradient, row by row in float64, as the file's docstring has them."""
    weight, bias = item.weight.double().numpy(), item.bias.double().numpy()
    loss, of_weight, of_bias = 0.0, np.zeros_like(weight), np.zeros_like(bias)
    for row, target in zip(rows.astype(float), targets, strict=True):
        logits = weight @ row + bias
        shares = np.exp(logits - logits.max())
        shares /= shares.sum()
        loss -= weights[target] * np.log(shares[target]) / len(rows)
        error = weights[target] * (shares - np.eye(len(bias))[target]) / len(rows)
        of_weight += np.outer(error, row)
        of_bias += error
    penalty = 1 / (item.c * len(rows))
    return loss + penalty * (weight**2).sum() / 2, of_weight + penalty * weight, of_bias


@pytest.mark.parametrize("rule", ["none", "balanced"])
def test_the_gradient_of_the_loss_is_zero_at_every_solution(rule):
    rows, targets = draw()
    counts = np.bincount(targets)
    weights = np.ones(3) if rule == "none" else len(rows) / (3 * counts)
    for item in fit(rows, targets, rule=rule):
        loss, *gradients = plain_gradient(rows.numpy(), targets.numpy(), item, weights)
        assert max(abs(part).max() for part in gradients) < 5e-6
        # No worse than the frequencies, with which it begins.
        assert loss <= -(weights * counts / len(rows) * np.log(counts / len(rows))).sum() + 1e-7


@pytest.mark.parametrize("rule", ["none", "balanced"])
@pytest.mark.parametrize("c", CS)
def test_probabilities_are_those_of_scikit_learn(c, rule):
    rows, targets = draw()
    (item,) = fit(rows, targets, rule=rule, cs=(c,))
    balanced = None if rule == "none" else rule
    reference = LogisticRegression(C=c, class_weight=balanced, tol=1e-8, max_iter=5000)
    known = rows.double().numpy()  # in fp32 it would end sooner
    expected = reference.fit(known, targets.numpy()).predict_proba(known)
    actual = F.linear(rows, item.weight, item.bias).softmax(1)
    np.testing.assert_allclose(actual, expected, atol=1e-4)


def test_of_two_classes_too_it_is_scikit_learns_of_the_same_c():
    # Two rows that differ by w hold |w|^2 / 2, where scikit-learn's one row holds |w|^2.
    rows, targets = draw(num_classes=2)
    (item,) = fit(rows, targets, num_classes=2, cs=(0.1,))
    known = rows.double().numpy()
    expected = LogisticRegression(C=0.1, tol=1e-8).fit(known, targets.numpy()).predict_proba(known)
    actual = F.linear(rows, item.weight, item.bias).softmax(1)
    np.testing.assert_allclose(actual, expected, atol=1e-4)


@pytest.mark.parametrize(("rule", "expected"), [("none", None), ("balanced", [1 / 3] * 3)])
def test_the_strongest_penalty_leaves_the_class_frequencies(rule, expected):
    rows, targets = draw()
    (item,) = fit(rows, targets, rule=rule, cs=(1e-9,))
    shares = F.linear(rows, item.weight, item.bias).softmax(1)
    wanted = torch.bincount(targets) / len(targets) if expected is None else torch.tensor(expected)
    torch.testing.assert_close(shares, wanted.expand(len(rows), 3), atol=1e-4, rtol=0)


def test_strengths_come_from_strong_to_weak_whatever_their_order():
    rows, targets = draw()
    given_in = [fit(rows, targets, cs=cs) for cs in (CS, CS[::-1])]
    for first, second in zip(*given_in, strict=True):
        assert first.c == second.c
        assert torch.equal(first.weight, second.weight)
    assert [item.c for item in given_in[0]] == sorted(CS)
    norms = [float(item.weight.norm()) for item in given_in[0]]
    assert norms == sorted(norms)


def test_pieces_of_the_rows_give_what_all_at_once_do(monkeypatch):
    rows, targets = draw()
    whole = fit(rows, targets)
    monkeypatch.setattr(
        classifier, "NUMBERS_AT_ONCE", (3 + 6) * 7
    )  # pieces of 7 rows, and one of 6
    for first, second in zip(whole, fit(rows, targets), strict=True):
        shares = [F.linear(rows, it.weight, it.bias).softmax(1) for it in (first, second)]
        torch.testing.assert_close(*shares, atol=1e-4, rtol=0)


def test_columns_that_say_the_same_are_solved_all_the_same():
    rows, targets = draw()
    twice = torch.cat([rows, rows + 1e-4 * draw(seed=1)[0]], dim=1)
    for item in fit(twice, targets):
        _, *gradients = plain_gradient(twice.numpy(), targets.numpy(), item, np.ones(3))
        assert max(abs(part).max() for part in gradients) < 5e-6


@pytest.mark.slow
@few_examples
@given(
    num_rows=st.integers(2, 30),
    width=st.integers(1, 40),
    num_classes=st.integers(2, 6),
    absent=st.integers(0, 3),
    rule=st.sampled_from(["none", "balanced"]),
    seed=st.integers(0, 99),
)
def test_any_shape_and_absent_classes_give_finite_solutions(
    num_rows, width, num_classes, absent, rule, seed
):
    rows, targets = draw(num_rows, width, num_classes, seed=seed)
    rows = rows.nan_to_num()
    total = num_classes + absent
    for item in fit(rows, targets, num_classes=total, rule=rule):
        assert item.weight.shape == (total, width)
        shares = F.linear(rows, item.weight, item.bias).softmax(1)
        assert shares.isfinite().all()
        # Nothing says that a class without rows is likely.
        assert (shares[:, num_classes:] < shares.amax(1, keepdim=True)).all()


def test_an_absent_class_has_the_frequency_of_half_a_row_and_no_weight():
    targets = torch.tensor([0, 0, 0, 2])
    torch.testing.assert_close(log_frequencies(targets, 3).exp(), torch.tensor([0.75, 0.125, 0.25]))
    weights = row_weights(targets, 3, "balanced")
    assert weights is not None
    expected = torch.tensor([4 / 6, 4 / 6, 4 / 6, 2.0], dtype=torch.float64)
    torch.testing.assert_close(weights, expected)
    assert weights.mean() == pytest.approx(1)
    balanced = log_frequencies(targets, 3, weights).exp()
    torch.testing.assert_close(balanced, torch.tensor([0.5, 0.125, 0.5]))
    assert row_weights(targets, 3, "none") is None


@pytest.mark.parametrize("rule", ["none", "balanced"])
def test_a_row_of_weight_two_is_two_rows_and_one_of_zero_none(rule):
    rows, targets = draw()
    given = torch.arange(len(rows)) % 3
    repeated = torch.repeat_interleave(torch.arange(len(rows)), given)
    weights = row_weights(targets, 3, rule, given=given.double())
    one = fit_classifiers(rows, targets, cs=CS, num_classes=3, weights=weights)
    for actual, expected in zip(
        one, fit(rows[repeated], targets[repeated], rule=rule), strict=True
    ):
        torch.testing.assert_close(actual.weight, expected.weight, atol=1e-4, rtol=1e-3)
        torch.testing.assert_close(actual.bias, expected.bias, atol=1e-4, rtol=1e-3)
    several = row_weights(targets[repeated], 3, rule)
    torch.testing.assert_close(
        log_frequencies(targets, 3, weights), log_frequencies(targets[repeated], 3, several)
    )
