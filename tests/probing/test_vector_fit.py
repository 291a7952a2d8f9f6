"""k-NN and logistic regression learn from some rows, and keep the setting that others pick."""

import numpy as np
import pytest
import torch

from toolkit_common.errors import InputError
from toolkit_probing.methods import METHODS
from toolkit_probing.settings import ProbeSettings
from toolkit_probing.token_table import TokenTable
from toolkit_probing.training.compute import OneDevice
from toolkit_probing.training.examples import Examples
from toolkit_probing.vector_fit import VectorFit, fit_vectors

VALUES = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0], [1.0, 0.05], [0.05, 1.0]])
TARGETS = np.array([0, 0, 1, 1, 0, 1])


def fit(method: str, *, select: list[int], **options) -> VectorFit:
    table = TokenTable(VALUES.unsqueeze(1), (1, 1), has_patches=False)
    examples = Examples(table, TARGETS, np.arange(4), np.array(select, int))
    return fit_vectors(
        METHODS[method],
        options,
        examples,
        values=VALUES,
        num_classes=2,
        settings=ProbeSettings(c=(1e-4, 1.0)),
        compute=OneDevice("cpu"),
    )


def test_the_setting_that_the_other_rows_pick_answers_alone() -> None:
    fitted = fit("knn", select=[4, 5], k=[1, 4], temperature="plain")
    assert (dict(fitted.picked), fitted.score) == ({"k": 1, "temperature": "plain"}, 1.0)
    np.testing.assert_array_equal(fitted.probabilities(VALUES[4:]), [[1, 0], [0, 1]])


def test_a_c_that_is_not_given_is_that_of_the_settings() -> None:
    assert dict(fit("logreg", select=[4, 5]).picked) == {"C": 1.0}
    assert dict(fit("logreg", select=[4, 5], c=0.5).picked) == {"C": 0.5}


def test_without_rows_that_pick_there_is_one_setting() -> None:
    fitted = fit("knn", select=[], k=1)
    assert (dict(fitted.picked), fitted.score) == ({"k": 1, "temperature": 0.07}, None)
    with pytest.raises(InputError, match=r"there is one setting, got 2: \(0.0001,\), \(1.0,\)"):
        fit("logreg", select=[])
