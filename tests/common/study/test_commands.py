"""A command is found by name, and its options are checked without running it."""

import re

import pytest

from helpers.tiny_study import calls
from toolkit_common.errors import InputError
from toolkit_common.study.commands import find_command


def test_a_command_is_found_in_its_group():
    train = find_command("toy train")
    assert train.makes_folder
    assert train.check(["--quality", "0.5"]).settings.quality == 0.5
    assert calls() == []


def test_a_command_of_another_kind_has_arguments_and_no_settings():
    audit = find_command("data describe")
    assert not audit.makes_folder
    words = audit.words({"identifier": "lesions", "allow_partial": True, "label": "malignant"})
    assert words == ["--allow-partial", "--label", "malignant", "lesions"]
    assert audit.check(words) is None
    with pytest.raises(InputError, match="Missing argument"):
        audit.check([])


def test_options_are_typed_as_the_command_line_has_them():
    probe = find_command("probe")
    options = {
        "method": ["ep", "linear"], "random_init": True, "allow_seen": False, "label": None,
        "ep.num_queries": [8, 16], "label-fraction": 0.05, "c": [0.1, 1],
    }  # fmt: skip
    words = probe.words(options)
    assert words == [
        "--method", "ep,linear", "--random-init", "--no-allow-seen",
        "--set", "ep.num_queries=8,16", "--label-fraction", "0.05", "--c", "0.1,1",
    ]  # fmt: skip
    assert probe.check(words).settings.c == (0.1, 1)


@pytest.mark.parametrize("letter", ["b", "-b", "m"])
def test_a_letter_that_stands_for_an_option_is_none_of_a_file(letter):
    with pytest.raises(InputError, match=f"toolkit probe has no option '{letter}'"):
        find_command("probe").words({letter: "x"})


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"qualty": 1}, "toolkit toy train has no option 'qualty'; did you mean 'quality'"),
        ({"output": "x"}, "output is the study's to say"),
        ({"resume": True}, "resume is the study's to say"),
        ({"fails": "yes"}, "fails is a switch: true or false, got 'yes'"),
    ],
)
def test_an_option_that_cannot_be_is_refused(options, problem):
    with pytest.raises(InputError, match=re.escape(problem)):
        find_command("toy train").words(options)


@pytest.mark.parametrize(
    ("name", "words", "problem"),
    [
        ("toy train", ["--quality", "2"], "quality: input should be less than or equal to 1"),
        ("toy train", ["--quality"], "requires an argument"),
        ("probe", ["--method", "epp"], "unknown method 'epp'; did you mean 'ep'"),
        ("probe", ["--set", "ep.num_querys=8"], "num_querys"),
        ("probe", ["--views", "2"], "add --augment crops"),
        ("pretrain slimp", ["--ablation", "simlcr"], "did you mean 'simclr'"),
    ],
)
def test_what_the_command_would_refuse_is_refused_before(name, words, problem):
    with pytest.raises(InputError, match=re.escape(problem)):
        find_command(name).check(words)


@pytest.mark.parametrize("name", ["toy trian", "toy", "pretrain", "data", ""])
def test_an_unknown_command_is_refused(name):
    with pytest.raises(InputError, match=f"unknown command '{name}'"):
        find_command(name)
