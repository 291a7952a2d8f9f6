"""Chance levels beside values: what a loss or a recall is where embeddings say nothing.

A value `NAME` has its chance level as `NAME_chance`, in metrics.jsonl, results.json and trackers;
both directions of a recall share one, as a row has as many matches either way.

Shapes: m rows.
"""

from collections.abc import Mapping

from jaxtyping import Bool, Float
from torch import Tensor

SUFFIX = "_chance"


def chance_of_recall(positives: Bool[Tensor, "m m"], k: int) -> float:
    """Return the mean over rows of the chance that k of m rows at random hold a match."""
    return float(chances_of_recall(positives, k).mean())


def chances_of_recall(positives: Bool[Tensor, "m m"], k: int) -> Float[Tensor, " m"]:
    """Return each row's chance that k of m rows at random hold a match of it.

    With p matches that is 1 - C(m - p, k) / C(m, k): ties count as hits, so whoever has many
    twins finds one easily.

    Args:
        positives: Which pairs match; every row has one match at least.
        k: How many of the nearest are looked at.
    """
    count = len(positives)
    others = count - positives.sum(dim=1).double()
    missed = others.new_ones(count)
    for drawn in range(min(k, count)):
        missed = missed * ((others - drawn) / (count - drawn)).clamp(min=0.0)
    return 1.0 - missed


def show(values: Mapping[str, float]) -> str:
    """Return `name value (chance level)` of each value, for humans."""
    return ", ".join(
        f"{name} {beside_chance(name, values)}" for name in values if not name.endswith(SUFFIX)
    )


def beside_chance(name: str, values: Mapping[str, float]) -> str:
    """Return a value as text, its chance level behind it where it has one."""
    chance = values.get(name.replace("reverse_", "") + SUFFIX)
    return f"{values[name]:.3f}" + ("" if chance is None else f" (chance {chance:.3f})")
