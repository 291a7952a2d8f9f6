"""Labels are read of those lesions that have one, and of none where none is."""

import numpy as np
import pytest
import torch

from helpers.small_data import build_data
from toolkit_common.data.splits import Splits
from toolkit_common.errors import InputError
from toolkit_slimp.settings import SlimpSettings
from toolkit_slimp.watching import labels
from toolkit_slimp.watching.labels import build_label_watch


def build(labels, label=None):
    data = build_data(labels, groups=[f"p{row // 2}" for row in range(len(labels))])
    rows = np.arange(len(labels))
    cpu = torch.device("cpu")
    splits = Splits(rows[::2], rows[1::2], rows[:0], origin="here")
    settings = SlimpSettings(watch_every=1, watch_label=label)
    return build_label_watch(settings, data, splits, device=cpu)


def test_rows_without_a_label_are_neither_examples_nor_questions(monkeypatch):
    values = ["a", "b", None, None, "b", "a", "a", "b", "b", "b"]
    actual = build(values)
    assert actual.examples.tolist() == [0, 4, 6, 8]
    assert actual.questions.tolist() == [1, 5, 7, 9]
    monkeypatch.setattr(labels, "QUESTIONS", 2)
    few = build(values).questions.tolist()
    assert len(few) == 2
    assert few == build(values).questions.tolist()


def test_a_label_that_cannot_be_requested_is_left_out_or_refused_if_it_was_named():
    assert build(["a", "a", "a", "a"]) is None
    assert build(["a", "b", "a", "b"]) is None
    with pytest.raises(InputError, match=r"label 'label' of 'small' cannot be watched.* have 1 of"):
        build(["a", "b", "a", "b"], "label")
