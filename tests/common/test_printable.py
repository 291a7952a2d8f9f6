"""What would steer a terminal is shown."""

import os
import shutil
import subprocess

import pytest

from toolkit_common.console import PrintableConsole
from toolkit_common.printable import (
    counted,
    one_line,
    placeless,
    placeless_command,
    placeless_id,
    printable,
    shell_line,
)


@pytest.mark.parametrize(
    ("text", "shown", "in_a_line"),
    [
        ("plain äß 🙂", "plain äß 🙂", "plain äß 🙂"),
        ("a\x1b[31mred", "a\\x1b[31mred", "a\\x1b[31mred"),
        ("a\x9b31m\x7f\x00\r", "a\\x9b31m\\x7f\\x00\\r", "a\\x9b31m\\x7f\\x00\\r"),
        ("two\nlines\tapart", "two\nlines\tapart", "two\\nlines\\tapart"),
        ("not \udcff text", "not \\udcff text", "not \\udcff text"),
        ("a\u202egpj.exe\u2069", "a\\u202egpj.exe\\u2069", "a\\u202egpj.exe\\u2069"),
    ],
)
def test_control_characters_are_shown(text: str, shown: str, in_a_line: str) -> None:
    assert printable(text) == shown
    assert one_line(text) == in_a_line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("probed /home/me/runs/a, ~/b/c.csv.", "probed a, c.csv."),
        ("timm:vit?weights=/home/me/own.pth&key=a on csv:/data/t.csv",
         "timm:vit?weights=own.pth&key=a on csv:t.csv"),
        (r"C:\Users\me\x.csv", "x.csv"),
        (r"at \\server\share\x.csv, file:///home/me/y", "at x.csv, y"),
        ("runs/a and/or 1/2, val / val, https://site/page, \\x1b[2J, 4 of/", None),
        ("['/home/me/a.png', '/b/c d/']", "['a.png', 'c d/']"),
        ("/home//me/x /home/me/", "x me"),
        ("nevus /mole, /benign", None),
    ],
)  # fmt: skip
def test_an_absolute_path_is_no_more_than_its_last_name(text: str, shown: str | None) -> None:
    assert placeless(text) == (text if shown is None else shown)


def test_an_id_keeps_the_last_name_of_each_path() -> None:
    text = "timm:local-dir:/home/a b/model?weights=../own/w.pth&key=a"
    assert placeless_id(text) == "timm:local-dir:model?weights=w.pth&key=a"


def test_a_command_says_where_a_folder_has_to_be_put() -> None:
    words = [
        "toolkit",
        "probe",
        "--backbone",
        "/home/a b/run",
        "--data",
        "csv:../own/t.csv",
    ]
    wanted = "toolkit probe --backbone PATH/run --data csv:PATH/t.csv"
    assert placeless_command(words) == wanted
    assert placeless_command(["--output", "runs/a b"]) == "--output 'runs/a b'"


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("runs/a", "runs/a"),
        ("a b", "'a b'"),
        ("it's $(x)", """'it'"'"'s $(x)'"""),
        ("red\x1b[31m", r"$'red\x1b[31m'"),
        ("two\nlines\t'\\", r"$'two\nlines\t\'\\'"),
        ("c1\x9b31m", r"$'c1\u009b31m'"),
        (os.fsdecode(b"caf\xe9"), r"$'caf\xe9'"),
    ],
)
def test_a_command_is_one_line_that_a_shell_takes_as_it_was(name: str, word: str) -> None:
    assert shell_line(["ls", name]) == f"ls {word}"
    assert one_line(word.replace("\udce9", "")) == word
    if bash := shutil.which("bash"):
        script = f"printf %s {word}"
        variables = os.environ | {"LC_ALL": "C.UTF-8"}
        done = subprocess.run([bash, "-c", script], capture_output=True, env=variables)
        assert done.stdout == os.fsencode(name)


def test_one_thing_is_no_plural() -> None:
    assert [counted(number, "image") for number in (0, 1, 2048)] == [
        "0 images", "1 image", "2,048 images",
    ]  # fmt: skip
    assert counted(1, "query", "queries") == "1 query"
    assert counted(2, "query", "queries") == "2 queries"


def test_a_console_sends_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    PrintableConsole(highlight=False).print("a\x1b[2Jb")
    assert capsys.readouterr().out == "a\\x1b[2Jb\n"
