"""Neighbours across modalities: shown from best to worst, with whose metadata they are."""

from dataclasses import replace

import numpy as np
import torch

from helpers.watched_rows import build_watched
from toolkit_slimp.metadata.schema import ColumnSchema, Schema
from toolkit_slimp.reports.neighbours import search_pictures, spread_by_rank

SCHEMA = Schema(
    (
        ColumnSchema("size", "lesion", "numeric", quantiles=(0.0, 1.0)),
        ColumnSchema("site", "lesion", "categorical", categories=("arm", "leg")),
        ColumnSchema("age", "patient", "numeric", quantiles=(0.0, 1.0)),
    )
)


def test_the_best_and_the_worst_are_shown_and_those_evenly_between():
    ranks = np.array([9, 0, 5, 7, 3, 8, 1, 6, 2, 4, 10])
    assert ranks[spread_by_rank(ranks)].tolist() == [0, 2, 4, 6, 8, 10]
    assert spread_by_rank(np.array([1, 0])) == [1, 0]


def test_each_image_has_its_rank_and_what_it_finds_says_whose_it_is():
    watched = build_watched(patients=2, each=2, patient=None)
    images = torch.eye(4)
    # Image 0 finds its own, then its patient's; image 3 finds another patient's first.
    lesions = torch.tensor([[1.0, 0, 0, 0], [0.9, 1, 0, 1.5], [0, 0, 1, 0], [0.1, 0, 0, 0.2]])
    watched = replace(watched, tensors={**watched.tensors, "images": images, "lesions": lesions})
    searches, count = search_pictures(watched, SCHEMA, None)
    assert count == 4
    shown = {search.query.note: [item.note for item in search.found] for search in searches}
    assert shown["its own metadata rank 2 of 4"][0] == "another patient's"
    (first, *_) = searches
    assert [item.note for item in first.found][:2] == ["its own", "same patient's, other values"]
    assert [item.is_match for item in first.found] == [True, False, False]
    assert first.query.metadata == [("size", "0"), ("site", "arm")]
    assert first.query.picture == ""  # the data set is not there


def test_identical_metadata_are_a_match_and_a_missing_value_is_a_hyphen():
    watched = build_watched(patients=4, each=1, patient=None)
    rows = watched.rows.assign(metadata_code=[0, 0, 1, 2])
    lesions = watched.tensors["images"][[1, 0, 2, 3]]
    watched = replace(watched, rows=rows, tensors={**watched.tensors, "lesions": lesions})
    searches, _ = search_pictures(watched, SCHEMA, None)
    notes = [search.found[0].note for search in searches]
    assert notes.count("identical to its own") == 2
    assert notes.count("its own") == 2
    assert all(search.found[0].is_match for search in searches)
    hyphens = [search.query.metadata for search in searches if search.query.metadata[0][1] == "2"]
    assert hyphens == [[("size", "2"), ("site", "-")]]


def test_where_no_image_is_embedded_there_is_nobody_to_show():
    assert search_pictures(build_watched(lesion=None), SCHEMA, None) == ([], 0)
