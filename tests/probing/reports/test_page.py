"""A report as one HTML file."""

import numpy as np
import pytest

from conftest import assert_bad_input
from helpers.saved_runs import change_predictions, one_group
from toolkit_common.runs.files import read_json, write_json
from toolkit_probing.reports.page import MAX_PICTURED


@pytest.mark.slow
def test_a_report_says_why_figures_have_no_interval(run_cli, copied, tmp_path):
    one_group(copied / "a")
    page = tmp_path / "report.html"
    shown = run_cli("report", copied / "a", "--metric", "top1", "-o", page)
    for text in (shown.stdout, page.read_text()):
        assert "no interval: not computed: all images are of one group" in text
        assert "undefined" not in text


@pytest.mark.slow
def test_a_folder_of_runs_is_reported_as_one_html_file(run_cli, runs, tmp_path):
    result = run_cli("report", runs, "-o", tmp_path / "report.html", "--by", "site")
    assert result.exit_code == 0, result.output
    page = (tmp_path / "report.html").read_text()
    assert "src='http" not in page
    assert page.count("<img") == 1 + 2 * 4 + 2 * 2  # layers; reliability and confusion a row
    for text in ("linear-layer6-cls", "site: back", "selected on test", "learning rate and epoch"):
        assert text in page
    assert "RANDOM WEIGHTS" in page
    assert MAX_PICTURED >= 4


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
    results["notes"] = ["<script>alert('a & b')</script>"]
    write_json(copied / "b/results.json", results)
    run_cli("report", copied / "b", "-o", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "<script>" not in page
    assert "&lt;script&gt;alert(&#39;a &amp; b&#39;)" in page


def test_rows_without_finite_probabilities_and_those_beyond_the_limit_say_so(
    run_cli, copied, tmp_path, monkeypatch
):
    monkeypatch.setattr("toolkit_probing.reports.page.MAX_PICTURED", 1)
    change_predictions(copied / "b", probabilities=lambda values: values * np.nan)
    run_cli("report", copied / "b", "-o", tmp_path / "report.html", "--metric", "top1")
    page = (tmp_path / "report.html").read_text()
    assert "<p>No pictures of linear-layer6-cls: it predicts no finite probabilities.</p>" in page
    assert "<p>Pictures of the first 1 of 2 rows.</p>" in page
