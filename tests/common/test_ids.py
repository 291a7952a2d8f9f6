"""Ids come apart as they were put together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.properties import few_examples
from toolkit_common.errors import InputError
from toolkit_common.ids import add_option, refuse_options, split_options

words = st.text(st.characters(exclude_characters="?&=./\\"), min_size=1, max_size=8)


@given(words, st.dictionaries(words, st.text(st.characters(exclude_characters="&"), min_size=1)))
@few_examples
def test_any_place_and_options_come_back(place: str, options: dict[str, str]) -> None:
    text = f"{place}?{'&'.join(f'{key}={value}' for key, value in options.items())}"
    assert split_options(text) == (place, options)


@pytest.mark.parametrize("text", ["csv:a.csv", "csv:a.csv?", "csv:a.csv?&&"])
def test_options_may_be_absent(text: str) -> None:
    assert split_options(text) == ("csv:a.csv", {})


@pytest.mark.parametrize(
    "place", ["csv:what?.csv", "csv:/why?/a.csv", "a?b/run", "imagefolder:C?\\d", "csv:a??.csv"]
)
def test_a_question_mark_of_a_path_is_the_paths(place: str) -> None:
    assert split_options(place) == (place, {})
    assert split_options(f"{place}?label=a?b&missing=?") == (
        place,
        {"label": "a?b", "missing": "?"},
    )
    assert add_option(place, "label", "dx") == f"{place}?label=dx"


@pytest.mark.parametrize("value", ["/a+b/c%20d", "x=y", "a?b", " ", "ä"])
def test_values_are_taken_as_they_stand(value: str) -> None:
    assert split_options(f"x?path={value}&other=1")[1] == {"path": value, "other": "1"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x?a", "option 'a' in 'x[?]a' has no value: write a=VALUE .*rename a file or folder"),
        ("x?a=", "option 'a' in 'x[?]a=' has no value"),
        ("x?=1&=2", "option '' occurs twice"),
        ("x?a=1&b=2&a=3", "option 'a' occurs twice in 'x[?]a=1&b=2&a=3'"),
    ],
)
def test_an_option_needs_one_value(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        split_options(text)


def test_unknown_options_get_the_nearest_known_ones() -> None:
    refuse_options("x?label=a", {"label": "a"}, ("label", "group"))
    message = "unknown option 'lable' in 'x'; did you mean 'label'[?] choose from: group, label"
    with pytest.raises(InputError, match=message):
        refuse_options("x", {"label": "a", "lable": "b"}, ("label", "group"))
    with pytest.raises(InputError, match="unknown option 'a' in 'x': it takes none"):
        refuse_options("x", ["a"], ())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x:y", "x:y?a=1"),
        ("x:y?", "x:y?a=1"),
        ("x:y?b=2", "x:y?b=2&a=1"),
        ("x:y?a=1&b=2", "x:y?a=1&b=2"),
    ],
)
def test_an_option_is_added_as_if_written(text: str, expected: str) -> None:
    assert add_option(text, "a", "1") == expected


def test_an_option_is_not_given_two_values() -> None:
    message = "a is '2' in 'x[?]a=2' and '1' beside it: give it once"
    with pytest.raises(InputError, match=message):
        add_option("x?a=2", "a", "1")
