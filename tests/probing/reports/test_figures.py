"""Pictures of results, by what their axes hold."""

import numpy as np
import pytest

from toolkit_common.scores.metrics import Predictions
from toolkit_common.scores.statistics import Estimate
from toolkit_probing.reports.figures import draw_confusion, draw_curves, draw_reliability

RUN = Predictions(np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]]), np.array([0, 1, 1]))


def estimate_of(mean: float | None, ci: tuple[float, float] | None = None) -> Estimate:
    return Estimate(mean, None, ci, (mean,))


def test_a_curve_is_a_line_and_what_is_undefined_is_no_point():
    points = [(1.0, estimate_of(0.5, (0.4, 0.6))), (2.0, estimate_of(None)), (3.0, estimate_of(1))]
    figure = draw_curves({"ep-cls": points, "knn-cls": points[:1]}, "layer", "top1")
    assert [panel.get_title() for panel in figure.axes] == ["ep", "knn"]
    (line,) = figure.axes[0].lines
    assert (list(line.get_xdata()), list(line.get_ydata())) == ([1.0, 3.0], [0.5, 1])
    assert line.get_label() == "cls"


def test_reliability_is_accuracy_over_confidence():
    top, bottom = draw_reliability([RUN, RUN], "a").axes
    heights = {round(bar.get_x() + bar.get_width() / 2, 3): bar.get_height() for bar in top.patches}
    assert sorted(heights.values()) == [0, 1, 1]
    assert heights[0.567] == 0  # confidence 0.6, and wrong
    assert sum(bar.get_height() for bar in bottom.patches) == pytest.approx(1)


def test_a_confusion_is_shares_of_each_true_class_with_counts():
    axes = draw_confusion([RUN], ["a", "b"], "t").axes[0]
    np.testing.assert_allclose(axes.images[0].get_array(), [[1, 0], [0.5, 0.5]])
    assert [text.get_text() for text in axes.texts] == ["1", "0", "1", "1"]
