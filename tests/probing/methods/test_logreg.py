"""Logistic regression is scikit-learn's, on features standardised by the training rows."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from toolkit_probing.methods.logreg import Regressions, Regressor, fit_regression, head_of
from toolkit_probing.methods.vectors import Known


def known(features: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None) -> Known:
    return Known(torch.from_numpy(features), targets, int(targets.max()) + 1, weights)


def test_probabilities_are_those_of_the_penalised_likelihood():
    rng = np.random.default_rng(0)
    features = rng.normal(3.0, 2.0, (60, 3))
    targets = (features[:, 0] + rng.normal(size=60) > 3.0).astype(int)
    train, test = np.arange(40), np.arange(40, 60)
    model = fit_regression(known(features[train], targets[train]), c=0.5)
    actual = model.predict_proba(features[test])
    scaled = (features - features[train].mean(0)) / features[train].std(0)
    sign = 2 * targets[train] - 1

    def objective(weights):
        margin = sign * (scaled[train] @ weights[:3] + weights[3])
        return 0.5 * weights[:3] @ weights[:3] + 0.5 * np.logaddexp(0, -margin).sum()

    weights = minimize(objective, np.zeros(4)).x
    expected = 1 / (1 + np.exp(-(scaled[test] @ weights[:3] + weights[3])))
    np.testing.assert_allclose(actual[:, 1], expected, atol=1e-3)


def test_a_fit_that_did_not_end_is_reported(monkeypatch, capsys):
    monkeypatch.setattr("toolkit_probing.methods.logreg.MAX_ITERATIONS", 1)
    rng = np.random.default_rng(0)
    features, targets = rng.normal(size=(30, 4)), np.arange(30) % 3
    fit_regression(known(features, targets), c=1e3)
    assert "C=1000 did not converge in 1 iterations" in capsys.readouterr().err


@pytest.mark.parametrize("num_classes", [2, 3])
def test_a_head_answers_as_the_regression_does(num_classes):
    rng = np.random.default_rng(0)
    features = rng.normal(3.0, 2.0, (60, 5)).astype(np.float32)
    features[:, 4] = 1.0  # constant: its scale is 1, not its deviation
    targets = (features[:, 0] > 3.0) + (num_classes - 2) * (features[:, 1] > 4.0)
    model = fit_regression(known(features, targets), c=10.0)
    head = head_of(model, num_classes=num_classes)
    with torch.no_grad():
        actual = head(torch.from_numpy(features)).softmax(dim=1).numpy()
    np.testing.assert_allclose(actual, model.predict_proba(features), rtol=0, atol=1e-6)


@pytest.mark.parametrize("rule", ["none", "balanced"])
def test_a_row_of_weight_two_is_two_rows_and_one_of_zero_none(rule: str):
    rng = np.random.default_rng(0)
    features, targets = rng.normal(size=(30, 4)), np.arange(30) % 3
    weights = np.arange(30) // 3 % 3.0
    repeated = np.repeat(np.arange(30), weights.astype(int))
    regressor = Regressor(Regressions(c=(0.5,)), rule)
    one = regressor.learn(known(features, targets, weights))
    other = regressor.learn(known(features[repeated], targets[repeated]))
    rows = torch.from_numpy(features)
    np.testing.assert_allclose(one.answer(rows)[0.5,], other.answer(rows)[0.5,], atol=1e-3)


def test_one_setting_answers_as_it_did_among_several():
    rng = np.random.default_rng(0)
    features, targets = rng.normal(size=(30, 4)), np.arange(30) % 3
    learned = Regressor(Regressions(c=(0.1, 1.0)), "none").learn(known(features, targets))
    rows = torch.from_numpy(features)
    assert list(learned.only((1.0,)).answer(rows)) == [(1.0,)]
    np.testing.assert_array_equal(
        learned.only((1.0,)).answer(rows)[1.0,], learned.answer(rows)[1.0,]
    )
