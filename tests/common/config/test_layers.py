"""A file and an assignment are layers, or one line says why not."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from helpers.example_settings import Example, file_of
from helpers.mutations import mutated_bytes, reads_or_refuses
from helpers.properties import few_examples
from toolkit_common.config import (
    Layer,
    parse_assignment,
    read_yaml,
    resolve,
)
from toolkit_common.errors import InputError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr: [1", "settings.yaml, line 1: expected"),
        ("a: b: c", "settings.yaml, line 1: mapping values are not allowed"),
        (
            "lr: !!python/object/apply:os.getcwd []",
            "settings.yaml, line 1: tags are not read: .*python/obj",
        ),
        ("lr: *x", "settings.yaml, line 1: anchors and aliases"),
        ("- lr", r"settings.yaml must hold `key: value` lines, got a list"),
        ("3", "settings.yaml must hold .* got a number"),
        (b"lr: \xff", "cannot read .*settings.yaml: it is not UTF-8 text"),
    ],
)
def test_a_bad_file_is_one_line_with_its_name(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_yaml(file_of(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file at .*none\.yaml"):
        read_yaml(tmp_path / "none.yaml")


def test_a_folder_is_no_configuration_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"cannot read {tmp_path}"):
        read_yaml(tmp_path)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("lr=1e-3", {"lr": 1e-3}),
        ("a.b.c=[1, 2]", {"a": {"b": {"c": [1, 2]}}}),
        ("label=", {"label": ""}),
        ("label=a=b", {"label": "a=b"}),
        (" flip =true", {"flip": True}),
        ("label=[", {"label": "["}),
        ("label=2024-13-45", {"label": "2024-13-45"}),
    ],
)
def test_an_assignment_is_a_layer(text: str, values: dict[str, Any]) -> None:
    assert parse_assignment(text) == Layer("--set", values)


@pytest.mark.parametrize("text", ["lr", "=3", "  =3", ""])
def test_an_assignment_needs_a_key_and_a_value(text: str) -> None:
    with pytest.raises(InputError, match=f"^--set wants key=value, got '{text}'$"):
        parse_assignment(text)


def test_mutated_settings_give_an_error_or_settings(tmp_path: Path) -> None:
    path = file_of(tmp_path, resolve(Example, [Layer("--lr", {"lr": 1e-5})]).to_yaml())
    content = path.read_bytes()

    @few_examples
    @given(mutated_bytes(content))
    def check(changed: bytes) -> None:
        path.write_bytes(changed)
        read = reads_or_refuses(lambda: resolve(Example, [read_yaml(path)]).settings)
        assert read is None or isinstance(read, Example)

    check()
