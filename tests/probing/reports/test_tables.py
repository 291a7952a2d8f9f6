"""A report on the console."""

import json
from pathlib import Path

import numpy as np
import pytest

from helpers.saved_runs import change_predictions, write_results
from helpers.shown_results import many_rows, plain_rows, report, results
from helpers.snapshots import assert_fits, assert_snapshot
from toolkit_common.runs.files import read_json
from toolkit_probing.reports.tables import run_line, sections, show_report
from toolkit_probing.results.rows import Row
from toolkit_probing.results.saved import find_runs

SHOWN = Path(__file__).parent / "shown"
REPORTS = {
    "one": lambda: report({"runs/a": results(many_rows())}),
    "two": lambda: report(
        {f"runs/{name}": results(plain_rows(), encoder=name) for name in ("imagenet", "mae")}
    ),
    "parts": lambda: report({"runs/a": results(plain_rows())}, by="gender"),
    "confusion": lambda: report({"runs/a": results(plain_rows()[:1])}, confusion=True),
}


@pytest.mark.parametrize("width", [80, 100, 120, 200])
@pytest.mark.parametrize("name", REPORTS)
def test_a_report_is_readable_at_any_width(name, width, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    show_report(REPORTS[name](), as_json=False)
    shown = capsys.readouterr().out
    assert_fits(shown, width)
    assert_snapshot(shown, SHOWN / f"report-{name}-{width}.txt")


def test_the_confusion_of_many_classes_or_of_none_is_not_printed(run_cli, copied, monkeypatch):
    monkeypatch.setattr("toolkit_probing.reports.tables.MAX_PRINTED_CLASSES", 1)
    shown = run_cli("report", copied / "a", "--metric", "confusion").stdout
    assert (
        "confusion of knn \u00b7 layer 6: 2 classes are too many to print, --json has it" in shown
    )
    nothing = {"probabilities": lambda values: values * np.nan}
    change_predictions(copied / "a", **nothing)
    shown = run_cli("report", copied / "a", "--metric", "confusion").stdout
    assert "confusion of knn \u00b7 layer 6: undefined" in shown
    result = run_cli("report", copied / "a", "--metric", "confusion", "--json")
    assert json.loads(result.stdout)["rows"][0]["confusion"] == [None, None]


def test_probing_and_tuning_stand_apart(run_cli, copied):
    results = read_json(copied / "a/results.json")
    results["rows"][0]["tune"] = "lora"
    write_results(copied / "a", results)
    shown = run_cli("report", copied / "a", "--metric", "top1").stdout
    before, _, after = shown.partition("TUNING (encoders trained with the head")
    assert "PROBING (frozen encoders)" in before
    assert "linear \u00b7 lora" not in before
    tuned, _, _ = after.partition("95 % intervals")
    assert "linear \u00b7 lora \u00b7 layer 2" in tuned
    assert "knn \u00b7 layer 2" not in tuned


def test_baselines_of_tuned_encoders_are_no_probes():
    tuned = [Row(**(vars(one) | {"tune": "full"})) for one in plain_rows()]
    titles = [title for title, _ in sections(report({"runs/a": results(tuned)}).rows)]
    assert titles[0] == "BASELINES (no image is read)"
    assert titles[1].startswith("TUNING")
    only = report({"runs/a": results(plain_rows())}).rows[-2:]
    assert [title for title, _ in sections(only)] == [""]


def test_a_run_is_named_with_what_was_probed_and_how(runs):
    (run,) = find_runs([runs / "b"])
    assert run_line(run).startswith(f"{runs / 'b'}: timm:test_vit?image_size=32 on csv:")
    changed = "classifier=trained, epochs=1, select_on=test"
    assert f"inputs image, protocol honest v2 with {changed}" in run_line(run)
    assert run_line(run).endswith("selected on test; RANDOM WEIGHTS")
