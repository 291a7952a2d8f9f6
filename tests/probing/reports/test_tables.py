"""A report on the console."""

import json

import numpy as np

from helpers.saved_runs import change_predictions
from toolkit_common.runs.files import read_json, write_json
from toolkit_probing.reports.tables import run_line
from toolkit_probing.results.saved import find_runs


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


def test_probing_and_tuning_stand_apart(run_cli, copied):
    results = read_json(copied / "a/results.json")
    results["rows"][0]["tune"] = "lora"
    write_json(copied / "a/results.json", results)
    shown = run_cli("report", copied / "a", "--metric", "top1").stdout
    before, _, after = shown.partition("TUNING (encoders trained with the head")
    assert "PROBING (frozen encoders)" in before
    assert "linear-layer2-cls" not in before
    assert "linear-layer2-cls" in after
    assert "knn-layer2-cls" not in after


def test_a_run_is_named_with_what_was_probed_and_how(runs):
    (run,) = find_runs([runs / "b"])
    assert run_line(run).startswith(f"{runs / 'b'}: timm:test_vit?image_size=32 on csv:")
    changed = "classifier=trained, epochs=1, select_on=test"
    assert f"inputs image, protocol honest v2 with {changed}" in run_line(run)
    assert run_line(run).endswith("selected on test; RANDOM WEIGHTS")
