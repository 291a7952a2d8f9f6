"""Drawn patients keep what is theirs, and pictures carry it."""

import numpy as np
import pandas as pd
import pytest

from toolkit_common.synthetic.cases import Trait
from toolkit_common.synthetic.cohort import Recipe, draw_cohort, empty_some
from toolkit_common.synthetic.draw import draw_image, draw_mask

RECIPE = Recipe(
    shares={"nevus": 3, "melanoma": 1},
    traits={"nevus": Trait(), "melanoma": Trait(light=-6)},
    malignant=frozenset(("melanoma",)),
    sites=("back", "face"),
    lesions=0.8,
    patients=0.5,
    crowding=1.0,
)


@pytest.fixture(scope="module")
def cohort() -> tuple[pd.DataFrame, pd.DataFrame]:
    return draw_cohort(200, RECIPE, np.random.default_rng(0))


def test_patients_and_lesions_keep_what_is_theirs(
    cohort: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    cases, looks = cohort
    assert len(cases) == len(looks) == 200
    assert (cases["lesion"].nunique(), cases["patient"].nunique()) == (160, 100)
    of_patient = cases.groupby("patient")[["age", "sex", "skin", "cancer"]].nunique()
    of_lesion = cases.groupby("lesion")[["patient", "kind", "malignant", "site"]].nunique()
    assert (of_patient == 1).all(axis=None)
    assert (of_lesion == 1).all(axis=None)
    assert (cases.groupby("patient")["malignant"].any() == cases.groupby("patient")["cancer"].any()
            ).all()  # fmt: skip
    assert cases.groupby("patient")["lesion"].nunique().max() > 5  # a few have many
    assert looks["malignant"].tolist() == cases["malignant"].tolist()


def test_pictures_of_a_patient_tell_the_skin_type(
    cohort: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    cases, looks = cohort
    rng = np.random.default_rng(1)
    light = []
    for _, look in looks.iterrows():
        grey = np.asarray(draw_image(look, 24, rng).convert("L"), float)
        light.append(grey[draw_mask(look, 24) < 0.1].mean())
    assert set(cases["skin"]) <= set(range(1, 7))
    assert np.corrcoef(light, cases["skin"])[0, 1] < -0.7


@pytest.mark.parametrize("rows", [10, 11, 30])
@pytest.mark.parametrize("shares", [(1.0, 1.0), (0.3, 0.2), (0.1, 0.1)])
def test_few_rows_suffice(rows: int, shares: tuple[float, float]) -> None:
    recipe = Recipe(**{**vars(RECIPE), "lesions": shares[0], "patients": shares[1]})
    cases, looks = draw_cohort(rows, recipe, np.random.default_rng(rows))
    assert len(cases) == len(looks) == rows


def test_cells_are_emptied_by_patient_and_one_at_least() -> None:
    patients = pd.Series([0, 0, 1, 2, 2])
    values = pd.Series(list("aabcc"))
    for seed in range(5):
        emptied = empty_some(values, 0.0, np.random.default_rng(seed), of=patients)
        assert emptied.groupby(patients).nunique().max() == 1
        assert emptied[emptied == ""].groupby(patients).size().size == 1
