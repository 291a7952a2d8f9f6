"""What stands in a leaderboard: encoders with a figure by each method, measured or published."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from toolkit_common.errors import InputError
from toolkit_common.ids import split_options
from toolkit_common.registry import did_you_mean
from toolkit_common.seen.check import SeenStatus
from toolkit_probing.leaderboard.facts import (
    architecture_of,
    called,
    family_of,
    pretraining_of,
)
from toolkit_probing.published.rows import METHODS, Published
from toolkit_probing.results.names import BETWEEN
from toolkit_probing.results.rows import Row
from toolkit_probing.results.saved import SavedRun

Origin = Literal["here", "published"]


@dataclass
class Judged:
    """An encoder's rows of one board: one a method, of one run or of several."""

    runs: list[SavedRun]
    rows: dict[str, Row]


@dataclass(frozen=True)
class Figure:
    """A method's figure.

    Attributes:
        value: In [0, 1] where the metric is; None if undefined.
        interval: 95 % interval, None without one.
        parameters: That were trained.
        selected: How it was selected.
        seen: Whether the encoder has seen whom it is judged on.
    """

    value: float | None
    interval: tuple[float, float] | None
    parameters: int
    selected: str
    seen: SeenStatus = ""


@dataclass(frozen=True)
class Standing:
    """An encoder with its figures.

    Attributes:
        encoder: What it is called; no other of its board is called so.
        family: Kind of its pre-training.
        pretraining: Its weights, or what it was trained on.
        architecture: Its architecture.
        origin: Whether its figures were measured here.
        figures: Method -> figure.
        runs: The runs that they are from.
        is_random: Whether it is an untrained encoder.
        stochastic: What of the frozen encoder stayed random while published heads trained.
        judged: The rows that figures are of, with their runs; None of published ones.
    """

    encoder: str
    family: str
    pretraining: str
    architecture: str
    origin: Origin
    figures: Mapping[str, Figure]
    runs: Sequence[Path] = ()
    is_random: bool = False
    stochastic: str = ""
    judged: Judged | None = None


def figure_of(row: Row, metric: str) -> Figure:
    """Return a row's figure by a metric.

    Raises:
        InputError: If results have no such metric.
    """
    if metric not in row.metrics:
        hint = did_you_mean(metric, row.metrics)
        raise InputError(f"results hold no metric {metric!r}{hint}")
    estimate = row.metrics[metric]
    # Of folds the mean is over folds, and the interval of what counts images over all of them.
    value = estimate.mean if estimate.pooled is None else estimate.pooled
    return Figure(value, estimate.ci, row.num_parameters, row.selected, row.seen)


def measured(
    judged: Sequence[Judged], metric: str, *, known: Mapping[str, str]
) -> Iterator[Standing]:
    """Yield what was measured here, under names that tell encoders apart.

    Args:
        judged: Encoders with their rows.
        metric: Which figure.
        known: Id of an encoder without options -> what it was trained on.
    """
    names = [item.runs[0].name or called(item.runs[0].results.backbone) for item in judged]
    for item, name in zip(judged, names, strict=True):
        backbone = item.runs[0].results.backbone
        alone = names.count(name) == 1
        yield Standing(
            encoder=name if alone else f"{name}{BETWEEN}{item.runs[0].path.name}",
            family=family_of(backbone),
            # Of folds with an encoder each the name says so.
            pretraining=backbone.name
            if item.runs[0].joined and backbone.name
            else (pretraining_of(backbone, known)),
            architecture=architecture_of(backbone),
            origin="here",
            figures={method: figure_of(row, metric) for method, row in item.rows.items()},
            runs=[run.path for run in item.runs],
            is_random=backbone.random_weights,
            judged=item,
        )


def from_published(published: Published) -> Iterator[Standing]:
    """Yield what others have published: top-1 accuracies, without intervals."""
    for row in published.rows.values():
        yield Standing(
            encoder=row.title,
            family=row.family,
            pretraining=row.pretraining,
            architecture=row.architecture,
            origin="published",
            figures={
                method: Figure(
                    row.top1(method) / 100, None, row.parameters(method), "selected on test"
                )
                for method in METHODS
            },
            stochastic=row.stochastic,
        )


def known_pretraining(published: Sequence[Published]) -> dict[str, str]:
    """Return what encoders were trained on, by their id without options."""
    return {
        split_options(row.backbone)[0]: row.pretraining
        for item in published
        for row in item.rows.values()
        if row.backbone is not None and not row.needs_weights
    }
