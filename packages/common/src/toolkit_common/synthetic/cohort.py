"""Draws patients with several lesions, and lesions with several pictures.

Age, sex and skin are the patient's, kind and site the lesion's; the pictures carry all of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from toolkit_common.synthetic.cases import Trait, draw_kinds, draw_people, leave_traces
from toolkit_common.synthetic.draw import draw_looks

TONE = (68.0, 7.0)  # mean and spread of the L* of people's skin
FEWEST = 6  # patients: splits need five groups, PAD-UFES-20 has six kinds
SKIN_TYPES = (78.0, 71.0, 64.0, 57.0, 50.0)  # L* between Fitzpatrick's types, I to VI


@dataclass(frozen=True)
class Recipe:
    """What a data set's cases are like.

    Attributes:
        shares: Kind of a lesion -> its share.
        traits: Kind -> how it looks.
        malignant: Kinds that are cancer.
        sites: Where lesions are.
        lesions: Lesions for each image.
        patients: Patients for each image.
        crowding: From 0, lesions spread evenly over patients, to 1, a few have most.
    """

    shares: Mapping[str, float]
    traits: Mapping[str, Trait]
    malignant: frozenset[str]
    sites: tuple[str, ...]
    lesions: float
    patients: float
    crowding: float


def draw_cohort(
    rows: int, recipe: Recipe, rng: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw cases, and how they look.

    Args:
        rows: Images.
        recipe: What the cases are like.
        rng: Source of the draw.

    Returns:
        A row an image: `patient`, `lesion` (numbers), `kind`, `malignant`, `cancer` (whether the
        patient has a malignant lesion), `age`, `sex`, `skin` (Fitzpatrick's type, 1 to 6), `site`;
        and the looks of `draw_looks`, row by row.
    """
    num_patients = max(FEWEST, round(recipe.patients * rows))
    num_lesions = max(num_patients, round(recipe.lesions * rows))
    kinds = draw_kinds(recipe.shares, num_lesions, rng)
    is_malignant = np.isin(kinds, list(recipe.malignant))
    weights = np.arange(1.0, num_patients + 1) ** -recipe.crowding
    more = rng.choice(num_patients, num_lesions - num_patients, p=weights / weights.sum())
    patient = np.r_[np.arange(num_patients), more]
    cancer = np.zeros(num_patients, bool)
    cancer[patient[is_malignant]] = True
    people = draw_people(recipe.sites, cancer, rng)
    tone = rng.normal(*TONE, num_patients)
    cases = pd.DataFrame(
        {
            "patient": patient,
            "lesion": np.arange(num_lesions),
            "kind": kinds,
            "malignant": is_malignant,
            "cancer": cancer[patient],
            "age": people["age"].to_numpy()[patient],
            "sex": people["sex"].to_numpy()[patient],
            "skin": 1 + np.digitize(-tone, -np.array(SKIN_TYPES))[patient],
            "site": rng.choice(recipe.sites, num_lesions),
        }
    )
    looks = draw_looks(is_malignant, rng)
    looks[["L0", "L1"]] = looks[["L0", "L1"]].add(tone[patient] - looks["L0"], axis=0)
    looks = leave_traces(looks, cases, kinds, sites=recipe.sites, traits=recipe.traits)
    again = rng.integers(0, num_lesions, rows - num_lesions)
    of_image = rng.permutation(np.r_[np.arange(num_lesions), again])
    cases, looks = (part.iloc[of_image].reset_index(drop=True) for part in (cases, looks))
    looks["angle"] = rng.integers(0, 180, rows)  # another picture is taken from another side
    return cases, looks


def empty_some(
    values: pd.Series, share: float, rng: np.random.Generator, *, of: "pd.Series[int]"
) -> pd.Series:
    """Empty the cells of a share of the patients or lesions, of one at least.

    Args:
        values: A column.
        share: Of the patients or lesions.
        rng: Source of the draw.
        of: The number of each row's patient or lesion.
    """
    drawn = rng.random(int(of.max()) + 1)
    is_empty = (drawn < share) | (drawn == drawn.min())
    return values.mask(is_empty[of.to_numpy()], "")
