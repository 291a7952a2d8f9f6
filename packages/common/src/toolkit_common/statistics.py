"""How sure a figure is: bootstrap over groups, since images of one patient are no independent rows.

Source: Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), percentile intervals; whole
clusters are drawn (Field and Welsh, 2007).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from toolkit_common.metrics import METRICS, RANKING_METRICS, Predictions
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
    runs: Sequence[Predictions], groups: np.ndarray, *, seed: int = 0
) -> dict[str, Estimate]:
    """Estimate every metric from the predictions of several seeds on the same rows.

    Args:
        runs: One a seed.
        groups: Group of each row; the row itself where there are no groups.
        seed: Of the bootstrap.
    """
    ones = np.ones((1, len(groups)))
    per_seed = {
        name: np.array([metric(run, ones)[0] for run in runs]) for name, metric in METRICS.items()
    }
    resampled = _resample(runs, groups, seed)
    return {
        name: Estimate(
            mean=_number(values.mean()),
            sd=_number(values.std(ddof=1)) if len(runs) > 1 else None,
            ci=_interval(resampled.get(name)),
            values=tuple(_number(value) for value in values),
        )
        for name, values in per_seed.items()
    }


def _resample(
    runs: Sequence[Predictions], groups: np.ndarray, seed: int
) -> dict[str, Float[np.ndarray, " r"]]:
    small = runs[0].probabilities.size <= RANKING_LIMIT
    names = [name for name in METRICS if small or name not in RANKING_METRICS]
    rng = np.random.default_rng(derive_seed(seed, "bootstrap"))
    size = min(NUM_RESAMPLES, max(1, CHUNK_ELEMENTS // len(groups)))
    parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for start in range(0, NUM_RESAMPLES, size):
        count = min(size, NUM_RESAMPLES - start)
        weights = draw_weights(groups, num_resamples=count, rng=rng)
        for name in names:
            parts[name].append(np.mean([METRICS[name](run, weights) for run in runs], axis=0))
    return {name: np.concatenate(values) for name, values in parts.items()}


def _interval(values: np.ndarray | None) -> tuple[float, float] | None:
    """Resamples in which the metric is undefined do not count, if they are few."""
    if values is None or np.isnan(values).mean() > 0.5:
        return None
    tail = (1.0 - LEVEL) / 2.0
    low, high = np.nanquantile(values, [tail, 1.0 - tail])
    return float(low), float(high)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
