"""A report as one HTML file."""

import re

import numpy as np
import pytest

from conftest import assert_bad_input
from helpers.saved_runs import change_predictions, one_group, write_results
from toolkit_common.runs.files import read_json


@pytest.mark.slow
def test_a_report_says_why_figures_have_no_interval(run_cli, copied, tmp_path):
    one_group(copied / "a")
    page = tmp_path / "report.html"
    shown = run_cli("report", copied / "a", "--metric", "top1", "-o", page)
    for text in (shown.stdout, page.read_text()):
        assert "no interval: all images are of one group" in text
        assert "undefined" not in text


@pytest.mark.slow
def test_a_folder_of_runs_is_one_page_that_loads_nothing(run_cli, runs, tmp_path):
    result = run_cli("report", runs, "-o", tmp_path / "report.html", "--by", "site")
    assert result.exit_code == 0, result.output
    page = (tmp_path / "report.html").read_text()
    loaded = re.findall(r"(?:src|href|url\()[=\s\"']*([^\s\"'>)]+)", page)
    pictures = "data:image/jpeg;base64,"  # in the page itself
    assert all(place.startswith(("#", pictures)) for place in loaded)
    assert sum(place.startswith(pictures) for place in loaded) == 8  # of both runs once
    # Methods two, parameters, ROC and PR, calibration, recall, subgroups, layers, learning.
    headings = re.findall(r"<h2>([^<]+)</h2>", page)
    assert headings[:10] == [
        "Methods", "Accuracy against parameters", "ROC and precision-recall", "Calibration",
        "Retrieval", "Confusion", "Recall of each class", "Subgroups",
        "Few labels, layers, hidden metadata", "Learning curves",
    ]  # fmt: skip
    for text in (
        "linear \u00b7 layer 6 \u00b7 a",
        "site: back",
        "selected on test",
        "Random weights",
    ):
        assert text in page
    for text in ("Tiny: ", "learning rate and epoch", "peak memory", "He et al., 2022"):
        assert text in page


@pytest.mark.slow
def test_small_multiples_leave_random_weights_out_first_and_count(
    run_cli, copied, tmp_path, monkeypatch
):
    for name, is_random in (("a", True), ("b", False)):
        results = read_json(copied / name / "results.json")
        results["backbone"]["random_weights"] = is_random
        write_results(copied / name, results)
    monkeypatch.setattr("toolkit_probing.reports.evidence.MOST_PANELS", 1)
    run_cli("report", copied, "--metric", "top1", "-o", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    for kind, heading in (("Reliability", "Calibration"), ("Confusion", "Confusion")):
        assert re.search(rf"<h2>{heading}: 1 of \d+ rows</h2>", page)
        assert re.search(rf"{kind} of ([^\"]+)", page)[1].endswith("\u00b7 b")


@pytest.mark.slow
def test_a_page_begins_with_the_claim_and_what_forbids_to_believe_it(run_cli, runs, tmp_path):
    run_cli("report", runs / "b", "-o", tmp_path / "report.html", "--metric", "top1,auroc")
    page = (tmp_path / "report.html").read_text()
    claim = re.search(r'<p class="claim">([^<]+)</p>', page)[1]
    assert "k-NN" in claim
    assert "AUROC" in claim  # though top-1 stands first
    assert page.index('class="claim"') < page.index('class="warning"') < page.index("<h2>")
    assert page.count('class="warning"') == 3  # random weights, selected on test, tiny


def test_a_page_needs_a_metric_and_vl_convert(run_cli, runs, monkeypatch):
    result = run_cli("report", runs / "b", "-o", "report.html", "--metric", "confusion")
    assert_bad_input(result, "a page needs a metric besides confusion: add one to --metric")
    assert result.stdout == ""
    monkeypatch.setattr("toolkit_common.extras.find_spec", lambda _: None)
    result = run_cli("report", runs / "b", "-o", "report.html")
    assert_bad_input(result, "needs vl_convert", "pip install 'toolkit-probing[plots]'")
    assert not list(runs.parent.glob("report.html"))


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("folder", "--output folder is a folder: give a file that ends in .html"),
        ("notes.md", "--output notes.md: give a file that ends in .html"),
        ("afile/report.html", "--output in afile cannot be made: "),
        ("/proc/zz/report.html", "--output in /proc/zz cannot be written "),
    ],
)
def test_a_report_that_cannot_be_written_is_refused_before_it_is_made(
    run_cli, runs, tmp_path, output, message
):
    (tmp_path / "folder").mkdir()
    (tmp_path / "afile").touch()
    result = run_cli("report", runs / "a", "-o", output)
    assert_bad_input(result, message)
    assert result.stdout == ""


@pytest.mark.slow
def test_what_is_written_into_a_page_is_escaped(run_cli, copied, tmp_path):
    results = read_json(copied / "b/results.json")
    hostile = "</script><script>alert('a & b')</script>\x1b[2J"
    results["notes"] = [hostile]
    results["data"]["classes"] = [hostile, "light"]
    results["rows"][0]["name"] = hostile
    write_results(copied / "b", results)
    done = run_cli("report", copied / "b", "-o", tmp_path / "report.html", "--metric", "top1")
    assert done.exit_code == 0, done.output
    page = (tmp_path / "report.html").read_text()
    assert page.count("<script>") == page.count("</script>") == 1  # the page's own
    assert "&lt;script&gt;alert(&#39;a &amp; b&#39;)&lt;/script&gt;\\x1b[2J" in page
    assert "\x1b" not in page


@pytest.mark.slow
def test_rows_without_finite_probabilities_are_undefined(run_cli, copied, tmp_path):
    change_predictions(copied / "b", probabilities=lambda values: values * np.nan)
    done = run_cli("report", copied / "b", "-o", tmp_path / "report.html", "--metric", "top1")
    assert done.exit_code == 0, done.output
    page = (tmp_path / "report.html").read_text()
    assert "cannot be compared: top-1 is undefined for linear probing." in page
    assert "Undefined, so not drawn: linear, knn, " in page
    assert "<h2>Confusion</h2>" not in page
