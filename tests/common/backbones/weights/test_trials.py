"""The prefix behind which the encoder lies is found by trying."""

import pytest
import torch
from torch import nn

from toolkit_common.backbones.weights.trials import fitting_of, try_prefixes, under
from toolkit_common.errors import InputError


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def behind(*prefixes: str) -> dict[str, torch.Tensor]:
    state = small().state_dict()
    return {f"{prefix}{name}": value for prefix in prefixes for name, value in state.items()}


@pytest.mark.parametrize(
    "prefix", ["", "module.", "anything.at.all.", "student.backbone.", "a-b_c.3."]
)
def test_any_prefix_is_found(prefix: str) -> None:
    trial = try_prefixes(small(), behind(prefix), None)[0]
    assert (trial.prefix, trial.missing) == (prefix, ())


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("teacher.backbone.", "student.backbone."),
        ("module.base_encoder.", "module.momentum_encoder."),
        ("encoder_q.", "encoder_k."),
        ("online_network.", "target_network."),
        ("backbone.", "momentum_backbone."),
        ("encoder_imaging.", "encoder_imaging_momentum."),
    ],
)
def test_of_two_copies_that_of_the_authors_comes_first(first: str, second: str) -> None:
    for state in (behind(first, second), behind(second, first)):
        assert [trial.prefix for trial in try_prefixes(small(), state, None)][:2] == [first, second]


def test_a_prefix_that_is_requested_comes_first_whatever_fits() -> None:
    state = behind("a.") | {"b.0.weight": torch.zeros(3, 2)}
    trial, other = try_prefixes(small(), state, "b")
    assert (trial.prefix, len(trial.fitting), other.prefix) == ("b.", 1, "a.")
    assert trial.missing == ("0.bias", "1.bias", "1.running_mean", "1.running_var", "1.weight")


def test_a_prefix_that_no_name_has_is_refused_with_those_there_are() -> None:
    with pytest.raises(InputError, match=r"begins with 'x.' .&prefix=.; names begin with: a, b$"):
        try_prefixes(small(), behind("a.", "b."), "x")


def test_only_the_same_shape_fits() -> None:
    state = {"a": torch.zeros(2), "b": torch.zeros(3), "c": torch.zeros(1)}
    assert list(fitting_of(state, {"a": torch.ones(2), "b": torch.ones(2)})) == ["a"]
    assert list(under("x.", {"x.a": torch.zeros(1), "y.a": torch.zeros(1)})) == ["a"]
