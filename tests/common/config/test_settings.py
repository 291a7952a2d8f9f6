"""Settings are strict, and a field keeps what was declared of it."""

from pathlib import Path
from typing import Any

import pytest

from helpers.example_settings import Example, Transform, file_of
from toolkit_common.config import (
    Settings,
    field_extra,
    option,
    parse_assignment,
    read_yaml,
    resolve,
)
from toolkit_common.errors import InputError


@pytest.mark.parametrize("text", ["nan", "inf", ".nan", "-.inf"])
def test_a_setting_is_a_finite_number(text: str) -> None:
    with pytest.raises(InputError, match=r"^lr: .*got .*\(from --set\)"):
        resolve(Example, [parse_assignment(f"lr={text}")])


@pytest.mark.parametrize("text", ["", ",", "[]"])
@pytest.mark.parametrize("key", ["lrs", "queries", "method"])
def test_a_list_of_none_is_refused(key: str, text: str) -> None:
    with pytest.raises(InputError, match=rf"^{key}: .*at least 1 item"):
        resolve(Example, [parse_assignment(f"{key}={text}")])


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Example().lr = 3.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("lr: 1e-3", {"lr": 0.001}),
        ("lrs: 1e-3", {"lrs": (0.001,)}),
        ("lrs: [1e-3, 2]", {"lrs": (0.001, 2.0)}),
        ("lrs: 1e-3,2e-3", {"lrs": (0.001, 0.002)}),
        ("queries: 8", {"queries": (8,)}),
        ("method: ep, knn,", {"method": ("ep", "knn")}),
        ("transform: {flip: yes}", {"transform": Transform(flip=True)}),
        ("\ufefflr: 2", {"lr": 2.0}),
        ("", {}),
        ("# only a comment\n", {}),
    ],
)
def test_yaml_values_become_what_the_field_says(
    tmp_path: Path, text: str, values: dict[str, Any]
) -> None:
    layer = read_yaml(file_of(tmp_path, text))
    assert resolve(Example, [layer]).settings == Example(**values)


def test_a_field_keeps_what_option_declared() -> None:
    fields = Example.model_fields
    expected = {"panel": "Probe", "flag": "-m", "affects_result": True, "holds_groups": False}
    assert field_extra(fields["method"]) == expected
    assert field_extra(fields["folder"])["affects_result"] is False
    assert field_extra(fields["transform"]) == expected | {"panel": "Options", "flag": None}


def test_defaults_are_checked_like_given_values() -> None:
    class Wrong(Settings):
        epochs: int = option(0, "Epochs.", ge=1)

    with pytest.raises(InputError, match=r"epochs: .*greater than or equal to 1, got 0"):
        resolve(Wrong)
