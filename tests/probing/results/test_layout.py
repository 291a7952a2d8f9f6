"""Figures as tables show them."""

import pytest

from toolkit_probing.results.layout import best_rows


@pytest.mark.parametrize(("metric", "rows"), [("auroc", [0, 2, 4]), ("log_loss", [1, 3])])
def test_the_best_of_each_kind_is_what_is_shown_as_such(metric, rows):
    values, kinds = [0.8381, 0.7, 0.8379, 0.5, 0.6, None, 0.9], "aaabbbc"
    assert sorted(best_rows(values, kinds, metric)) == rows
