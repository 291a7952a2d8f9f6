"""A report on the console."""

import json

import numpy as np

from helpers.saved_runs import change_predictions


def test_the_confusion_of_many_classes_or_of_none_is_not_printed(run_cli, copied, monkeypatch):
    monkeypatch.setattr("toolkit_probing.reports.tables.MAX_PRINTED_CLASSES", 1)
    shown = run_cli("report", copied / "a", "--metric", "confusion").stdout
    assert "confusion of knn-layer6-cls: 2 classes are too many to print, --json has it" in shown
    nothing = {"probabilities": lambda values: values * np.nan}
    change_predictions(copied / "a", **nothing)
    shown = run_cli("report", copied / "a", "--metric", "confusion").stdout
    assert "confusion of knn-layer6-cls: undefined" in shown
    result = run_cli("report", copied / "a", "--metric", "confusion", "--json")
    assert json.loads(result.stdout)["rows"][0]["confusion"] == [None, None]
