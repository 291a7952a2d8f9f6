"""Pictures of results, by what their axes hold."""

from toolkit_common.scores.statistics import Estimate
from toolkit_probing.reports.figures import draw_curves


def estimate_of(mean: float | None, ci: tuple[float, float] | None = None) -> Estimate:
    return Estimate(mean, None, ci, (mean,))


def test_a_curve_is_a_line_and_what_is_undefined_is_no_point():
    points = [(1.0, estimate_of(0.5, (0.4, 0.6))), (2.0, estimate_of(None)), (3.0, estimate_of(1))]
    figure = draw_curves({"ep-cls": points, "knn-cls": points[:1]}, "layer", "top1", title="layer")
    assert [panel.get_title() for panel in figure.axes] == ["ep", "knn"]
    (line,) = figure.axes[0].lines
    assert (list(line.get_xdata()), list(line.get_ydata())) == ([1.0, 3.0], [0.5, 1])
    assert line.get_label() == "cls"
