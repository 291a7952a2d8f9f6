"""Pages of audits and data sets in a real browser; skipped where there is none."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.browser import problems_of
from helpers.shown_audit import shown_audit, shown_data, sound_audit
from helpers.small_data import build_data
from toolkit_common.audit.describe import describe_data
from toolkit_common.audit.shown.audit_page import audit_page
from toolkit_common.audit.shown.describe_page import describe_page
from toolkit_common.data.dataset import ImageData

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # the driver's own warnings


def page_of(data: ImageData, *, is_labelled: bool) -> str:
    return describe_page(data, data.labels() if is_labelled else None, describe_data(data))


PAGES: dict[str, Callable[[], str]] = {
    "audit": lambda: audit_page(shown_audit()),
    "sound audit": lambda: audit_page(replace(sound_audit(), findings=[])),
    "data": lambda: page_of(shown_data(), is_labelled=True),
    "bad data": lambda: page_of(build_data(["a", "b"]), is_labelled=False),
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_no_flaw_in_a_browser(name: str, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(PAGES[name](), encoding="utf-8")
    assert problems_of(path) == []


def test_flaws_are_seen(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(
        "<html><body style='background: #fff'><p style='color: #eee; width: 2000px'>pale words</p>"
        "<button></button><script>console.log('said')</script></body></html>"
    )
    seen = " ".join(problems_of(path))
    for part in ("color-contrast", "button-name", "scrolls sideways by", "console: said"):
        assert f"light 390: {part}" in seen
