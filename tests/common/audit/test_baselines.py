"""Baselines that read metadata alone: what they see, and what they are fitted on."""

from dataclasses import replace

import numpy as np
import pytest

from helpers import audited
from helpers.small_data import build_data
from toolkit_common.audit import baselines
from toolkit_common.audit.baselines import complete_rows, fit_baselines, metadata_baselines
from toolkit_common.data.dataset import ImageData
from toolkit_common.data.sheet import Column, Sheet
from toolkit_common.data.splits import keep_labelled, make_splits

SHEET = Sheet(
    "toy", columns=(Column("age", "patient", "numeric"), Column("site", "lesion", "categorical"))
)
ROWS = 90


def telling(*, missing: bool) -> ImageData:
    """Rows whose label (a third is `b`) follows from the age, or from the age being empty."""
    is_b = np.arange(ROWS) % 3 == 0
    ages = [None if missing and hit else 20.0 + 40.0 * (hit and not missing) for hit in is_b]
    sites = [None if row % 2 else "arm" for row in range(ROWS)]
    return build_data(np.where(is_b, "b", "a").tolist(), sheet=SHEET, age=ages, site=sites)


def accuracy(data: ImageData) -> dict[str, float]:
    labels, splits = data.labels(), make_splits(data)
    targets = labels.targets[splits.test]
    return {
        fitted.name: float((fitted.probabilities[0].argmax(axis=1) == targets).mean())
        for fitted in fit_baselines(data, labels, splits)
    }


def test_missingness_sees_empty_cells_alone() -> None:
    assert accuracy(telling(missing=True))["missingness"] == 1.0
    accuracies = accuracy(telling(missing=False))
    assert accuracies["metadata"] == 1.0
    assert accuracies["missingness"] < 0.8  # no better than the frequent class


def test_probabilities_are_of_the_test_rows_and_the_columns_are_counted() -> None:
    data = telling(missing=True)
    labels, splits = data.labels(), make_splits(data)
    for fitted, parameters in zip(fit_baselines(data, labels, splits), (3, 4), strict=True):
        (probabilities,) = fitted.probabilities
        assert probabilities.shape == (len(splits.test), 2)
        assert np.allclose(probabilities.sum(axis=1), 1.0)
        assert (fitted.num_columns, fitted.num_parameters) == (2, parameters)  # arm, (empty)


def test_rows_of_the_same_cells_are_as_probable_to_the_bit() -> None:
    data = telling(missing=True)
    labels, splits = data.labels(), make_splits(data)
    empty = data.table.iloc[splits.test].isna().to_numpy()
    (probabilities,) = fit_baselines(data, labels, splits)[0].probabilities
    probable = np.unique(probabilities[:, 0]).size
    assert probable == len(np.unique(empty, axis=0))
    saved = probabilities.astype(np.float32)
    assert np.array_equal(saved, probabilities)  # what reports read gives one figure


def test_versions_of_the_test_rows_are_answered_for_one_below_the_other() -> None:
    data = telling(missing=False)
    labels, splits = data.labels(), make_splits(data)
    test = data.table.iloc[splits.test]
    nothing = test.assign(age=None, site=None)
    plain = fit_baselines(data, labels, splits)
    both = fit_baselines(data, labels, splits, tests=[nothing, test])
    for one, two in zip(plain, both, strict=True):
        empty, same = np.split(two.probabilities[0], 2)
        assert np.array_equal(same, one.probabilities[0])
        assert len(np.unique(empty, axis=0)) == 1
        assert not np.allclose(empty, same)


def test_sets_of_training_rows_are_fitted_on_each_for_itself() -> None:
    data = telling(missing=False)
    labels, splits = data.labels(), make_splits(data)
    few, other = splits.train[:6], splits.train[6:20]
    both = fit_baselines(data, labels, splits, trains=[few, other])
    for number, rows in enumerate((few, other)):
        alone = fit_baselines(data, labels, replace(splits, train=rows))
        for one, two in zip(alone, both, strict=True):
            assert np.array_equal(one.probabilities[0], two.probabilities[number])
    assert not np.allclose(*both[1].probabilities)


def test_data_without_metadata_columns_have_no_baselines() -> None:
    data = build_data(["a", "b"] * 10)
    assert fit_baselines(data, data.labels(), make_splits(data)) == []
    assert complete_rows(data) is None


def test_of_very_many_rows_the_frequent_class_is_thinned_out_and_weighted_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(baselines, "MAX_ROWS", 20)
    targets = np.array([0] * 60 + [1] * 4 + [-1] * 9)
    rows, weights = baselines._thinned(targets, np.arange(64))
    assert np.bincount(targets[rows]).tolist() == [10, 4]
    assert np.unique(rows).size == 14
    assert weights.tolist() == [6.0] * 10 + [1.0] * 4
    whole, ones = baselines._thinned(targets, np.arange(20))
    assert whole.tolist() == list(range(20))
    assert ones.tolist() == [1.0] * 20


def test_complete_rows_have_every_column_of_the_sheet() -> None:
    data = build_data(list("abab"), sheet=SHEET, age=[1.0, None, 3.0, 4.0],
                      site=["arm", "arm", None, "unknown"], other=[None] * 4)  # fmt: skip
    complete = complete_rows(data)
    assert complete is not None
    assert complete.tolist() == [True, False, False, True]


def test_a_table_without_a_sheet_is_read_by_the_columns_that_are_named() -> None:
    is_b = np.arange(ROWS) % 3 == 0
    data = build_data(
        np.where(is_b, "b", "a").tolist(),
        size=[f"{7.5 if hit else 2.5}" for hit in is_b],  # words, as a csv holds its numbers
        site=[None if row % 2 else "arm" for row in range(ROWS)],
    )
    columns = [Column("size", "lesion", "numeric"), Column("site", "lesion", "categorical")]
    labels, splits = data.labels(), make_splits(data)
    assert metadata_baselines(data, labels, splits) == []
    by_name = {
        item.name: item for item in metadata_baselines(data, labels, splits, columns=columns)
    }
    assert (by_name["metadata"].auroc, by_name["metadata"].sure) == (1.0, True)
    assert not by_name["missingness"].sure


def test_a_few_test_groups_prove_nothing() -> None:
    data = telling(missing=True)
    labels = data.labels()
    for groups, is_sure in ((np.arange(ROWS), True), (np.arange(ROWS) % 6, False)):
        splits = replace(make_splits(data), test=np.arange(ROWS))
        grouped = build_data(data.table["label"].tolist(), sheet=SHEET, groups=groups.tolist(),
                             age=data.table["age"].tolist(),
                             site=data.table["site"].tolist())  # fmt: skip
        baselines = metadata_baselines(grouped, labels, splits)
        assert [(item.auroc, item.sure) for item in baselines if item.name == "missingness"] == [
            (pytest.approx(1.0), is_sure)
        ]


def test_baselines_read_no_image_and_see_what_is_planted() -> None:
    smoke = [None, None, "true", "false"] * (audited.ROWS // 4)
    seen, labels = audited.data(smoke=smoke), audited.data().labels()
    splits = keep_labelled(make_splits(seen), seen, labels)
    by_name = {item.name: item.auroc for item in metadata_baselines(seen, labels, splits)}
    assert by_name == {"missingness": 1.0, "metadata": pytest.approx(1.0)}
    assert metadata_baselines(audited.data(sheet=Sheet("bare")), labels, splits) == []
