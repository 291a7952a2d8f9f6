"""Drawn patients keep what is theirs, and pictures carry it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from toolkit_common.synthetic.cohort import Cohort, Kind, Order, Recipe, draw_cohort, draw_kinds
from toolkit_common.synthetic.pictures import draw_image, draw_mask

RECIPE = Recipe(
    kinds={
        "nevus": Kind(3),
        "vascular": Kind(1, red=20, size=0.5),
        "melanoma": Kind(1, malignant=True, light=-6),
    },
    sites=("back", "face", "hand"),
    lesions=0.8,
    patients=0.5,
    crowding=1.0,
)


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return draw_cohort(Order(200, seed=0), RECIPE)


@pytest.fixture(scope="module")
def seen(cohort: Cohort) -> pd.DataFrame:
    """The cases, and the mean colours of skin and lesion in their pictures."""
    rng = np.random.default_rng(1)
    rows = []
    for _, look in cohort.cases.iterrows():
        pixels = np.asarray(draw_image(look, 32, rng), float)
        mask = draw_mask(look, 32)
        skin, lesion = pixels[mask < 0.1].mean(0), pixels[mask > 0.9].mean(0)
        rows.append([*skin, lesion[0] / lesion.sum(), mask.sum()])
    colours = pd.DataFrame(rows, columns=["red", "green", "blue", "redness", "area"])
    return pd.concat([cohort.cases, colours], axis=1)


def test_patients_and_lesions_keep_what_is_theirs(cohort: Cohort) -> None:
    cases = cohort.cases
    assert len(cases) == 200
    assert (cases["lesion"].nunique(), cases["patient"].nunique()) == (160, 100)
    of_patient = cases.groupby("patient")[["age", "sex", "skin", "cancer"]].nunique()
    of_lesion = cases.groupby("lesion")[["patient", "kind", "malignant", "site"]].nunique()
    assert (of_patient == 1).all(axis=None)
    assert (of_lesion == 1).all(axis=None)
    assert (cases["malignant"] == (cases["kind"] == "melanoma")).all()
    has_cancer = cases.groupby("patient")["malignant"].any()
    assert (has_cancer <= cases.groupby("patient")["cancer"].any()).all()
    assert cases.groupby("patient")["lesion"].nunique().max() > 5  # a few have many


@pytest.mark.slow
def test_skin_predicts_age_sex_site_and_type(seen: pd.DataFrame) -> None:
    sums = seen[["red", "green", "blue"]].sum(axis=1)
    assert np.corrcoef(seen["skin"], sums)[0, 1] < -0.7
    of_type = seen[["age"]].assign(sums=sums).groupby(seen["skin"])
    alike = of_type.transform(lambda values: values - values.mean())
    assert np.corrcoef(alike["age"], alike["sums"])[0, 1] < -0.2
    yellow = (seen["green"] - seen["blue"]).groupby(seen["sex"]).mean()
    assert yellow["male"] > yellow["female"] + 5
    red = (seen["red"] - seen["green"]).groupby(seen["site"]).mean()
    assert red["back"] < red["face"] < red["hand"]
    assert set(seen["skin"]) <= set(range(1, 7))


def test_colour_and_size_predict_the_kind(seen: pd.DataFrame) -> None:
    means = seen.groupby("kind")[["redness", "area"]].mean()
    assert means["redness"]["vascular"] > means["redness"]["nevus"] + 0.03
    assert means["area"]["vascular"] < means["area"]["nevus"] / 2


@pytest.mark.parametrize("rows", [1, 2, 3, 50])
def test_every_kind_is_drawn_where_there_are_rows_enough(rows: int) -> None:
    kinds = {"a": Kind(0.01), "b": Kind(0.97), "c": Kind(0.02)}
    drawn = draw_kinds(kinds, rows, np.random.default_rng(rows))
    assert len(drawn) == rows
    assert set(drawn) == set("bca"[:rows])  # the larger ones first


@pytest.mark.parametrize("rows", [2, 10, 11, 30])
@pytest.mark.parametrize("shares", [(1.0, 1.0), (0.3, 0.2), (0.1, 0.1)])
def test_few_rows_suffice(rows: int, shares: tuple[float, float]) -> None:
    recipe = replace(RECIPE, lesions=shares[0], patients=shares[1])
    assert len(draw_cohort(Order(rows, seed=rows), recipe).cases) == rows


def test_cells_are_emptied_by_patient_and_one_at_least(cohort: Cohort) -> None:
    patients = cohort.cases["patient"]
    names = cohort.name("IP_", of="patient")
    assert names.str.fullmatch(r"IP_\d{7}").all()
    assert names.nunique() == patients.nunique()
    for _ in range(5):
        emptied = cohort.blank(names, 0.0, of="patient", word="unknown")
        assert patients[emptied == "unknown"].nunique() == 1
        assert emptied.groupby(patients).nunique().max() == 1


def test_words_are_drawn_by_their_shares_and_alike_for_an_owner(cohort: Cohort) -> None:
    words = cohort.choose({"often": 9, "never": 0, "seldom": 1}, of="patient")
    assert words.groupby(cohort.cases["patient"]).nunique().max() == 1
    assert set(words) == {"often", "seldom"}
    assert (words == "often").mean() > 0.7
    assert set(cohort.choose(("a", "b", "c"))) == set("abc")
    assert not cohort.happens(0.0).any()
    assert cohort.happens(1.0).all()
