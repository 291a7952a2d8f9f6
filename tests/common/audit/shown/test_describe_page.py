"""A data set as a page."""

import pytest

from helpers.shown_audit import shown_data
from helpers.small_data import build_data
from toolkit_common.audit.describe import describe_data
from toolkit_common.audit.shown.describe_page import describe_page

pytestmark = pytest.mark.slow


def test_a_page_holds_the_verdict_the_card_and_the_columns():
    data = shown_data()
    page = describe_page(data, data.labels(), describe_data(data))
    assert page.index('<p class="claim">Can be probed: 1 label to predict') < page.index("<h2>Data")
    assert page.count("<img") == 12
    assert "numeric (years)" in page
    assert 'aria-label="Share of empty cells of each column"' in page
    assert "mind the gap" in page
    assert page.count("<script>") == 1


def test_data_that_cannot_be_split_or_have_no_label_have_a_page_too():
    data = build_data(["a", "b"])
    page = describe_page(data, None, describe_data(data))
    assert '<p class="warning">Cannot be split: ' in page
    assert ">no split</th>" in page
    assert "without label: 2 of 2" in page
