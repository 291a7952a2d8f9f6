"""Plain YAML: JSON's values alone, no aliases, tags or depths, and the line of what is wrong."""

import os
import re
from pathlib import Path

import pytest
import yaml

from toolkit_common.errors import InputError
from toolkit_common.foreign.plain_yaml import MAX_BYTES, PlainDumper, read_document, read_value


def document(text: str):
    Path("a.yaml").write_text(text)
    return read_document(Path("a.yaml"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"), ("on", "on"), ("010", "010"), ("1:30", "1:30"), ("2024-01-01", "2024-01-01"),
        ("true", True), ("null", None), ("~", None), ("", None), ("-3", -3), ("1e-3", 1e-3),
        ("0.5", 0.5), ("1_000", "1_000"), (".inf", ".inf"), ("[1, a]", [1, "a"]),
        ("{1: 2}", {"1": 2}), ("'1'", "1"), ("=", "="),
    ],
)  # fmt: skip
def test_a_plain_word_means_what_json_has(text, value):
    actual = read_value(text, "--set")
    assert actual == value
    assert type(actual) is type(value)


@pytest.mark.parametrize(
    "value",
    ["1e5", "-2E-3", "+1.5e5", "1.5", "12", "true", "no", "null", "~", "", "2024-01-01", "1:30",
     1e5, 1e-5, 1e300, 12, True, None],
)  # fmt: skip
def test_what_is_written_is_read_back_as_it_was(value):
    text = yaml.dump({"a": value, "b": [value]}, Dumper=PlainDumper)
    actual = document(text).values
    assert actual == {"a": value, "b": [value]}
    assert type(actual["a"]) is type(value)


def test_what_stands_twice_is_written_out():
    values = [1, 2]
    text = yaml.dump({"a": values, "b": values}, Dumper=PlainDumper)
    assert document(text).values == {"a": [1, 2], "b": [1, 2]}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: &x 1\nb: *x", "a.yaml, line 1: anchors and aliases"),
        ("a: 1\nb: *x", "a.yaml, line 2: anchors and aliases"),
        ("a: !!python/object:os.system 1", "tags are not read: tag:yaml.org,2002:python"),
        ('a: !!int ""', "line 1: tags are not read"),
        ("a: 1\nb:\n  c: 1\n  c: 2", "line 4: key 'c' stands here twice"),
        ("? [1]\n: 2", "a key must be a word"),
        ("a: " + "[" * 20_000, "nested deeper than 12"),
        ("a: [1", "line 1:"),
        ("- a", "must hold `key: value` lines, got a list"),
        ("", "must hold `key: value` lines, got nothing"),
        ("a: \x00", "is not valid YAML"),
    ],
)
def test_what_is_more_is_refused_with_its_line(text, problem):
    with pytest.raises(InputError, match=re.escape(problem)) as caught:
        document(text)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_not_text_or_huge_is_refused():
    with pytest.raises(InputError, match="no file at none"):
        read_document(Path("none.yaml"))
    Path("bytes.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(InputError, match=r"cannot read bytes\.yaml: it is not UTF-8 text$"):
        read_document(Path("bytes.yaml"))
    Path("large.yaml").write_text("a: " + "b" * MAX_BYTES)
    with pytest.raises(InputError, match=r"large\.yaml is larger than 1,048,576 bytes"):
        read_document(Path("large.yaml"))


def test_what_is_no_file_is_refused_before_it_is_read():
    Path("folder.yaml").mkdir()
    with pytest.raises(InputError, match=r"^cannot read folder\.yaml: what should be a file is a"):
        read_document(Path("folder.yaml"))
    os.mkfifo("pipe.yaml")
    with pytest.raises(InputError, match=r"^pipe\.yaml is a pipe, socket or device: give a file$"):
        read_document(Path("pipe.yaml"))
    Path("loop.yaml").symlink_to("loop.yaml")
    with pytest.raises(InputError, match=r"^cannot read loop\.yaml: links lead in a circle$"):
        read_document(Path("loop.yaml"))


def test_a_place_is_named_by_the_nearest_line():
    read = document("a: 1\nb:\n  - c: 2\n")
    assert read.at(("b", 0, "c")) == "a.yaml, line 3: b.0.c"
    assert read.at(("b", 0, "d")) == "a.yaml, line 3: b.0.d"
    assert read.at(("x",)) == "a.yaml: x"
    assert read.at(()) == "a.yaml"
