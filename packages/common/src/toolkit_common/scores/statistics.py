"""How sure a figure is: bootstrap over groups, since images of one patient are no independent rows.

Source: Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), percentile intervals; whole
clusters are drawn (Field and Welsh, 2007).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from toolkit_common.scores.metrics import METRICS, Predictions, evaluate, is_ranking
from toolkit_common.seed import derive_seed

NUM_RESAMPLES = 1000
LEVEL = 0.95
CHUNK_ELEMENTS = 1 << 23  # weights held at once
# Ranking metrics sum over all rows, in every resample once a class. A minute or two a run at most:
# beyond RANKING_LIMIT / 5 elements they get fewer resamples, beyond RANKING_LIMIT none.
RANKING_LIMIT = 1 << 26  # n * c; ImageNet's validation split has 5e7
FEWEST_RESAMPLES = 200
ROUNDING = 1e-9  # a figure without spread is in its interval, however its sum was rounded

UNDEFINED = "undefined"
ONE_GROUP = "not computed: all images are of one group"
TOO_LARGE = f"not computed: more than {RANKING_LIMIT:,} images x classes"
MOSTLY_UNDEFINED = "undefined in more than half of the resamples"
SHIFTED = "not computed: too few groups, resampling moves the figure out of its interval"


@dataclass(frozen=True)
class Estimate:
    """A metric over one or more seeds.

    Attributes:
        mean: Mean over the seeds, None if undefined.
        sd: Standard deviation over the seeds, None for one seed.
        ci: 95 % interval of the mean under resampling of test groups, None without one.
        values: The value of each seed.
        resamples: How many the interval is from.
        why_no_ci: Why there is no interval: undefined, or not computed for some reason.
        pooled: Of folds (`toolkit_common.scores.folds`), the figure of all their predictions
            together, which the interval is then of; None where it is of the mean.
    """

    mean: float | None
    sd: float | None
    ci: tuple[float, float] | None
    values: tuple[float | None, ...]
    resamples: int = NUM_RESAMPLES
    why_no_ci: str | None = None
    pooled: float | None = None


@dataclass(frozen=True)
class Difference:
    """A metric of two sides on the same rows.

    Attributes:
        first: Mean over the first's seeds, None if undefined.
        second: The second's.
        difference: `second - first`.
        ci: 95 % interval of the difference under resampling of test groups, None without one.
        p: Two-sided bootstrap p-value of no difference, at least 2 / (resamples + 1); None as `ci`.
        resamples: How many both are from.
        why_no_ci: Why there is neither: undefined, or not computed for some reason.
    """

    first: float | None
    second: float | None
    difference: float | None
    ci: tuple[float, float] | None
    p: float | None
    resamples: int = NUM_RESAMPLES
    why_no_ci: str | None = None


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
    # Drawing G of G groups with replacement, counted, is one multinomial draw of G.
    chances = np.full(num_groups, 1.0 / num_groups)
    counts = rng.multinomial(num_groups, chances, size=num_resamples)
    return counts.T.astype(float)[index].T  # a row's weights side by side, as sorting metrics read


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
        names: Which metrics (`toolkit_common.scores.metrics.find_metric`).
        seed: Of the bootstrap.
    """
    ones = np.ones((1, len(groups)))
    singles = [evaluate(run, ones, names) for run in runs]
    (resampled,) = resample([runs], groups, names, seed=seed)
    estimates = {}
    for name in names:
        values = np.array([single[name][0] for single in singles])
        mean, drawn = defined(values.mean()), resampled[name]
        ci = interval(drawn, mean)
        estimates[name] = Estimate(
            mean=mean,
            # Seeds are a sample of all seeds.
            sd=defined(values.std(ddof=1)) if len(runs) > 1 else None,
            ci=ci,
            values=tuple(defined(value) for value in values),
            resamples=len(drawn),
            why_no_ci=None if ci else reason_without(name, mean, groups, runs=runs, drawn=drawn),
        )
    return estimates


def estimate_mean(values: np.ndarray, groups: np.ndarray, *, seed: int = 0) -> Estimate:
    """Estimate the mean of a value of each row, with an interval over groups.

    Args:
        values: One a row `(n,)`; rows that have none, NaN, are left out.
        groups: Group of each row; the row itself where there are no groups.
        seed: Of the bootstrap.
    """
    known = np.isfinite(values)
    if not known.any():
        return Estimate(None, None, None, (None,), resamples=0, why_no_ci=UNDEFINED)
    values, groups = values[known], groups[known]
    drawn = resample_mean(values, groups, seed=seed)
    mean = float(values.mean())
    ci = interval(drawn, mean)
    why = None if ci else SHIFTED if len(drawn) else ONE_GROUP
    return Estimate(mean, None, ci, (mean,), resamples=len(drawn), why_no_ci=why)


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
    singles = [[evaluate(run, ones, names) for run in runs] for runs in (first, second)]
    sides = resample([first, second], groups, names, seed=seed)
    differences = {}
    for name in names:
        one, other = (float(np.mean([values[name][0] for values in side])) for side in singles)
        # Resample by resample, not from two intervals: the same groups are drawn for both.
        drawn = sides[1][name] - sides[0][name]
        differences[name] = _difference(name, (one, other), drawn, groups=groups, runs=first)
    return differences


def all_differences(
    sides: Sequence[Sequence[Predictions]], groups: np.ndarray, *, name: str, seed: int = 0
) -> list[list[Difference]]:
    """Estimate how far every side lies above every other by one metric, as `estimate_difference`.

    Args:
        sides: Predictions of each, one a seed, on the same rows in the same order.
        groups: Group of each row; the row itself where there are no groups.
        name: Which metric.
        seed: Of the bootstrap.

    Returns:
        `[i][j]`: of side i from side j.
    """
    ones = np.ones((1, len(groups)))
    means = [float(np.mean([evaluate(p, ones, [name])[name][0] for p in side])) for side in sides]
    drawn = [side[name] for side in resample(sides, groups, [name], seed=seed)]
    return [
        [
            _difference(name, (means[j], means[i]), drawn[i] - drawn[j], groups=groups, runs=side)
            for j in range(len(sides))
        ]
        for i, side in enumerate(sides)
    ]


def adjust_holm(values: Sequence[float | None]) -> list[float | None]:
    """Adjust p-values for being one of many (Holm 1979); None stays None and does not count."""
    known = sorted((value, at) for at, value in enumerate(values) if value is not None)
    adjusted: list[float | None] = [None] * len(values)
    highest = 0.0
    for rank, (value, at) in enumerate(known):
        # Holm steps down: a larger p never ends up below a smaller one, hence the running maximum.
        highest = max(highest, min(1.0, (len(known) - rank) * value))
        adjusted[at] = highest
    return adjusted


def _difference(
    name: str,
    means: tuple[float, float],
    drawn: np.ndarray,
    *,
    groups: np.ndarray,
    runs: Sequence[Predictions],
) -> Difference:
    first, second = means
    difference = defined(second - first)
    ci = interval(drawn, difference)
    return Difference(
        first=defined(first),
        second=defined(second),
        difference=difference,
        ci=ci,
        p=None if ci is None else two_sided_p(drawn),
        resamples=len(drawn),
        why_no_ci=(
            None if ci else reason_without(name, difference, groups, runs=runs, drawn=drawn)
        ),
    )


def resample(
    sides: Sequence[Sequence[Predictions]], groups: np.ndarray, names: Sequence[str], *, seed: int
) -> list[dict[str, Float[np.ndarray, " r"]]]:
    """Return, for each side, every metric's mean over its runs in each of the same resamples.

    There is none where all rows are of one group: drawing it again tells nothing of another.
    """
    parts: list[dict[str, list[np.ndarray]]] = [{name: [] for name in names} for _ in sides]
    ranking = [name for name in names if is_ranking(name)]
    others = [name for name in names if not is_ranking(name)]
    most = _ranking_resamples(sides[0])
    for start, weights in chunks_of_weights(groups, seed):
        # The first of the same resamples: of fewer, both sides still see the same draws.
        for those, wanted in ((others, weights), (ranking, weights[: max(0, most - start)])):
            if not those or not len(wanted):
                continue
            for runs, kept in zip(sides, parts, strict=True):
                values = [evaluate(run, wanted, those) for run in runs]
                for name in those:
                    # The figure is the mean over seeds, in each resample too.
                    kept[name].append(np.mean([item[name] for item in values], axis=0))
    # [] in front, as a metric may have no resample, which concatenate refuses.
    return [
        {name: np.concatenate([[], *values]) for name, values in kept.items()} for kept in parts
    ]


def resample_mean(
    values: Float[np.ndarray, " n"], groups: np.ndarray, *, seed: int = 0
) -> Float[np.ndarray, " r"]:
    """Return the mean of a value of each row in each resample; none where all are of one group."""
    parts = (
        weights @ values / weights.sum(axis=1) for _, weights in chunks_of_weights(groups, seed)
    )
    return np.concatenate([[], *parts])


def chunks_of_weights(groups: np.ndarray, seed: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the number of the first resample, and weights, so many at once as memory holds."""
    if np.unique(groups).size < 2:
        return
    # By name, not by what is judged: compared runs of equal groups meet equal resamples.
    rng = np.random.default_rng(derive_seed(seed, "bootstrap"))
    # Cut or not, one stream gives the same draws: figures do not depend on the size of a chunk.
    size = min(NUM_RESAMPLES, max(1, CHUNK_ELEMENTS // len(groups)))
    for start in range(0, NUM_RESAMPLES, size):
        count = min(size, NUM_RESAMPLES - start)
        yield start, draw_weights(groups, num_resamples=count, rng=rng)


def _ranking_resamples(runs: Sequence[Predictions]) -> int:
    size = runs[0].probabilities.size
    if size > RANKING_LIMIT:
        return 0
    return min(NUM_RESAMPLES, RANKING_LIMIT * FEWEST_RESAMPLES // size)


def reason_without(
    name: str,
    value: float | None,
    groups: np.ndarray,
    *,
    runs: Sequence[Predictions],
    drawn: np.ndarray,
) -> str:
    """Return why a figure has no interval."""
    if value is None:
        return UNDEFINED
    if np.unique(groups).size < 2:
        return ONE_GROUP
    if is_ranking(name) and not _ranking_resamples(runs):
        return TOO_LARGE
    return SHIFTED if is_mostly_defined(drawn) else MOSTLY_UNDEFINED


def two_sided_p(drawn: np.ndarray) -> float:
    """Return twice the share of resamples on the rarer side of 0, the sample itself counted in."""
    known = drawn[~np.isnan(drawn)]
    # Ties with 0 are on both sides: equal predictions are no evidence, p = 1.
    rarer = min((known <= 0).sum(), (known >= 0).sum())
    return float(min(1.0, 2.0 * (rarer + 1) / (len(known) + 1)))


def interval(values: np.ndarray, figure: float | None) -> tuple[float, float] | None:
    """Return the interval over the resamples that define the metric; None if most do not.

    A class of a single patient is missing from 37 % of them, and would have no interval otherwise.
    None too where it does not hold the figure: of few groups, drawn twice, a metric that is no mean
    (AUROC, calibration) is another one than that of the sample, and quantiles bound that one.
    """
    if figure is None or not is_mostly_defined(values):
        return None
    tail = (1.0 - LEVEL) / 2.0
    low, high = np.nanquantile(values, [tail, 1.0 - tail])
    holds = low - ROUNDING <= figure <= high + ROUNDING
    return (float(low), float(high)) if holds else None


def is_mostly_defined(values: np.ndarray) -> bool:
    """Tell whether at least half of the resamples define the metric."""
    return len(values) > 0 and bool(np.isnan(values).mean() <= 0.5)


def defined(value: float) -> float | None:
    """Return a figure, None for NaN."""
    return None if np.isnan(value) else float(value)
