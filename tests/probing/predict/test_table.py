"""The table of predictions keeps every bit, in both formats."""

from io import StringIO

import numpy as np
import pandas as pd
import pytest

from helpers.small_data import build_data
from toolkit_common.data.dataset import Labels
from toolkit_common.data.splits import Splits
from toolkit_probing.predict.classify import Answers
from toolkit_probing.predict.table import build_table, to_csv, to_records, write_table
from toolkit_probing.task.task import Task

PROBABILITIES = np.array([[0.1, 0.9], [1 / 3, 2 / 3]], np.float32)


@pytest.fixture
def table() -> pd.DataFrame:
    data = build_data(["a", "b", "a"], groups=["p", "p", "q"])
    none = np.zeros(0, int)
    labels = Labels("label", ("a", "b"), np.array([0, -1, 0]))
    task = Task(data, labels, Splits(none, none, np.array([1, 2]), "some"), pd.DataFrame())
    peaks = np.array([[[0.25, 0.75, 2.0]], [[0.75, 0.25, 1.5]]])
    return build_table(task, Answers(PROBABILITIES, peaks), ["", "probe"])


def test_a_row_says_what_image_it_is_and_what_was_answered(table) -> None:
    assert to_records(table)[0] == {
        "image_id": "i1", "image": None, "group": "p", "target": None, "predicted": "b",
        "seen": "", "probability_a": 0.100000001, "probability_b": 0.899999976,
        "attention_0_x": 0.25, "attention_0_y": 0.75, "attention_0_times_even": 2.0,
    }  # fmt: skip
    assert table["target"].fillna("").tolist() == ["", "a"]


def test_both_formats_give_the_same_bits_back(table, tmp_path) -> None:
    text = to_csv(table)
    assert text is not None
    write_table(tmp_path / "some.parquet", table)
    write_table(tmp_path / "some.csv", table)
    assert (tmp_path / "some.csv").read_text() == text
    for read in (pd.read_csv(StringIO(text)), pd.read_parquet(tmp_path / "some.parquet")):
        values = read[["probability_a", "probability_b"]].to_numpy().astype(np.float32)
        np.testing.assert_array_equal(values, PROBABILITIES)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["some.csv", "some.parquet"]
