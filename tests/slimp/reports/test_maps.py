"""Maps of held-out images: what they suggest is measured, and nobody is named."""

import re

import numpy as np
import pytest
import torch

from helpers.watched_rows import build_watched
from toolkit_slimp.metadata.schema import ColumnSchema, Schema
from toolkit_slimp.reports.maps import (
    agreement,
    drawn_embeddings,
    maps,
    project,
    site_column,
)

SCHEMA = Schema(
    (
        ColumnSchema("itch", "lesion", "boolean", categories=("false", "true")),
        ColumnSchema("site", "lesion", "categorical", categories=("arm", "leg")),
        ColumnSchema("size", "lesion", "numeric", quantiles=(0.0, 1.0)),
    )
)


def test_agreement_is_that_of_a_search_by_hand():
    draws = np.random.default_rng(0)
    points = torch.from_numpy(draws.normal(size=(30, 4)))
    words = np.array([("a", "b", None)[at] for at in draws.integers(0, 3, 30)], object)
    groups = draws.integers(0, 9, 30)
    hits, chances = [], []
    unit = (points / points.norm(dim=1, keepdim=True)).float()
    for row in range(30):
        others = [
            other for other in range(30)
            if words[other] is not None and groups[other] != groups[row]
        ]  # fmt: skip
        alike = [words[other] == words[row] for other in others]
        if words[row] is None or not any(alike):
            continue
        nearest = max(others, key=lambda other: float(unit[row] @ unit[other]))
        hits.append(words[nearest] == words[row])
        chances.append(np.mean(alike))
    found = agreement(points.float(), words, groups=groups)
    assert (found.share, found.chance) == pytest.approx((np.mean(hits), np.mean(chances)))
    assert found.count == len(hits)


def test_nobody_with_a_match_has_no_agreement():
    points = torch.eye(3)
    assert agreement(points, np.array(["a", "b", "c"], object), groups=None) is None
    assert agreement(points, np.array(["a", None, None], object), groups=None) is None
    # The one other image of that label is the same patient's.
    words, groups = np.array(["a", "a", "b"], object), np.array([0, 0, 1])
    assert agreement(points, words, groups=groups) is None


def test_places_are_the_same_each_time_and_of_equal_embeddings_finite():
    points = torch.randn(20, 5, generator=torch.Generator().manual_seed(0))
    places, share = project(points)
    assert np.array_equal(places, project(points)[0])
    assert places.shape == (20, 2)
    assert 0.4 < share < 1.0
    places, share = project(torch.ones(4, 3))
    assert np.allclose(places, 0.0)
    assert share == 0.0


def test_the_site_is_found_by_its_name_or_is_the_first_column_of_words():
    assert site_column(SCHEMA) == "site"
    assert site_column(Schema(SCHEMA.columns[:1])) == "itch"
    assert site_column(Schema(SCHEMA.columns[2:])) is None


def test_what_is_drawn_is_what_the_losses_compare_else_features():
    assert drawn_embeddings(build_watched())[1] == "Embeddings that the loss compares"
    watched = build_watched(lesion=None, patient=None)
    assert drawn_embeddings(watched)[0] is watched.tensors["views"]
    assert drawn_embeddings(build_watched(lesion=None))[1] == "Features of the image encoder"


@pytest.mark.slow
def test_a_map_by_label_site_and_patient_names_no_patient():
    by_label, by_site, by_patient = map(str, maps(build_watched(patients=12), SCHEMA))
    assert "By label: diagnosis" in by_label
    assert re.search(r"same value in 0\.\d\d of 48 cases \(0\.\d\d by chance\)", by_label)
    assert "missing" in by_site
    assert "patient 1 (4 images)" in by_patient
    assert "others" in by_patient
    assert not any("secret" in text for text in (by_label, by_site, by_patient))
    assert list(maps(build_watched(patients=1, each=2), SCHEMA)) == []
