"""Figures over cross-validation folds: each patient is tested once, by what one fold trained.

What counts decisions or adds up over images (top-1, balanced accuracy, F1, log-loss) is computed
from all folds' predictions together, and so is its interval. What orders images by a probability
or reads it as a level (AUROC and its kin, calibration) is the mean over folds: heads of two folds
are scaled differently, so that an order across them is of no head. Intervals of that mean draw
patients within each fold. Heads stay as they are in both: the interval is over patients, the spread
over folds shows what other training patients change.

Source: Forman and Scholz, "Apples-to-Apples in Cross-Validation Studies" (SIGKDD Explorations 12,
2010): F1 from the counts of all folds, AUC as the mean over folds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from toolkit_common.scores.metrics import METRICS, Predictions, evaluate, is_ranking
from toolkit_common.scores.statistics import (
    SHIFTED,
    UNDEFINED,
    Difference,
    Estimate,
    defined,
    estimate,
    estimate_difference,
    interval,
    is_mostly_defined,
    reason_without,
    resample,
    two_sided_p,
)
from toolkit_common.seed import derive_seed

CALIBRATION = "expected_calibration_error"

Sides = Sequence[Sequence[Predictions]]


def is_pooled(name: str) -> bool:
    """Tell whether a metric is one of all folds' predictions together, not a mean over folds."""
    return not is_ranking(name) and name != CALIBRATION


def estimate_folds(
    runs: Sequence[Predictions],
    groups: np.ndarray,
    folds: np.ndarray,
    *,
    names: Sequence[str] = tuple(METRICS),
    seed: int = 0,
) -> dict[str, Estimate]:
    """Estimate metrics of all folds: mean and sd over folds, and an interval over patients.

    Args:
        runs: All folds' predictions, one a repeat (seed, draw), on the same rows.
        groups: Group of each row `(n,)`; none is in two folds.
        folds: Fold of each row `(n,)`.
        names: Which metrics.
        seed: Of the bootstrap.
    """
    (by_fold,) = _values([runs], folds, names)
    pooled = estimate(runs, groups, names=[name for name in names if is_pooled(name)], seed=seed)
    averaged = [name for name in names if not is_pooled(name)]
    drawn = [sides[0] for sides in _draws([runs], groups, folds, names=averaged, seed=seed)]
    estimates = {}
    for name in names:
        values = np.array(by_fold[name])
        of_folds = Estimate(
            mean=defined(values.mean()),
            sd=defined(values.std(ddof=1)) if len(values) > 1 else None,
            ci=None,
            values=tuple(map(defined, values)),
        )
        if is_pooled(name):
            whole = pooled[name]
            estimates[name] = replace(
                of_folds, ci=whole.ci, resamples=whole.resamples, why_no_ci=whole.why_no_ci,
                pooled=whole.mean,
            )  # fmt: skip
            continue
        means = _mean_over_folds([part[name] for part in drawn])
        ci = interval(means, of_folds.mean)
        why = None if ci else _reason(name, values, (runs, groups, folds))
        estimates[name] = replace(of_folds, ci=ci, resamples=len(means), why_no_ci=why)
    return estimates


def estimate_fold_difference(
    sides: Sides,
    groups: np.ndarray,
    folds: np.ndarray,
    *,
    names: Sequence[str],
    seed: int = 0,
) -> dict[str, Difference]:
    """Estimate how far the second's metrics lie above the first's, over the same folds.

    Every resample draws the same groups for both. What is not said here is as in `estimate_folds`.

    Args:
        sides: Predictions of the first and of the second, on the same rows in the same order.
        groups: Group of each row.
        folds: Fold of each row.
        names: Which metrics.
        seed: Of the bootstrap.
    """
    first, second = sides
    pooled = [name for name in names if is_pooled(name)]
    known = estimate_difference(first, second, groups, names=pooled, seed=seed)
    averaged = [name for name in names if not is_pooled(name)]
    values = _values(sides, folds, averaged)
    drawn = list(_draws(sides, groups, folds, names=averaged, seed=seed))
    for name in averaged:
        one, other = (float(np.mean(side[name])) for side in values)
        means = _mean_over_folds([parts[1][name] - parts[0][name] for parts in drawn])
        ci, gaps = interval(means, other - one), np.subtract(values[1][name], values[0][name])
        known[name] = Difference(
            first=defined(one),
            second=defined(other),
            difference=defined(other - one),
            ci=ci,
            p=None if ci is None else two_sided_p(means),
            resamples=len(means),
            why_no_ci=None if ci else _reason(name, gaps, (first, groups, folds)),
        )
    return {name: known[name] for name in names}


def _parts(runs: Sequence[Predictions], folds: np.ndarray) -> Iterator[list[Predictions]]:
    for fold in np.unique(folds):
        mask = folds == fold
        yield [Predictions(run.probabilities[mask], run.targets[mask]) for run in runs]


def _values(sides: Sides, folds: np.ndarray, names: Sequence[str]) -> list[dict[str, list[float]]]:
    """Return, for each side, every metric's mean over repeats in each fold."""
    found = []
    for runs in sides:
        by_fold: dict[str, list[float]] = {name: [] for name in names}
        for part in _parts(runs, folds):
            ones = np.ones((1, len(part[0].targets)))
            singles = [evaluate(run, ones, names) for run in part]
            for name in names:
                by_fold[name].append(float(np.mean([single[name][0] for single in singles])))
        found.append(by_fold)
    return found


def _draws(
    sides: Sides, groups: np.ndarray, folds: np.ndarray, *, names: Sequence[str], seed: int
) -> Iterator[list[dict[str, Float[np.ndarray, " r"]]]]:
    """Yield every fold's resamples, of each side."""
    parts = [list(_parts(runs, folds)) for runs in sides]
    for number, fold in enumerate(np.unique(folds) if names else ()):
        own = [side[number] for side in parts]
        # A seed of its own: folds of equal size would else draw in step, and their errors add up.
        of_fold = derive_seed(seed, "fold", number)
        yield resample(own, groups[folds == fold], names, seed=of_fold)


def _mean_over_folds(drawn: Sequence[np.ndarray]) -> Float[np.ndarray, " m"]:
    """Return resamples of the mean over folds, as many as the fold with fewest has defined ones.

    Folds are drawn independently: which resample of one meets which of another means nothing, so
    that undefined ones are passed over, up to half of a fold's.
    """
    if not all(map(is_mostly_defined, drawn)):
        return np.zeros(0)
    known = [values[~np.isnan(values)] for values in drawn]
    count = min(map(len, known))
    means: np.ndarray = np.mean([values[:count] for values in known], axis=0)
    return means


def named_folds(numbers: Sequence[int]) -> str:
    """Return `fold 2` or `folds 0, 3`."""
    return f"fold{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"


def _reason(
    name: str, values: np.ndarray, rows: tuple[Sequence[Predictions], np.ndarray, np.ndarray]
) -> str:
    """Return why a mean over folds has no interval, and by which folds."""
    runs, groups, folds = rows
    numbers = np.unique(folds).tolist()
    undefined = [number for number, value in zip(numbers, values, strict=True) if np.isnan(value)]
    if undefined:
        return f"{UNDEFINED} in {named_folds(undefined)}"
    reasons: dict[str, list[int]] = {}
    for number, part, value in zip(numbers, _parts(runs, folds), values, strict=True):
        (drawn,) = resample([part], groups[folds == number], [name], seed=0)
        if not is_mostly_defined(drawn[name]):
            own = groups[folds == number]
            why = reason_without(name, float(value), own, runs=part, drawn=drawn[name])
            reasons.setdefault(why, []).append(number)
    listed = "; ".join(f"{why} ({named_folds(numbers)})" for why, numbers in reasons.items())
    return listed or SHIFTED
