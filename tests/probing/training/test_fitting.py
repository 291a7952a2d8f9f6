"""Heads that are fitted: exact statistics, C and epoch picked, never worse than their start."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from helpers.probe_problem import FITTED, fitted_specs, make_examples, settings
from toolkit_common.scores.metrics import METRICS, Predictions
from toolkit_probing.heads.bank import HeadBank, sample_of
from toolkit_probing.heads.head import HeadSpec
from toolkit_probing.training.compute import OneDevice
from toolkit_probing.training.examples import Examples
from toolkit_probing.training.fitting import (
    Fit,
    Fitter,
    accumulate_,
    batch_norms,
)
from toolkit_probing.training.loop import Best, train_bank
from toolkit_probing.training.plan import TrainingPlan
from toolkit_probing.training.scoring import DIVERGED, predict

EP, CBAM, LINEAR = fitted_specs()[0], fitted_specs()[3], fitted_specs()[-1]
CPU = OneDevice("cpu")


def build(spec: HeadSpec, examples: Examples) -> HeadBank:
    return HeadBank([spec], sample_of(examples.source), num_classes=3)


def fit(bank: HeadBank, examples: Examples, **changes) -> Fit:
    chosen = settings(**{**FITTED, **changes})
    (key,) = bank.specs
    plan = TrainingPlan(chosen, len(examples.train))
    return Fitter(bank, examples, plan, CPU).fit_(key)


def train(bank: HeadBank, examples: Examples, **changes) -> Best:
    chosen = settings(**{**FITTED, **changes})
    (best,) = train_bank(bank, examples, chosen, compute=CPU).values()
    return best


def read_of(bank: HeadBank, examples: Examples, rows: Sequence[int]) -> Tensor:
    """What the norm reads of some rows, one row at a time."""
    (key,) = bank.specs
    bank.eval()
    batches = [np.array([row]) for row in rows]
    with torch.no_grad():
        return torch.cat(
            [
                bank.pooled(key, bank.read(item, [key])[bank.specs[key].place])
                for item in examples.source.iterate(batches)
            ]
        )


@pytest.mark.parametrize("spec", [EP, CBAM, LINEAR], ids=lambda spec: spec.method)
def test_statistics_are_exactly_those_of_the_training_rows(spec):
    examples = make_examples(d=16)
    bank = build(spec, examples)
    fit(bank, examples)
    pooled = read_of(bank, examples, examples.train).double()
    norm = bank.head(spec.key).norm
    torch.testing.assert_close(norm.running_mean.double(), pooled.mean(0), rtol=1e-6, atol=1e-6)
    variance = pooled.var(0, correction=0)  # scikit-learn's
    torch.testing.assert_close(norm.running_var.double(), variance, rtol=1e-5, atol=1e-7)


def test_a_head_without_a_pooling_is_logistic_regression():
    examples = make_examples()
    bank = build(LINEAR, examples)
    best = train(bank, examples)
    (layer,) = next(examples.source.iterate([np.arange(40)])).values()
    vectors = layer.vectors["cls"].double().numpy()
    scaler = StandardScaler().fit(vectors[examples.train])
    reference = LogisticRegression(C=best.c, tol=1e-8, max_iter=5000)
    reference.fit(scaler.transform(vectors[examples.train]), examples.targets[examples.train])
    expected = reference.predict_proba(scaler.transform(vectors))
    (actual,) = predict(bank, examples.source, np.arange(40), compute=CPU).values()
    np.testing.assert_allclose(actual, expected, atol=1e-4)
    assert best.epoch == 0


@pytest.mark.parametrize("metric", ["log_loss", "balanced_accuracy", "auroc"])
def test_c_is_picked_by_the_metric_asked_for(metric):
    examples = make_examples(60)
    scores, shown = {}, {}
    for c in (0.0001, 0.01, 1.0, 100.0):
        bank = build(LINEAR, examples)
        alone = fit(bank, examples, c=(c,), select_by=metric)
        (shares,) = predict(bank, examples.source, examples.select, compute=CPU).values()
        predictions = Predictions(shares, examples.targets[examples.select])
        measured = {
            name: float(METRICS[name](predictions, np.ones((1, len(shares))))[0])
            for name in (metric, "balanced_accuracy")
        }
        scores[c] = measured[metric] * (-1 if metric == "log_loss" else 1)
        shown[c] = measured["balanced_accuracy"]
        assert alone.value == pytest.approx(scores[c], abs=1e-5)
    picked = fit(build(LINEAR, examples), examples, c=tuple(scores)[::-1], select_by=metric)
    best = max(scores.values())
    assert picked.value == pytest.approx(best, abs=1e-3)
    # The strongest of equals.
    assert picked.c == min(c for c, value in scores.items() if value > best - 1e-6)
    assert dict(picked.shown) == pytest.approx(shown)


def test_what_is_judged_is_the_better_of_the_start_and_the_best_epoch():
    examples = make_examples()
    starts, trained = [], []
    for lr in (1e-9, 0.03):
        spec = replace(EP, base_lr=lr)
        starts.append(fit(build(spec, examples), examples).value)
        trained.append(train(build(spec, examples), examples, epochs=6))
    assert starts[0] == starts[1]
    assert all(best.value >= starts[0] for best in trained)
    assert trained[1].epoch > 0
    assert trained[1].value > starts[0]


def test_the_start_is_judged_where_training_gains_nothing():
    examples = make_examples()
    spec = replace(EP, base_lr=30.0)  # far too high
    bank = build(spec, examples)
    best = train(bank, examples)
    started = build(spec, examples)
    fitted = fit(started, examples)
    assert (best.epoch, best.value, best.c) == (0, fitted.value, fitted.c)
    expected = started.heads[spec.key].state_dict()
    assert all(torch.equal(best.state[name], value) for name, value in expected.items())
    # And the bank holds what is judged.
    held = bank.heads[spec.key].state_dict()
    assert all(torch.equal(held[name], value) for name, value in expected.items())


def spoil(bank: HeadBank) -> None:
    (head,) = bank.heads.values()
    with torch.no_grad():
        next(head.pool.parameters()).fill_(torch.nan)


def test_a_pooling_that_is_not_finite_is_diverged_and_no_exception():
    examples = make_examples()
    bank = build(EP, examples)
    spoil(bank)
    assert fit(bank, examples).value == DIVERGED
    best = train(bank, examples)
    assert (best.value, best.epoch) == (DIVERGED, 0)


def test_a_pooling_that_diverges_on_the_way_leaves_the_start(monkeypatch):
    examples = make_examples()
    bank = build(EP, examples)
    expected = fit(build(EP, examples), examples)
    original = Fitter.reset_

    def reset_(fitter, key):
        original(fitter, key)
        spoil(fitter.bank)

    monkeypatch.setattr(Fitter, "reset_", reset_)
    best = train(bank, examples)
    assert (best.epoch, best.value) == (0, expected.value)


@pytest.mark.parametrize("method", ["cbam", "dolg", "aim"])
def test_norms_within_a_pooling_average_the_batches_of_an_epoch_evenly(method):
    examples = make_examples(d=16)
    spec = HeadSpec(method, 1, "patches", 0.01, 0, {"num_heads": 2} if method == "aim" else {})
    bank = build(spec, examples)
    plan = TrainingPlan(settings(**FITTED), len(examples.train))
    Fitter(bank, examples, plan, CPU).settle_inner_norms_(spec.key)
    (norm,) = batch_norms(bank.head(spec.key).pool)
    assert int(norm.num_batches_tracked) == plan.steps_per_epoch == 3
    means, variances = [], []
    for _, features in examples.batches(plan, epoch=0, first=0, compute=CPU):
        # A momentum of 1 keeps the last batch alone.
        other = build(spec, examples).train()
        (single,) = batch_norms(other.head(spec.key).pool)
        single.momentum = 1.0
        other.pooled(spec.key, other.read(features, [spec.key])[spec.place])
        means.append(single.running_mean)
        variances.append(single.running_var)
    torch.testing.assert_close(norm.running_mean, torch.stack(means).mean(0))
    torch.testing.assert_close(norm.running_var, torch.stack(variances).mean(0))


def test_statistics_begin_anew_and_end_as_even_means():
    norm = torch.nn.BatchNorm1d(2, affine=False).train()
    norm(torch.full((4, 2), 1e6) * torch.arange(4)[:, None])  # of an epoch before
    parts = torch.randn(3, 8, 2, generator=torch.Generator().manual_seed(0))
    for number, part in enumerate(parts):
        accumulate_(norm, number)
        norm(part)
    torch.testing.assert_close(norm.running_mean, parts.mean((0, 1)))
    torch.testing.assert_close(norm.running_var, parts.var(1).mean(0))


def test_without_rows_that_pick_there_is_one_c_and_the_last_epoch():
    examples = replace(make_examples(), select=np.zeros(0, int))
    bank = build(EP, examples)
    chosen = settings(**{**FITTED, "c": (0.1,)})
    assert train_bank(bank, examples, chosen, compute=CPU) == {}
    # The pooling has moved, and the classifier is fitted to it.
    first = build(EP, examples)
    assert not torch.equal(bank.head(EP.key).pool.queries, first.head(EP.key).pool.queries)
    held = {name: value.clone() for name, value in bank.state_dict().items()}
    again = fit(bank, examples, c=(0.1,))
    assert np.isnan(again.value)
    assert again.c == 0.1
    assert all(torch.equal(value, held[name]) for name, value in bank.state_dict().items())


@pytest.mark.parametrize("rule", ["none", "balanced"])
def test_a_head_that_is_reset_predicts_the_frequencies_of_the_loss(rule):
    examples = make_examples()
    targets = examples.targets[examples.train]
    counts = np.bincount(targets)
    bank = build(EP, examples)
    fit(bank, examples)
    plan = TrainingPlan(settings(**{**FITTED, "class_weight": rule}), len(examples.train))
    Fitter(bank, examples, plan, CPU).reset_(EP.key)
    (shares,) = predict(bank, examples.source, examples.select, compute=CPU).values()
    wanted = counts / counts.sum() if rule == "none" else np.full(3, 1 / 3)
    np.testing.assert_allclose(shares, np.tile(wanted, (len(shares), 1)), atol=1e-6)


def test_balanced_classes_are_those_of_scikit_learn():
    examples = make_examples()
    bank = build(LINEAR, examples)
    fit(bank, examples, c=(0.1,), class_weight="balanced")
    pooled = read_of(bank, examples, examples.train).double().numpy()
    rows = StandardScaler().fit_transform(pooled)
    targets = examples.targets[examples.train]
    reference = LogisticRegression(C=0.1, class_weight="balanced", tol=1e-8).fit(rows, targets)
    (actual,) = predict(bank, examples.source, examples.train, compute=CPU).values()
    np.testing.assert_allclose(actual, reference.predict_proba(rows), atol=1e-4)


class Bf16(OneDevice):
    """A CPU that pools in bf16."""

    def autocast(self):
        return torch.autocast("cpu", dtype=torch.bfloat16)


def test_under_autocast_a_fitted_head_gives_logits_in_fp32_and_those_of_its_fit():
    examples = make_examples()
    bank = build(EP, examples)
    compute = Bf16("cpu")
    plan = TrainingPlan(settings(**FITTED), len(examples.train))
    fitted = Fitter(bank, examples, plan, compute).fit_(EP.key)
    with torch.no_grad(), compute.autocast():
        features = next(examples.source.iterate([examples.select]))
        logits = bank(features)[EP.key]
        pooled = bank.pooled(EP.key, bank.read(features, [EP.key])[EP.place])
    assert pooled.dtype == torch.bfloat16
    assert logits.dtype == torch.float32
    head = bank.head(EP.key)
    torch.testing.assert_close(logits, head.classifier(head.norm(pooled.float())))
    (shares,) = predict(bank, examples.source, examples.select, compute=compute).values()
    loss = -np.log(shares[np.arange(len(shares)), examples.targets[examples.select]]).mean()
    assert fitted.value == pytest.approx(-loss, rel=1e-5)
