"""Tokens in memory are a source of features."""

import numpy as np
import pytest
import torch

from toolkit_common.errors import InputError
from toolkit_common.features.contract import FeatureSource
from toolkit_probing.token_table import LAYER, TokenTable, as_tokens


@pytest.mark.parametrize("has_patches", [True, False])
def test_batches_are_those_of_the_rows_that_are_requested(has_patches: bool):
    tokens = as_tokens(np.random.default_rng(0).normal(size=(6, 4, 3)))
    table = TokenTable(tokens, (2, 2), has_patches=has_patches)
    assert isinstance(table, FeatureSource)
    assert len(table) == 6
    rows = np.array([5, 0, 3])
    (features,) = table.iterate([rows])
    kept = features[LAYER]
    assert kept.grid == (2, 2)
    if has_patches:
        assert kept.patches is not None
        torch.testing.assert_close(kept.patches, tokens[rows])
    else:
        torch.testing.assert_close(kept.vectors["mean"], tokens[rows].mean(1))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((2, 0, 3)), r"tokens\.shape=\(2, 0, 3\)"),
        (np.ones((2, 2, 3), bool), r"tokens\.shape=\(2, 2, 3\), torch.bool"),
        (torch.tensor([[[1.0]], [[float("inf")]]]), "NaN or infinity, first in row 1"),
    ],
)
def test_what_are_no_tokens_is_named(values, message: str):
    with pytest.raises(InputError, match=message):
        as_tokens(values)
