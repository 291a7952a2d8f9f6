"""Draws the patients, lesions and looks that every synthetic data set is made of.

Age, sex and skin are the patient's, kind and site the lesion's, and the pictures carry all of them:
skin is darker with age, yellower of men, redder from one site to the next, and the lesion's colour
and size tell its kind. So metadata can be learned from the pictures, and not perfectly.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

Owner = Literal["image", "lesion", "patient"]

FEWEST = 6  # patients: splits need five groups, PAD-UFES-20 has six kinds
TONE = (68.0, 7.0)  # mean and spread of the L* of people's skin
SKIN_TYPES = (78.0, 71.0, 64.0, 57.0, 50.0)  # L* between Fitzpatrick's types, I to VI
DARKER = 0.15  # of L* for each year above 50
YELLOWER = 6.0  # of b* of men
REDDER = 10.0  # of a* from the first site to the last
LOOKS = ["long_mm", "short_mm", "angle", "asymmetry", "border", "L0", "a0", "b0", "L1", "a1", "b1"]


@dataclass(frozen=True)
class Order:
    """How many images of a data set to write, from which seed, in which of its layouts.

    Where the data set is large, rows share `pool` distinct pictures.
    """

    rows: int
    seed: int
    layout: str = ""
    pool: int = 2000


@dataclass(frozen=True)
class Kind:
    """A diagnosis: its share beside the others, whether it is cancer, and how it looks.

    `light`, `red` and `yellow` are added to L*, a* and b* inside the lesion; `size` is a factor.
    """

    share: float = 1.0
    malignant: bool = False
    light: float = 0.0
    red: float = 0.0
    yellow: float = 0.0
    size: float = 1.0


@dataclass(frozen=True)
class Recipe:
    """What a data set's cases are like.

    Attributes:
        kinds: Name of a diagnosis -> what it is like.
        sites: Where lesions are.
        lesions: Lesions for each image.
        patients: Patients for each image.
        crowding: From 0, lesions spread evenly over patients, to 1, a few have most.
    """

    kinds: Mapping[str, Kind]
    sites: tuple[str, ...]
    lesions: float = 1.0
    patients: float = 1.0
    crowding: float = 0.0


@dataclass(frozen=True)
class Cohort:
    """Drawn cases, and what else a table tells of them.

    Attributes:
        cases: A row an image: the numbers `image`, `lesion` and `patient`; `kind`, `malignant`,
            `cancer` (whether the patient has a malignant lesion), `age` (years), `sex`, `skin`
            (Fitzpatrick's type, 1 to 6), `site`; and `LOOKS`: diameters, `angle` (degrees),
            `asymmetry` and `border` (0 to 1), colours of skin (`L0`) and lesion (`L1`).
        rng: Source of all further draws.
    """

    cases: pd.DataFrame
    rng: np.random.Generator

    def happens(self, chance: Any, *, of: Owner = "image") -> "pd.Series[bool]":
        """Draw whether something is true of each row; all rows of an owner say the same."""
        return self._draws(of) < chance

    def choose(
        self, words: Sequence[str] | Mapping[str, float], *, of: Owner = "image"
    ) -> "pd.Series[str]":
        """Draw a word for each row, by shares where `words` has them."""
        shares = [*words.values()] if isinstance(words, Mapping) else [1.0] * len(words)
        ends = np.cumsum(shares)[:-1] / sum(shares)
        return pd.Series(np.array(list(words), object)[np.digitize(self._draws(of), ends)])

    def blank(
        self, values: pd.Series, share: float, *, of: Owner = "image", word: object = ""
    ) -> pd.Series:
        """Put the word for "missing" in the place of a share of the owners, of one at least."""
        # The one with the smallest draw too, so that small data sets have an empty cell as well.
        draws = self._draws(of)
        return values.mask((draws < share) | (draws == draws.min()), word)

    def name(self, prefix: str, *, of: Owner) -> "pd.Series[str]":
        """Give every owner an id: the prefix and seven digits."""
        count = self.cases[of].max() + 1
        # Ids are never shared.
        numbers = 1_000_000 + self.rng.choice(9_000_000, count, replace=False)
        return prefix + pd.Series(numbers[self.cases[of]]).astype(str)

    def _draws(self, of: Owner) -> "pd.Series[float]":
        return pd.Series(self.rng.random(self.cases[of].max() + 1)[self.cases[of]])


def draw_cohort(order: Order, recipe: Recipe) -> Cohort:
    """Draw patients, their lesions, and images of these, each from another side."""
    rng = np.random.default_rng(order.seed)
    num_patients = min(order.rows, max(FEWEST, round(recipe.patients * order.rows)))
    num_lesions = max(num_patients, round(recipe.lesions * order.rows))
    # By rank to a power: a few patients have most of the lesions.
    weights = np.arange(1.0, num_patients + 1) ** -recipe.crowding
    more = rng.choice(num_patients, num_lesions - num_patients, p=weights / weights.sum())
    kinds = draw_kinds(recipe.kinds, num_lesions, rng)
    lesions = pd.DataFrame(
        {
            "lesion": np.arange(num_lesions),
            # Everyone has one lesion; those that remain go by weight.
            "patient": np.r_[np.arange(num_patients), more],
            "kind": kinds,
            "malignant": [recipe.kinds[kind].malignant for kind in kinds],
            "site": rng.choice(recipe.sites, num_lesions),
        }
    )
    people = _draw_people(lesions.groupby("patient")["malignant"].any().to_numpy(), rng)
    cases = lesions.join(people, on="patient")
    cases = cases.join(_draw_looks(cases, recipe, rng))
    again = rng.integers(0, num_lesions, order.rows - num_lesions)
    # Every lesion has one image; in no order that a reader could come to rely on.
    of_image = rng.permutation(np.r_[np.arange(num_lesions), again])
    cases = cases.iloc[of_image].reset_index(drop=True)
    cases["image"] = np.arange(order.rows)
    # An image of a lesion that has several is taken from another side.
    cases["angle"] = rng.integers(0, 180, order.rows)
    return Cohort(cases, rng)


def draw_kinds(kinds: Mapping[str, Kind], n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw kinds by their shares `(n,)`, each at least once where rows suffice, else the larger."""
    weights = np.array([kind.share for kind in kinds.values()], float)
    drawn = rng.choice(list(kinds), n, p=weights / weights.sum())
    first = sorted(kinds, key=lambda name: -kinds[name].share)[:n]
    # Each kind once: a share of a thousandth would be missing from small data sets.
    drawn[: len(first)] = first
    return rng.permutation(drawn)


def _draw_people(cancer: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    """Ages are in fives, higher with cancer."""
    n = len(cancer)
    tone = rng.normal(*TONE, n)
    years = rng.normal(48, 18, n) + 12 * cancer
    return pd.DataFrame(
        {
            "cancer": cancer,
            "age": np.clip(5 * np.round(years / 5), 5, 85),
            "sex": rng.choice(["female", "male"], n),
            "tone": tone,
            # Types darken as numbers rise, and `digitize` wants edges that rise.
            "skin": 1 + np.digitize(-tone, -np.array(SKIN_TYPES)),
        }
    )


def _draw_looks(cases: pd.DataFrame, recipe: Recipe, rng: np.random.Generator) -> pd.DataFrame:
    """Lesions are darker, bluer, larger and less even when malignant; the classes overlap."""
    n, bad = len(cases), cases["malignant"].to_numpy(float)
    traits = pd.DataFrame.from_dict(
        {name: vars(kind) for name, kind in recipe.kinds.items()}, orient="index"
    ).loc[cases["kind"]].reset_index(drop=True)  # fmt: skip
    places = cases["site"].map({site: at for at, site in enumerate(recipe.sites)})
    place = places / max(1, len(recipe.sites) - 1) - 0.5
    long_mm = np.clip(rng.gamma(8, 0.45, n) + 1.5 * bad, 1.0, 10.0)
    light = cases["tone"] - DARKER * (cases["age"] - 50)
    red = rng.normal(13, 2, n) + REDDER * place
    yellow = rng.normal(23, 3, n) + YELLOWER * ((cases["sex"] == "male") - 0.5)
    contrast = np.clip(rng.normal(11, 4, n) + 6 * bad, 2, 35)
    return pd.DataFrame(
        {
            "long_mm": np.clip(long_mm * traits["size"], 1, 11),
            "short_mm": np.clip(long_mm * rng.uniform(0.55, 0.98, n) * traits["size"], 1, 11),
            "asymmetry": np.clip(rng.beta(2, 5, n) + 0.15 * bad, 0, 1),
            "border": np.clip(rng.beta(2, 6, n) + 0.15 * bad, 0, 1),
            "L0": light,
            "a0": red,
            "b0": yellow,
            "L1": np.clip(light - contrast + traits["light"], 15, 95),
            "a1": red + rng.normal(3, 1, n) + traits["red"],
            "b1": yellow - rng.normal(2, 2, n) - 2.5 * bad + traits["yellow"],
        }
    )
