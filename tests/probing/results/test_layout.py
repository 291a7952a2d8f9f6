"""Figures as tables show them."""

import pytest

from toolkit_probing.results.layout import best_rows, show_interval


@pytest.mark.parametrize(("metric", "rows"), [("auroc", [0, 2, 4]), ("log_loss", [1, 3])])
def test_the_best_of_each_kind_is_what_is_shown_as_such(metric, rows):
    values, kinds = [0.8381, 0.7, 0.8379, 0.5, 0.6, None, 0.9], "aaabbbc"
    assert sorted(best_rows(values, kinds, metric)) == rows


@pytest.mark.parametrize(
    ("figure", "shown"),
    [
        ((0.838, 0.731, 0.918), "[0.73, 0.92]"),
        ((1.0054, 1.0051, 1.0062), "[1.005, 1.006]"),
        ((0.997, 0.9962, 0.9978), "[0.996, 0.998]"),
        ((None, 0.1, 0.2), "[0.10, 0.20]"),
    ],
)
def test_a_figure_is_shown_within_its_interval(figure, shown):
    assert show_interval(*figure) == shown
