"""Settings are written with the source of each value, and read back equal."""

from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from helpers.example_settings import Example, Grouped, Transform, file_of
from helpers.properties import few_examples
from toolkit_common.config import (
    Layer,
    read_yaml,
    resolve,
)

# YAML is text: it has no lone surrogates.
texts = st.text(st.characters(exclude_categories=["Cs"]))


numbers = st.floats(allow_nan=False, allow_infinity=False)


any_settings = st.builds(
    Example,
    lr=st.floats(min_value=0, exclude_min=True, allow_infinity=False),
    lrs=st.lists(numbers.filter(lambda number: number > 0), min_size=1).map(tuple),
    queries=st.lists(st.integers(1), min_size=1).map(tuple),
    method=st.lists(texts, min_size=1).map(tuple),
    label=st.none() | texts,
    folder=st.none() | texts.map(Path),
    epochs=st.integers(),
    transform=st.builds(Transform, flip=st.booleans(), note=texts),
)


@pytest.mark.slow
@few_examples
@example(Example(label="1e5", method=("2E-3", "+1.5e5"), folder=Path("3e7")))
@example(Example(label="\x85\u2028", transform=Transform(note="two\n\nlines # no comment")))
@given(any_settings)
def test_written_settings_read_back_equal(settings: Example) -> None:
    resolved = resolve(Example, [Layer("a # b: c", settings.model_dump())])
    path = file_of(Path(), resolved.to_yaml())
    assert resolve(Example, [read_yaml(path)]).settings == settings


def test_written_settings_say_where_each_value_came_from() -> None:
    layers = [Layer("my.yaml", {"lr": 1e-5}), Layer("--set", {"transform": {"flip": True}})]
    lines = resolve(Example, layers).to_yaml().splitlines()
    assert "lr: 1.0e-05  # my.yaml" in lines
    assert "  flip: true  # --set" in lines
    assert "    size: 224  # default" in lines
    assert yaml.safe_load("\n".join(lines))["transform"]["crop"]["size"] == 224


def test_result_settings_leave_out_what_does_not_affect_the_result() -> None:
    first = resolve(Example, [Layer("f", {"folder": "a"})]).result_settings()
    second = resolve(Example, [Layer("f", {"folder": "b"})]).result_settings()
    assert first == second
    assert "folder" not in first
    assert first["transform.crop.size"] == 224


def test_settings_with_groups_are_read_back_as_written(tmp_path: Path) -> None:
    resolved = resolve(Grouped, [Layer("f", {"ep": {"mode": "a,2,1e-3", "n": None}})])
    stored = resolve(Grouped, [read_yaml(file_of(tmp_path, resolved.to_yaml()))]).settings
    assert stored == resolved.settings
    assert stored.options["ep"] == {"mode": ("a", 2, 1e-3), "n": (None,)}
