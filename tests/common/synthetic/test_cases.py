"""Pictures of drawn cases carry who the person is and what kind the lesion is."""

import numpy as np
import pandas as pd
import pytest

from toolkit_common.synthetic.cases import Trait, draw_kinds, draw_people, hide, leave_traces
from toolkit_common.synthetic.draw import draw_image, draw_looks, draw_mask

SITES = ("back", "face", "hand")
TRAITS = {"nevus": Trait(), "vascular": Trait(red=20, size=0.5)}


@pytest.fixture(scope="module")
def cases() -> pd.DataFrame:
    """Kinds, people, and the mean colours of skin and lesion in their pictures."""
    rng = np.random.default_rng(0)
    kinds = draw_kinds({"nevus": 0.8, "vascular": 0.2}, 80, rng)
    people = draw_people(SITES, np.zeros(80, bool), rng)
    looks = draw_looks(np.zeros(80, bool), rng)
    looks = leave_traces(looks, people, kinds, sites=SITES, traits=TRAITS)
    rows = []
    for _, look in looks.iterrows():
        pixels = np.asarray(draw_image(look, 32, rng), float)
        mask = draw_mask(look, 32)
        skin, lesion = pixels[mask < 0.1].mean(0), pixels[mask > 0.9].mean(0)
        rows.append([*skin, lesion[0] / lesion.sum(), mask.sum()])
    seen = pd.DataFrame(rows, columns=["red", "green", "blue", "redness", "area"])
    return pd.concat([people.assign(kind=kinds), seen], axis=1)


def test_skin_tells_age_sex_and_site(cases: pd.DataFrame) -> None:
    sums = cases[["red", "green", "blue"]].sum(axis=1)
    assert np.corrcoef(cases["age"], sums)[0, 1] < -0.2
    yellow = (cases["green"] - cases["blue"]).groupby(cases["sex"]).mean()
    assert yellow["male"] > yellow["female"] + 5
    red = (cases["red"] - cases["green"]).groupby(cases["site"]).mean()
    assert red["back"] < red["face"] < red["hand"]


def test_colour_and_size_tell_the_kind(cases: pd.DataFrame) -> None:
    means = cases.groupby("kind")[["redness", "area"]].mean()
    assert means["redness"]["vascular"] > means["redness"]["nevus"] + 0.03
    assert means["area"]["vascular"] < means["area"]["nevus"] / 2


@pytest.mark.parametrize("rows", [1, 2, 3, 50])
def test_every_kind_is_drawn_where_there_are_rows_enough(rows: int) -> None:
    kinds = draw_kinds({"a": 0.01, "b": 0.97, "c": 0.02}, rows, np.random.default_rng(rows))
    assert len(kinds) == rows
    assert set(kinds) == set("bca"[:rows])  # the larger ones first


def test_one_value_at_least_is_hidden() -> None:
    hidden = hide(pd.Series(["x"] * 5), "unknown", np.random.default_rng(0))
    assert 1 <= (hidden == "unknown").sum() < 5
