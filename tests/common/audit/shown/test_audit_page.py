"""An audit as a page."""

from dataclasses import replace

import pytest

from helpers.shown_audit import shown_audit, sound_audit
from toolkit_common.audit.shown import audit_page as module
from toolkit_common.audit.shown.audit_page import audit_page

pytestmark = pytest.mark.slow


def test_the_verdict_comes_first_and_thresholds_are_drawn():
    page = audit_page(shown_audit())
    assert page.index('<p class="warning">LEAK in ') < page.index("<h2>Findings")
    for threshold in ("0.7", "0.9", "0.95"):
        assert f">{threshold}</text>" in page
    assert "biopsed (never read)" in page
    assert ">1077<" not in page
    assert "1,077" in page


def test_pairs_are_pictured_side_by_side_with_their_names():
    page = audit_page(shown_audit())
    assert page.count('<div class="strip"><img') == 2
    assert page.count("<img") == 4
    assert page.count("across groups or splits") == 1
    assert 'alt="image i0"' in page
    assert "i1 (val), i2 (val): correlate by 0.930, turned" in " ".join(page.split())


def test_what_comes_from_the_data_is_escaped():
    page = audit_page(shown_audit())
    assert page.count("<script>") == page.count("</script>") == 1  # the page's own
    assert "&lt;script&gt;alert(1)" in page
    assert "\x1b" not in page


def test_an_audit_that_found_nothing_is_a_claim_and_no_warning():
    page = audit_page(replace(sound_audit(), findings=[]))
    assert '<p class="claim">No leak found in ' in page
    assert "Nothing was found." in page
    assert "<svg" not in page


def test_without_vl_convert_the_page_has_tables_and_says_so(monkeypatch):
    monkeypatch.setattr(module, "is_installed", lambda _: False)
    page = audit_page(shown_audit())
    assert "Without figures, as vl-convert is not installed" in page
    assert "<svg" not in page
    assert "Each column against the label" in page


def test_of_very_many_columns_those_that_tell_most_are_drawn(monkeypatch):
    monkeypatch.setattr(module, "MOST_DRAWN", 2)
    page = audit_page(shown_audit())
    assert "2 more columns stand in the table alone" in page
