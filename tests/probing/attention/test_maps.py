"""Attention maps of a head, grouped and counted."""

import numpy as np
import pytest
import torch

from helpers.waiting import counting
from toolkit_common.features.contract import Features
from toolkit_probing.attention.maps import (
    attention_maps,
    group_maps,
    group_queries,
    peak_to_even,
)
from toolkit_probing.heads.head import Head
from toolkit_probing.heads.inputs import read_source
from toolkit_probing.probes import EfficientProbing


@pytest.mark.parametrize("source", ["patches", "all"])
def test_maps_are_on_the_grid_and_without_the_class_token(source: str):
    torch.manual_seed(0)
    pool = EfficientProbing(8, num_queries=2)
    features = Features({"cls": torch.randn(3, 8)}, torch.randn(3, 6, 8), (2, 3))
    tokens = read_source(features, source)
    maps = attention_maps(Head(pool, dim=8, num_classes=2), features, source)
    expected = pool.attention(tokens)[..., -6:].detach().numpy()
    np.testing.assert_allclose(maps.reshape(3, 2, 6), expected, rtol=1e-5)


def test_maps_of_a_gpu_come_to_the_cpu():
    """`toolkit predict --attention` asks for them where the head computes."""
    features = Features({}, torch.randn(3, 6, 8), (2, 3))
    head = Head(EfficientProbing(8, num_queries=2), dim=8, num_classes=2)
    with counting() as (waits, _):
        attention_maps(head, features, "patches")
    assert waits["cpu"] == 1


def test_queries_of_one_place_are_grouped_and_few_are_left_alone():
    rng = np.random.default_rng(0)
    places = rng.dirichlet(np.full(12, 0.1), size=(1, 8)).reshape(1, 8, 3, 4)
    maps = places[:, np.arange(24) % 8] + rng.uniform(0, 1e-4, (1, 24, 3, 4))
    groups = group_queries(maps)
    assert all(len(set(groups[np.arange(24) % 8 == place])) == 1 for place in range(8))
    assert len(set(groups)) == 8
    assert group_queries(maps[:, :5]).tolist() == [0, 1, 2, 3, 4]
    means = group_maps(maps, groups)
    np.testing.assert_allclose(means[:, groups[0]], maps[:, groups == groups[0]].mean(1))


def test_equal_maps_make_one_group():
    assert set(group_queries(np.full((2, 20, 2, 2), 0.25))) == {0}


def test_peaks_are_counted_in_even_shares():
    assert peak_to_even(np.full((2, 3, 3), 1 / 9)) == pytest.approx(1)
    assert peak_to_even(np.eye(4).reshape(4, 2, 2)) == 4
