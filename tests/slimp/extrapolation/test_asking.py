"""Each column asks the lesions that have a value; who has no neighbour near enough abstains."""

from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from toolkit_slimp.extrapolation.asking import Search, ask, measure_columns
from toolkit_slimp.extrapolation.reference import Lesions, Reference
from toolkit_slimp.extrapolation.settings import ExtrapolateSettings
from toolkit_slimp.metadata.schema import ColumnSchema

SITE = ColumnSchema("site", "lesion", "categorical", categories=("arm", "leg"))
SIZE = ColumnSchema("size", "lesion", "numeric", quantiles=(0.0, 1.0))


def at(*degrees: float, owner: int) -> Lesions:
    """Lesions in directions of the plane, each with an identity of its own."""
    turn = torch.deg2rad(torch.tensor(degrees, dtype=torch.float32))
    features = F.normalize(torch.stack([turn.cos(), turn.sin()], dim=1), dim=1)
    names = np.arange(len(degrees), dtype=np.uint64) + np.uint64(owner)
    return Lesions(features, [names[place : place + 1] for place in range(len(degrees))], names)


TRAIN = at(0, 10, 90, owner=100)
HELD_OUT = at(2, 80, owner=200)
TABLE = pd.DataFrame(
    {
        "site": [None, "arm", "leg", "arm", "leg"],
        "size": [1.0, 2.0, None, 1.0, 2.0],
        "group": list("abcde"),
    }
)
REFERENCE = Reference(TRAIN, HELD_OUT, TABLE, (SITE, SIZE), {})


def settings(**given: Any) -> ExtrapolateSettings:
    return ExtrapolateSettings(**{"neighbours": 1, **given})


def test_a_column_asks_the_nearest_that_knows_it():
    answers = ask(settings(), REFERENCE, at(1, 89, owner=1), names=["site", "size"])
    # The nearest of the first knows no site, that of the second no size.
    assert answers.numbers["site"].tolist() == [0, 1]
    assert answers.numbers["size"].tolist() == [1, 2]
    assert answers.neighbour.tolist() == [0, 2]
    assert answers.is_near.all()


def test_who_is_too_far_for_one_column_abstains_from_all():
    answers = ask(settings(threshold=0.99), REFERENCE, at(5, 89, owner=1), names=["site", "size"])
    assert answers.similarity.round(2).tolist() == [1.0, 1.0]
    assert answers.is_near.tolist() == [True, False]


def test_who_is_related_to_all_that_know_a_column_abstains():
    own = Lesions(TRAIN.features[:1], [np.array([101, 102], np.uint64)], TRAIN.names[:1])
    answers = ask(settings(), REFERENCE, own, names=["site", "size"])
    assert answers.is_near.tolist() == [False]


def test_equal_columns_share_a_search():
    search = Search(settings(), REFERENCE, HELD_OUT)
    usable = np.array([True, False, True])
    assert search.among(usable) is search.among(usable.copy())
    assert search.among(~usable) is not search.among(usable)


def test_held_out_lesions_are_told_by_training_ones():
    site, size = measure_columns(settings(), REFERENCE)
    assert (site.num_lesions, site.missed) == (2, 0.0)
    assert (size.num_lesions, size.missed) == (2, 0.0)  # 80 degrees are nearest to 10 of those
    (site, _) = measure_columns(settings(threshold=0.999), REFERENCE)
    assert site.num_lesions == 0  # 8 and 10 degrees are too far
