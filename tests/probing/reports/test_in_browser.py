"""The page of a probe in a real browser; skipped where there is none."""

import pytest

from helpers.browser import problems_of

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # the driver's own warnings


def test_the_page_of_a_probe_has_no_flaw_in_a_browser(run_cli, runs, tmp_path):
    path = tmp_path / "report.html"
    done = run_cli("report", runs, "-o", path, "--by", "site")
    assert done.exit_code == 0, done.output
    assert problems_of(path) == []
