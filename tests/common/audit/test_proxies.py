"""Each column is scored alone: values, and empty cells."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from toolkit_common.audit.proxies import auroc_of, describe_column
from toolkit_common.data.dataset import Labels

LABELS = Labels("label", ("a", "b"), np.tile([0, 1], 50))


@pytest.mark.slow
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=20, max_size=60))
@settings(max_examples=50, deadline=None)
def test_the_auroc_is_scikit_learns(rows: list[tuple[int, bool]]) -> None:
    scores, positive = (np.array(column) for column in zip(*rows, strict=True))
    area = auroc_of(scores.astype(float), positive)
    if min(positive.sum(), (~positive).sum()) < 10:
        assert math.isnan(area)
    else:
        assert area == pytest.approx(roc_auc_score(positive, scores))


def test_a_number_that_predicts_the_label_scores_one_either_way() -> None:
    values = pd.Series(-LABELS.targets.astype(float), name="size")
    assert describe_column(values, LABELS).value_auroc == 1.0


def test_empty_cells_are_scored_apart_from_values() -> None:
    values = pd.Series(np.where(LABELS.targets == 1, None, "x"), name="smoke")
    facts = describe_column(values, LABELS)
    assert (facts.missing, facts.missing_auroc, facts.constant) == (0.5, 1.0, True)
    assert math.isnan(facts.value_auroc)


def test_words_that_predict_the_label_score_and_ids_do_not() -> None:
    words = pd.Series(np.where(LABELS.targets == 1, "yes", "no"), name="biopsed")
    assert describe_column(words, LABELS).value_auroc == 1.0
    ids = describe_column(pd.Series([f"id{row}" for row in range(100)], name="id"), LABELS)
    assert ids.id_like
    assert ids.value_auroc == pytest.approx(0.5, abs=0.02)


def test_a_word_of_one_group_does_not_score_by_its_group() -> None:
    groups = np.repeat(np.arange(10), 10)
    labels = Labels("label", ("a", "b"), np.repeat([0, 1] * 5, 10))
    words = pd.Series([f"doctor {group}" for group in groups], name="doctor")
    assert describe_column(words, labels).value_auroc > 0.95
    assert describe_column(words, labels, groups=groups).value_auroc < 0.6


def test_rows_without_a_label_are_left_out() -> None:
    labels = Labels("label", ("a", "b"), np.where(np.arange(100) < 60, LABELS.targets, -1))
    values = pd.Series(np.where(labels.targets < 0, 99.0, labels.targets), name="size")
    assert describe_column(values, labels).value_auroc == 1.0


def test_numbers_that_are_held_as_words_score_as_numbers() -> None:
    rng = np.random.default_rng(0)
    confidence = np.where(LABELS.targets == 1, rng.uniform(90, 100, 100), rng.uniform(0, 10, 100))
    words = pd.Series([f"{value:.5f}" for value in confidence], name="confidence")
    facts = describe_column(words, LABELS)
    assert (facts.value_auroc, facts.value_sure, facts.id_like) == (1.0, True, False)
    with_a_word = words.mask(np.arange(100) % 10 == 0, "UNK")
    assert describe_column(with_a_word, LABELS).value_auroc > 0.9


def test_whole_numbers_that_name_single_rows_are_like_ids() -> None:
    assert describe_column(pd.Series(map(str, range(1000, 1100)), name="case"), LABELS).id_like
    ages = pd.Series([str(20 + row % 60) for row in range(100)], name="age")
    assert not describe_column(ages, LABELS).id_like


@pytest.mark.parametrize("rows", [60, 100, 1000])
def test_a_number_that_predicts_the_label_by_its_size_alone_is_detected(rows: int) -> None:
    rng = np.random.default_rng(0)
    labels = Labels("label", ("a", "b"), np.tile([0, 1], rows // 2))
    size = np.where(labels.targets == 1, rng.uniform(0, 1, rows), rng.uniform(5, 6, rows))
    values = pd.Series(size * rng.choice([-1, 1], rows), name="offset")
    assert auroc_of(values.to_numpy(), labels.targets == 1) < 0.7
    assert describe_column(values, labels).value_auroc >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize("positives", [10, 30, 500])
def test_noise_is_never_sure_to_predict_the_label(positives: int) -> None:
    rng = np.random.default_rng(positives)
    labels = Labels("label", ("a", "b"), (np.arange(1000) < positives).astype(int))
    kinds = {
        "number": lambda: pd.Series(rng.normal(size=1000)),
        "word": lambda: pd.Series(rng.choice(list("abcdefgh"), 1000)),
        "half empty": lambda: pd.Series(np.where(rng.random(1000) < 0.5, None, "x")),
    }
    for name, draw in kinds.items():
        columns_facts = [describe_column(draw(), labels) for _ in range(40)]
        values = [facts.value_auroc for facts in columns_facts if facts.value_sure]
        missing = [facts.missing_auroc for facts in columns_facts if facts.missing_sure]
        assert max(values, default=0) < 0.8, name
        assert max(missing, default=0) < 0.7, name


@pytest.mark.slow
def test_the_noise_of_bins_does_not_raise_the_mean_auroc() -> None:
    rng = np.random.default_rng(0)
    draws = [pd.Series(rng.normal(size=100)) for _ in range(60)]
    plain = [auroc_of(values.to_numpy(), LABELS.targets == 1) for values in draws]
    alone = np.mean([max(area, 1 - area) for area in plain])
    assert np.mean([describe_column(values, LABELS).value_auroc for values in draws]) < alone + 0.02


def test_few_patients_are_no_proof_however_many_images_they_have() -> None:
    groups = np.repeat(np.arange(6), 50)
    labels = Labels("label", ("a", "b"), np.repeat([0, 0, 0, 1, 1, 1], 50))
    values = pd.Series(np.where(labels.targets == 1, None, "x"), name="smoke")
    assert describe_column(values, labels).missing_sure
    facts = describe_column(values, labels, groups=groups)
    assert (facts.missing_auroc, facts.missing_sure) == (1.0, False)
    nameless = np.where(groups < 9, None, groups)  # a row without a group stands for itself
    assert describe_column(values, labels, groups=nameless).missing_sure


def test_emptiness_names_the_class_whose_cells_are_empty() -> None:
    for code, name in enumerate(LABELS.classes):
        values = pd.Series(np.where(LABELS.targets == code, None, "x"), name="smoke")
        assert describe_column(values, LABELS).missing_class == name


def test_without_a_label_a_column_is_described_and_not_scored() -> None:
    facts = describe_column(pd.Series(["x", None, "x", "x"], name="site"), None)
    assert (facts.missing, facts.constant, facts.value_sure) == (0.25, True, False)
    assert math.isnan(facts.value_auroc)
    assert math.isnan(facts.missing_auroc)
