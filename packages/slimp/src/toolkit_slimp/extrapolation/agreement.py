"""How often the nearest lesions tell the truth, on held-out patients of the reference.

Of each column: what they miss (the share that is not equal, or the mean absolute error), beside two
controls that look at no image. `random`: as many lesions at random, with the same weights, the mean
over `NUM_DRAWS` draws. `constant`: what all training lesions say together, which is the most
frequent word or the median. Both fall to nothing of the image as neighbours become many, so that
a column has lift only where the image tells of it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from rich.table import Table

from toolkit_common.printable import counted
from toolkit_common.scores.statistics import LEVEL, NUM_RESAMPLES, draw_weights
from toolkit_common.seed import derive_seed
from toolkit_slimp.extrapolation.neighbours import Nearest
from toolkit_slimp.extrapolation.values import Values

NUM_DRAWS = 50
WIDE = 100  # characters that all columns of the table need
FEWEST_PATIENTS = 20  # held-out ones: intervals of 12 leave 0 by chance twice as often as they say
Gain = tuple[float, tuple[float, float] | None]  # and its 95 % interval


@dataclass(frozen=True)
class Agreement:
    """One column on held-out lesions whose value is known.

    Attributes:
        column: Its name.
        level: Of the schema.
        kind: Of the schema.
        unit: Of a number.
        num_lesions: Held-out lesions with a value and a neighbour.
        num_patients: Of how many patients.
        missed: By the nearest lesions: of words the share that is not equal, in [0, 1], of numbers
            the mean absolute error in their unit. NaN without a lesion, as below.
        random: By random ones.
        constant: By the most frequent word or the median of the training lesions.
        over_random: How much less the nearest miss than random ones.
        over_constant: How much less they miss than the constant.
    """

    column: str
    level: str
    kind: str
    unit: str
    num_lesions: int
    num_patients: int
    missed: float
    random: float
    constant: float
    over_random: Gain
    over_constant: Gain

    @property
    def has_lift(self) -> bool:
        """Whether the image tells of it: better than random beyond chance, and than a constant."""
        interval = self.over_random[1]
        if interval is None or self.num_patients < FEWEST_PATIENTS:
            return False
        return interval[0] > 0.0 and self.over_constant[0] > 0.0

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON; what is not defined is null."""
        values = {**asdict(self), "has_lift": self.has_lift}
        for name in ("missed", "random", "constant"):
            values[name] = None if np.isnan(values[name]) else values[name]
        for name in ("over_random", "over_constant"):
            mean, interval = values[name]
            values[name] = None if np.isnan(mean) else {"mean": mean, "ci": interval}
        return values


def measure(
    values: Values,
    near: Nearest,
    truth: Float[np.ndarray, " n"],
    *,
    weights: Float[np.ndarray, "n k"],
    groups: np.ndarray,
) -> Agreement:
    """Return how well held-out lesions are told by their neighbours.

    Args:
        values: Of the training lesions.
        near: Neighbours of each held-out lesion.
        truth: The held-out lesions' own numbers; NaN where not known.
        weights: Of the neighbours.
        groups: Patient of each held-out lesion.
    """
    rows = np.flatnonzero(~np.isnan(truth) & near.is_found)
    known, own = truth[rows], values.numbers[values.is_known]
    told = values.blend(values.numbers[near.places[rows]], weights[rows])
    # All alike: what infinitely many neighbours would say.
    everybody = np.full((1, len(own)), 1.0 / max(1, len(own)))
    constant = values.blend(own[None], everybody)[0] if len(own) else np.nan
    misses = {
        "missed": values.misses(told, known),
        "random": _random_misses(values, known, weights[rows]),
        "constant": values.misses(np.full(len(rows), constant), known),
    }
    means = {name: float(item.mean()) if len(item) else np.nan for name, item in misses.items()}
    column = values.column
    return Agreement(
        column=column.name,
        level=column.level,
        kind=column.kind,
        unit=column.unit,
        num_lesions=len(rows),
        num_patients=len(np.unique(groups[rows])),
        over_random=_gain(misses["random"] - misses["missed"], groups[rows]),
        over_constant=_gain(misses["constant"] - misses["missed"], groups[rows]),
        **means,
    )


def _random_misses(values: Values, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return what random lesions miss of each, the mean over draws."""
    own = values.numbers[values.is_known]
    rng = np.random.default_rng(derive_seed(0, "random neighbours", values.name))
    misses = [
        values.misses(values.blend(rng.choice(own, weights.shape), weights), truth)
        for _ in range(NUM_DRAWS if len(own) else 0)
    ]
    return np.mean(misses, axis=0) if misses else np.zeros(0)


def _gain(gains: np.ndarray, groups: np.ndarray) -> Gain:
    """Return the mean and its 95 % interval, whole patients drawn again; none of one patient."""
    if not len(gains):
        return np.nan, None
    mean = float(gains.mean())
    if len(np.unique(groups)) < 2:
        return mean, None
    rng = np.random.default_rng(derive_seed(0, "agreement"))
    drawn = draw_weights(groups, num_resamples=NUM_RESAMPLES, rng=rng)
    means = drawn @ gains / drawn.sum(axis=1)
    tail = (1.0 - LEVEL) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return mean, (float(low), float(high))


def agreement_table(agreements: Sequence[Agreement], *, width: int) -> Table:
    """Return what the nearest lesions miss, beside what looks at no image, for humans.

    Below `WIDE` characters the controls themselves are left out: the gains over them tell both.
    """
    is_wide = width >= WIDE
    table = Table(
        title="what is missed of held-out patients, by the nearest lesions and by controls that "
        "look at no image; 95 % intervals by bootstrap over patients",
        title_justify="left",
    )
    table.add_column("column", overflow="fold")
    figures = ["nearest", *(("random", "constant") if is_wide else ())]
    for heading in (*figures, "gain over\nrandom", "gain over\nconstant"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("in the\nfile")
    for item in agreements:
        unit = item.unit or "units"
        of = f"error, {unit}" if item.kind in ("numeric", "angle") else "share not equal"
        sizes = f"{counted(item.num_lesions, 'lesion')} of {item.num_patients}"
        shown = (item.missed, item.random, item.constant)
        table.add_row(
            f"{item.column} ({item.level})\n{of}\n{sizes}",
            *(f"{value:.3g}" for value in shown[: len(figures)]),
            *(_format(gain) for gain in (item.over_random, item.over_constant)),
            "yes" if item.has_lift else "no",
        )
    return table


def _format(gain: Gain) -> str:
    mean, interval = gain
    if interval is None:
        return "no interval"
    return f"{mean:+.2g}\n{interval[0]:.2g} to {interval[1]:.2g}"
