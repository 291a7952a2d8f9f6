"""The page of a probe in a real browser; skipped where there is none."""

import pytest

from helpers.browser import problems_of
from helpers.saved_runs import write_results
from toolkit_common.runs.files import read_json

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # the driver's own warnings


def test_the_page_of_a_probe_has_no_flaw_in_a_browser(run_cli, runs, tmp_path):
    path = tmp_path / "report.html"
    done = run_cli("report", runs, "-o", path, "--by", "site")
    assert done.exit_code == 0, done.output
    assert problems_of(path) == []


def test_the_page_of_a_leaderboard_has_no_flaw_in_a_browser(run_cli, runs, tmp_path):
    path = tmp_path / "leaderboard.html"
    done = run_cli("report", runs, "--leaderboard", "-o", path)
    assert done.exit_code == 0, done.output
    assert problems_of(path) == []


def test_the_page_of_a_tuned_encoder_has_no_flaw_in_a_browser(run_cli, copied, tmp_path):
    results = read_json(copied / "b/results.json")
    results["rows"][0]["tune"] = "lora"
    write_results(copied / "b", results)
    path = tmp_path / "tuned.html"
    assert run_cli("report", copied / "b", "-o", path).exit_code == 0
    assert problems_of(path) == []
