"""Figures as tables show them: with their interval in one cell, the best of a kind in bold."""

from collections.abc import Callable, Hashable, Iterator, Sequence

from toolkit_common.scores.metrics import LOWER_IS_BETTER
from toolkit_common.scores.statistics import UNDEFINED, Estimate

NO_INTERVAL = "no interval"
PAIR = "[{:{form}}, {:{form}}]"  # of an interval


def best_rows(
    values: Sequence[float | None], kinds: Sequence[Hashable], metric: str
) -> Iterator[int]:
    """Yield the best row of each kind that has several, and what is shown as equal to it."""
    shown = [None if value is None else round(value, 3) for value in values]
    best: Callable[[list[float]], float] = min if metric in LOWER_IS_BETTER else max
    for kind in dict.fromkeys(kinds):
        known = [
            (value, row)
            for row, value in enumerate(shown)
            if kinds[row] == kind and value is not None
        ]
        if len(known) > 1:
            top = best([value for value, _ in known])
            yield from (row for value, row in known if value == top)


def show_estimate(metric: Estimate) -> str:
    """Show a metric, its sd over repeats or folds, and the interval of it or of all folds together.

    Undefined is a word, never 0.
    """
    if metric.mean is None and metric.pooled is None:
        return UNDEFINED
    text = UNDEFINED if metric.mean is None else f"{metric.mean:.3f}"
    if metric.sd is not None:
        text += f" \u00b1 {metric.sd:.3f}"
    if metric.pooled is not None:
        text += f"\npooled {metric.pooled:.3f}"
    if metric.ci:
        of = metric.mean if metric.pooled is None else metric.pooled
        return f"{text} {show_interval(of, *metric.ci)}"
    return f"{text} {NO_INTERVAL}" if metric.why_no_ci else text


def show_interval(mean: float | None, low: float, high: float) -> str:
    """Show an interval in two digits, in three where a figure of three would not lie in it."""
    shown = PAIR.format(low, high, form=".2f")
    is_within = mean is None or round(low, 2) <= round(mean, 3) <= round(high, 2)
    return shown if is_within else PAIR.format(low, high, form=".3f")
