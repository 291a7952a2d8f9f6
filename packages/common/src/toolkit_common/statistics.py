"""How sure a figure is: bootstrap over groups, since images of one patient are no independent rows.

Source: Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), percentile intervals; whole
clusters are drawn (Field and Welsh, 2007).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from toolkit_common.metrics import METRICS, RANKING_METRICS, Predictions, find_metric
from toolkit_common.seed import derive_seed

NUM_RESAMPLES = 1000
LEVEL = 0.95
CHUNK_ELEMENTS = 1 << 23  # weights held at once
RANKING_LIMIT = 1 << 20  # n * c above which ranking metrics get no interval: they are sorts


@dataclass(frozen=True)
class Estimate:
    """A metric over one or more seeds.

    Attributes:
        mean: Mean over the seeds, None if undefined.
        sd: Standard deviation over the seeds, None for one seed.
        ci: 95 % interval of the mean under resampling of test groups, None if not computed.
        values: The value of each seed.
    """

    mean: float | None
    sd: float | None
    ci: tuple[float, float] | None
    values: tuple[float | None, ...]


@dataclass(frozen=True)
class Difference:
    """A metric of two sides on the same rows.

    Attributes:
        first: Mean over the first's seeds, None if undefined.
        second: The second's.
        difference: `second - first`.
        ci: 95 % interval of the difference under resampling of test groups, None if not computed.
        p: Two-sided bootstrap p-value of no difference, at least 2 / 1001; None as `ci`.
    """

    first: float | None
    second: float | None
    difference: float | None
    ci: tuple[float, float] | None
    p: float | None


def draw_weights(
    groups: np.ndarray, *, num_resamples: int, rng: np.random.Generator
) -> Float[np.ndarray, "r n"]:
    """Return how often each row is drawn when whole groups are drawn with replacement.

    Args:
        groups: Group of each row `(n,)`.
        num_resamples: Number of resamples r.
        rng: Source of the draws.
    """
    _, index = np.unique(groups, return_inverse=True)
    num_groups = int(index.max()) + 1
    chances = np.full(num_groups, 1.0 / num_groups)
    return rng.multinomial(num_groups, chances, size=num_resamples)[:, index].astype(float)


def estimate(
    runs: Sequence[Predictions],
    groups: np.ndarray,
    *,
    names: Sequence[str] = tuple(METRICS),
    seed: int = 0,
) -> dict[str, Estimate]:
    """Estimate metrics from the predictions of several seeds on the same rows.

    Args:
        runs: One a seed.
        groups: Group of each row; the row itself where there are no groups.
        names: Which metrics (`toolkit_common.metrics.find_metric`).
        seed: Of the bootstrap.
    """
    ones = np.ones((1, len(groups)))
    per_seed = {name: np.array([find_metric(name)(run, ones)[0] for run in runs]) for name in names}
    (resampled,) = _resample([runs], groups, names, seed)
    return {
        name: Estimate(
            mean=_number(values.mean()),
            sd=_number(values.std(ddof=1)) if len(runs) > 1 else None,
            ci=_interval(resampled.get(name)),
            values=tuple(_number(value) for value in values),
        )
        for name, values in per_seed.items()
    }


def estimate_difference(
    first: Sequence[Predictions],
    second: Sequence[Predictions],
    groups: np.ndarray,
    *,
    names: Sequence[str],
    seed: int = 0,
) -> dict[str, Difference]:
    """Estimate how far the second's metrics lie above the first's, on the same rows.

    Every resample draws the same groups for both, so that what is hard for both cancels out.

    Args:
        first: Predictions of one side, one a seed.
        second: Of the other, on the same rows in the same order.
        groups: Group of each row; the row itself where there are no groups.
        names: Which metrics.
        seed: Of the bootstrap.
    """
    ones = np.ones((1, len(groups)))
    sides = _resample([first, second], groups, names, seed)
    found = {}
    for name in names:
        one, other = (
            float(np.mean([find_metric(name)(run, ones)[0] for run in runs]))
            for runs in (first, second)
        )
        drawn = sides[1][name] - sides[0][name] if name in sides[0] else None
        ci = _interval(drawn)
        found[name] = Difference(
            first=_number(one),
            second=_number(other),
            difference=_number(other - one),
            ci=ci,
            p=None if drawn is None or ci is None else _two_sided_p(drawn),
        )
    return found


def adjust_holm(values: Sequence[float | None]) -> list[float | None]:
    """Adjust p-values for being one of many (Holm 1979); None stays None and does not count."""
    known = sorted((value, at) for at, value in enumerate(values) if value is not None)
    adjusted: list[float | None] = [None] * len(values)
    highest = 0.0
    for rank, (value, at) in enumerate(known):
        highest = max(highest, min(1.0, (len(known) - rank) * value))
        adjusted[at] = highest
    return adjusted


def _resample(
    sides: Sequence[Sequence[Predictions]], groups: np.ndarray, names: Sequence[str], seed: int
) -> list[dict[str, Float[np.ndarray, " r"]]]:
    """Return, for each side, every metric's mean over its runs in each of the same resamples.

    There is none where all rows are of one group: drawing it again tells nothing of another.
    """
    if np.unique(groups).size < 2:
        return [{} for _ in sides]
    small = sides[0][0].probabilities.size <= RANKING_LIMIT
    names = [name for name in names if small or not _sorts(name)]
    rng = np.random.default_rng(derive_seed(seed, "bootstrap"))
    size = min(NUM_RESAMPLES, max(1, CHUNK_ELEMENTS // len(groups)))
    parts: list[dict[str, list[np.ndarray]]] = [{name: [] for name in names} for _ in sides]
    for start in range(0, NUM_RESAMPLES, size):
        count = min(size, NUM_RESAMPLES - start)
        weights = draw_weights(groups, num_resamples=count, rng=rng)
        for runs, kept in zip(sides, parts, strict=True):
            for name in names:
                metric = find_metric(name)
                kept[name].append(np.mean([metric(run, weights) for run in runs], axis=0))
    return [{name: np.concatenate(values) for name, values in kept.items()} for kept in parts]


def _sorts(name: str) -> bool:
    return name in RANKING_METRICS or name.startswith("sensitivity_at_")


def _two_sided_p(drawn: np.ndarray) -> float:
    """Return twice the share of resamples on the rarer side of 0, the sample itself counted in."""
    known = drawn[~np.isnan(drawn)]
    rarer = min((known <= 0).sum(), (known >= 0).sum())
    return float(min(1.0, 2.0 * (rarer + 1) / (len(known) + 1)))


def _interval(values: np.ndarray | None) -> tuple[float, float] | None:
    """Resamples in which the metric is undefined do not count, if they are few."""
    if values is None or np.isnan(values).mean() > 0.5:
        return None
    tail = (1.0 - LEVEL) / 2.0
    low, high = np.nanquantile(values, [tail, 1.0 - tail])
    return float(low), float(high)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
