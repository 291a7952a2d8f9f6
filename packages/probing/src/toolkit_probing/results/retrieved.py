"""How well a frozen encoder's images find training images of their own label, as a row holds it.

Search and scores are `toolkit_common.scores.retrieval`; k-NN measures them, whose search it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console

from toolkit_common.console import Column, print_columns
from toolkit_common.printable import counted
from toolkit_common.scores.retrieval import AVERAGE, estimate_by_label, mean_by_label
from toolkit_common.scores.statistics import Estimate
from toolkit_probing.results.layout import show_estimate

MEAN = "mean_average_precision"
NOT_POOLED = "not computed over the patients of several folds"
MOST_LABELS = 6  # columns of their own in a terminal; results.json has all

Values = Mapping[str, np.ndarray]  # name -> a value a query (t,), NaN where undefined or not drawn


@dataclass(frozen=True, kw_only=True)
class Retrieval:
    """Retrieval of training images by test images.

    Attributes:
        num_queries: Test images that searched.
        metrics: `precision_at_K` and `mean_average_precision`, means over labels.
        average_precision: Label -> mean over its queries; None where it has none.
    """

    num_queries: int
    metrics: Mapping[str, Estimate]
    average_precision: Mapping[str, float | None]


def summarise(
    repeats: Sequence[Values], targets: np.ndarray, groups: np.ndarray, *, classes: Sequence[Any]
) -> Retrieval | None:
    """Return what a row holds of the values of each repeat; None where nothing was searched."""
    if not repeats:
        return None
    metrics = {
        MEAN if name == AVERAGE else name: estimate_by_label(
            [values[name] for values in repeats], targets, groups
        )
        for name in repeats[0]
    }
    averages = [mean_by_label(values[AVERAGE], targets) for values in repeats]
    return Retrieval(
        num_queries=int((~np.isnan(repeats[0][AVERAGE])).sum()),
        metrics=metrics,
        average_precision={
            str(name): _mean([each.get(code) for each in averages])
            for code, name in enumerate(classes)
        },
    )


def join_folds(folds: Sequence[Retrieval | None]) -> Retrieval | None:
    """Return the means over folds, without intervals."""
    known = [item for item in folds if item is not None]
    if len(known) < len(folds):
        return None
    return Retrieval(
        num_queries=sum(item.num_queries for item in known),
        metrics={
            name: _over_folds([item.metrics[name].mean for item in known])
            for name in known[0].metrics
        },
        average_precision={
            label: _mean([item.average_precision[label] for item in known])
            for label in known[0].average_precision
        },
    )


def print_retrieval(out: Console, named: Mapping[str, Retrieval]) -> None:
    """Print a table of what rows have found, by their names; nothing without any."""
    if not named:
        return
    first = next(iter(named.values()))
    labels = list(first.average_precision)
    out.print(
        "\nretrieval: test images search training images by cosine, "
        f"{counted(first.num_queries, 'query', 'queries')}; "
        f"means over labels, of which chance has {1 / len(labels):.2f}",
        soft_wrap=True,
    )
    columns = [
        Column(heading_of(name), [show_estimate(item.metrics[name]) for item in named.values()])
        for name in first.metrics
    ]
    if len(labels) <= MOST_LABELS:
        columns += [
            Column(f"mAP {label}", [_shown(item.average_precision[label])
                                    for item in named.values()])
            for label in labels
        ]  # fmt: skip
    print_columns(out, [Column("method", list(named))], columns)


def heading_of(name: str) -> str:
    """Return what a metric of retrieval is called in tables."""
    return "mAP" if name == MEAN else name.replace("_at_", "@")


def _shown(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def _over_folds(means: Sequence[float | None]) -> Estimate:
    known = [value for value in means if value is not None]
    is_whole = len(known) == len(means)
    return Estimate(
        mean=float(np.mean(known)) if is_whole else None,
        sd=float(np.std(known, ddof=1)) if is_whole and len(known) > 1 else None,
        ci=None,
        values=tuple(means),
        resamples=0,
        why_no_ci=NOT_POOLED,
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None
