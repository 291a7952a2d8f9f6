"""The page of a pre-training run in a real browser; skipped where there is none."""

import pytest

from helpers.browser import problems_of

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # the driver's own warnings


def test_the_page_of_a_pre_training_has_no_flaw_in_a_browser(root):
    assert problems_of(root / "run/report.html") == []
