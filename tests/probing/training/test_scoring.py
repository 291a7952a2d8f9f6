"""Heads predict rows in their order, and one that diverged scores below any other."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.probe_problem import RecordedSource, make_examples, settings, specs, train_heads
from toolkit_probing.heads.bank import HeadBank, sample_of
from toolkit_probing.heads.head import HeadSpec
from toolkit_probing.training.compute import OneDevice
from toolkit_probing.training.loop import train_bank
from toolkit_probing.training.scoring import (
    DIVERGED,
    NO_CLASS,
    predict,
    read_classes,
    read_true,
    score,
    score_heads,
)

LINEAR = HeadSpec("linear", 1, "cls", 0.5, 0)
OTHER = replace(LINEAR, base_lr=2.0)


@pytest.mark.slow
def test_predictions_come_in_the_order_of_the_positions(tmp_path):
    bank, _ = train_heads(tmp_path, specs())
    store, compute = make_examples().source, OneDevice("cpu")
    rows = np.array([5, 2, 39])
    predicted = predict(bank, store, rows, compute=compute)
    for key, values in predicted.items():
        single = [
            predict(bank, store, rows[i : i + 1], compute=compute, keys=[key])[key]
            for i in range(3)
        ]
        np.testing.assert_allclose(values, np.concatenate(single), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(values.sum(1), 1.0, rtol=1e-5)


@pytest.mark.parametrize("metric", ["top1", "log_loss", "auroc"])
def test_a_head_of_nan_scores_as_diverged_and_predicts_no_class(metric):
    examples, compute = make_examples(), OneDevice("cpu")
    bank = HeadBank([LINEAR, OTHER], sample_of(examples.source), num_classes=3)
    next(bank.heads[OTHER.key].parameters()).data.fill_(float("nan"))
    keys = [LINEAR.key, OTHER.key]
    scores = score_heads(bank, examples, keys=keys, metric=metric, compute=compute)
    assert scores[OTHER.key] == DIVERGED < scores[LINEAR.key]
    rows = np.arange(40)
    predicted = predict(bank, examples.source, rows, compute=compute, read=read_classes)
    assert set(predicted[OTHER.key]) == {NO_CLASS}
    assert set(predicted[LINEAR.key]) <= {0, 1, 2}


@pytest.mark.parametrize(("chosen", "reads"), [([LINEAR], False), ([LINEAR, specs()[0]], True)])
@pytest.mark.parametrize("classifier", ["fitted", "trained"])
def test_heads_of_vectors_alone_are_trained_and_scored_without_tokens(classifier, chosen, reads):
    examples = make_examples()
    source = RecordedSource(examples.source)
    bank = HeadBank(chosen, sample_of(source, chosen), num_classes=3)
    how = settings(classifier=classifier, optimizer="adamw", epochs=1)
    train_bank(bank, replace(examples, source=source), how, compute=OneDevice("cpu"))
    assert len(source.read_patches) > 2
    assert any(source.read_patches) == reads


@pytest.mark.parametrize("weights", [None, np.linspace(0.1, 2.0, 40)])
def test_a_log_loss_is_that_of_all_probabilities_from_one_a_row(weights):
    examples, compute = replace(make_examples(), weights=weights), OneDevice("cpu")
    bank = HeadBank(specs(), sample_of(examples.source), num_classes=3)
    rows, targets = examples.select, examples.targets[examples.select]
    scores = score_heads(bank, examples, keys=bank.specs, metric="log_loss", compute=compute)
    whole = predict(bank, examples.source, rows, compute=compute)
    kept = predict(bank, examples.source, rows, compute=compute, read=read_true(examples.targets))
    for key, probabilities in whole.items():
        assert kept[key].shape == rows.shape
        own = score(probabilities, targets, "log_loss", weights=examples.select_weights())
        assert scores[key] == own
