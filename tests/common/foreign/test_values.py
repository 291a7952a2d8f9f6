"""Foreign JSON: finite, bounded, strict, and every refusal one line with the place."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic.dataclasses import dataclass

from helpers.mutations import reads_or_refuses
from helpers.properties import few_examples
from toolkit_common.errors import InputError
from toolkit_common.foreign.values import checked, kind_of, parse_json, read_bytes, shown


@dataclass
class Pair:
    first: int
    second: tuple[float, ...]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[NaN]", "NaN is no number of JSON"),
        ("[-Infinity]", "-Infinity is no number"),
        ("[1e999]", "1e999 is beyond any number"),
        ("[" * 100_000, "f.json is damaged, no JSON: it is nested too deep"),
        ("[" * 65 + "]" * 65, "nested deeper than 64"),
        ("9" * 5000, "f.json is damaged, no JSON: 9999"),
        ("[-" + "9" * 400 + "]", "f.json is damaged, no JSON: -9999"),
        (b'"\xff"', "f.json is damaged, no JSON: it is not UTF-8 text"),
        ("", "f.json is damaged, no JSON: it is empty"),
    ],
)
def test_what_is_no_bounded_json_is_one_line(text: str | bytes, problem: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_json(text, "f.json")
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
@few_examples
def test_what_is_json_is_read_as_json_has_it(values: object) -> None:
    assert parse_json(json.dumps(values), "f.json") == values


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"first": 1}, "f: second: field required"),
        ({"first": "1", "second": []}, "f: first: input should be a valid integer, got '1'"),
        ({"first": True, "second": []}, "f: first: input should be a valid integer, got True"),
        ({"first": "x" * 999, "second": []}, "got '" + "x" * 199 + "..."),
        ({"first": "a\n\x1b", "second": []}, r"got 'a\n\x1b'"),
    ],
)
def test_the_first_wrong_value_is_named_and_cut(values: object, problem: str) -> None:
    with pytest.raises(InputError) as caught:
        checked(Pair, values, "f")
    assert problem in str(caught.value)


def test_values_of_the_right_kinds_come_as_the_type() -> None:
    assert checked(Pair, {"first": 1, "second": [1, 0.5]}, "f") == Pair(1, (1.0, 0.5))


def test_a_file_is_never_read_beyond_what_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"12345")
    assert read_bytes(tmp_path / "f", 5) == b"12345"
    with pytest.raises(InputError, match="is larger than 4 bytes"):
        read_bytes(tmp_path / "f", 4)
    with pytest.raises(InputError, match="/dev/zero is larger than 9 bytes"):  # without an end
        read_bytes(Path("/dev/zero"), 9)


def test_what_leads_to_a_device_or_pipe_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "f").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe")
    for name in ("f", "pipe"):
        with pytest.raises(InputError, match=f"{name} is a pipe, socket or device: give a file"):
            read_bytes(tmp_path / name, 9)


def test_what_a_shell_hands_over_is_read() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"epochs: 3")
    os.close(writer)
    assert read_bytes(Path(f"/dev/fd/{reader}"), 99) == b"epochs: 3"
    os.close(reader)


@pytest.mark.parametrize(
    ("value", "kind"),
    [(None, "nothing"), (True, "true or false"), (3, "a number"), ([], "a list"), ({}, "`key: v")],
)
def test_a_value_is_called_by_what_it_is_in_a_file(value: object, kind: str) -> None:
    assert kind_of(value).startswith(kind)


def test_a_value_is_shown_in_bounds() -> None:
    assert shown("\x1b[31m") == r"'\x1b[31m'"
    assert shown(10**400) == "a number of hundreds of digits"
    assert len(shown(b"x" * 10**7)) == 203


def test_nothing_but_an_input_error_leaves_a_reader() -> None:
    assert reads_or_refuses(lambda: parse_json("{", "f")) is None
    with pytest.raises(KeyError):
        reads_or_refuses(lambda: {}["x"])
