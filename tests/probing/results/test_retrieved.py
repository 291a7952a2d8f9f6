"""What a row says of retrieval: means over repeats, over folds, and as a table."""

from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from toolkit_common.scores.retrieval import estimate_by_label
from toolkit_probing.results.retrieved import (
    MEAN,
    Retrieval,
    join_folds,
    print_retrieval,
    summarise,
)

TARGETS, GROUPS = np.array([0, 0, 1, 1, 1]), np.arange(5)
FIRST = np.array([1.0, 0.5, 0.2, 0.4, np.nan])


def found(*repeats: np.ndarray) -> Retrieval:
    values = [{"precision_at_1": values / 2, "average_precision": values} for values in repeats]
    item = summarise(values, TARGETS, GROUPS, classes=["naevus", "melanoma", "never seen"])
    assert item is not None
    return item


def test_it_is_the_mean_over_labels_and_the_mean_of_each():
    item = found(FIRST)
    assert item.num_queries == 4
    assert list(item.metrics) == ["precision_at_1", MEAN]
    assert item.metrics[MEAN] == estimate_by_label([FIRST], TARGETS, GROUPS)
    assert item.metrics[MEAN].mean == pytest.approx((0.75 + 0.3) / 2)
    assert item.average_precision == {
        "naevus": pytest.approx(0.75), "melanoma": pytest.approx(0.3), "never seen": None,
    }  # fmt: skip


def test_of_several_repeats_it_is_their_mean():
    item = found(FIRST, FIRST / 2)
    assert item.metrics[MEAN].values == pytest.approx((0.525, 0.2625))
    assert item.average_precision["naevus"] == pytest.approx(0.75 * 0.75)


def test_what_searches_nothing_has_none():
    assert summarise([], TARGETS, GROUPS, classes=["a", "b"]) is None


def test_folds_are_averaged_without_an_interval():
    joined = join_folds([found(FIRST), found(FIRST / 2)])
    assert joined is not None
    assert joined.num_queries == 8
    mean = joined.metrics[MEAN]
    assert (mean.mean, mean.ci) == (pytest.approx((0.525 + 0.2625) / 2), None)
    assert mean.sd == pytest.approx(np.std([0.525, 0.2625], ddof=1))
    assert joined.average_precision["never seen"] is None
    assert join_folds([found(FIRST), None]) is None


def test_it_is_a_table_below_that_of_figures():
    out = Console(file=StringIO(), width=80)
    print_retrieval(out, {"knn": found(FIRST)})
    text = out.file.getvalue()
    assert "4 queries; means over labels" in " ".join(text.split())
    assert "precision@1" in text
    assert "0.525" in text
    assert "undefined" in text
    print_retrieval(out, {})
    assert out.file.getvalue() == text
