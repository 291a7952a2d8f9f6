"""Each column is scored alone: values, and empty cells."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from toolkit_common.data.base import Labels
from toolkit_common.data.proxies import auroc_of, describe_column

LABELS = Labels("label", ("a", "b"), np.tile([0, 1], 50))


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=20, max_size=60))
@settings(max_examples=50, deadline=None)
def test_the_auroc_is_scikit_learns(rows: list[tuple[int, bool]]) -> None:
    scores, positive = (np.array(column) for column in zip(*rows, strict=True))
    found = auroc_of(scores.astype(float), positive)
    if min(positive.sum(), (~positive).sum()) < 10:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(roc_auc_score(positive, scores))


def test_a_number_that_tells_the_label_scores_one_either_way() -> None:
    values = pd.Series(-LABELS.targets.astype(float), name="size")
    assert describe_column(values, LABELS).value_auroc == 1.0


def test_empty_cells_are_scored_apart_from_values() -> None:
    values = pd.Series(np.where(LABELS.targets == 1, None, "x"), name="smoke")
    facts = describe_column(values, LABELS)
    assert (facts.missing, facts.missing_auroc, facts.constant) == (0.5, 1.0, True)
    assert math.isnan(facts.value_auroc)


def test_words_that_tell_the_label_score_and_ids_do_not() -> None:
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
