"""Draws cases, kind and person, and gives their pictures the traces of both.

The skin tells age (darker), sex (yellower) and site (redder from one to the next), up to the
spread between people; colour and size of the lesion tell its kind. So metadata can be learned from
the pictures, and not perfectly.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

SEXES = ("female", "male")
DARKER = 0.15  # of L* for each year above 50
YELLOWER = 6.0  # of b* of men
REDDER = 10.0  # of a* from the first site to the last
HIDDEN = 0.02  # share of values that are missing


@dataclass(frozen=True)
class Trait:
    """What a kind of lesion adds to its look: to L*, a*, b* inside, and a factor of its size."""

    light: float = 0.0
    red: float = 0.0
    yellow: float = 0.0
    size: float = 1.0


def draw_kinds(shares: Mapping[str, float], n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw kinds by their shares `(n,)`, each at least once where rows suffice, else the larger."""
    weights = np.array(list(shares.values()))
    kinds = rng.choice(list(shares), n, p=weights / weights.sum())
    first = sorted(shares, key=shares.__getitem__, reverse=True)[:n]
    kinds[: len(first)] = first
    return rng.permutation(kinds)


def draw_people(
    sites: Sequence[str], is_malignant: np.ndarray, rng: np.random.Generator
) -> pd.DataFrame:
    """Draw `age` (years, in fives, older with cancer), `sex` and `site` of each case."""
    n = len(is_malignant)
    years = rng.normal(48, 15, n) + 12 * is_malignant
    return pd.DataFrame(
        {
            "age": np.clip(5 * np.round(years / 5), 5, 85),
            "sex": rng.choice(SEXES, n),
            "site": rng.choice(list(sites), n),
        }
    )


def leave_traces(
    looks: pd.DataFrame,
    people: pd.DataFrame,
    kinds: np.ndarray,
    *,
    sites: Sequence[str],
    traits: Mapping[str, Trait],
) -> pd.DataFrame:
    """Return looks that carry the person and the kind.

    Args:
        looks: Of `draw_looks`, a row a case.
        people: Of `draw_people`.
        kinds: Of `draw_kinds`.
        sites: All of them, in the order that `people` were drawn with.
        traits: Of each kind.
    """
    place = people["site"].map({site: at for at, site in enumerate(sites)})
    shift = {
        "L": -DARKER * (people["age"] - 50),
        "a": REDDER * (place / max(1, len(sites) - 1) - 0.5),
        "b": YELLOWER * ((people["sex"] == SEXES[1]) - 0.5),
    }
    found = looks.copy()
    for name, change in shift.items():
        found[[f"{name}0", f"{name}1"]] = found[[f"{name}0", f"{name}1"]].add(change, axis=0)
    return mark_kinds(found, kinds, traits)


def mark_kinds(looks: pd.DataFrame, kinds: np.ndarray, traits: Mapping[str, Trait]) -> pd.DataFrame:
    """Return looks that carry the kind alone."""
    found = looks.copy()
    own = [traits[kind] for kind in kinds]
    found["L1"] += [trait.light for trait in own]
    found["a1"] += [trait.red for trait in own]
    found["b1"] += [trait.yellow for trait in own]
    for side in ("long_mm", "short_mm"):
        found[side] = (found[side] * [trait.size for trait in own]).clip(1, 11)
    return found


def hide(values: pd.Series, code: object, rng: np.random.Generator) -> pd.Series:
    """Put the code for "missing" in the place of some values, of one at least."""
    is_hidden = rng.random(len(values)) < HIDDEN
    is_hidden[rng.integers(len(values))] = True
    return values.mask(is_hidden, code)
