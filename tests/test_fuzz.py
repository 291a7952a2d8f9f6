"""Every reader gets a few changed inputs, and the long form counts what it is to count."""

import json
import os
import time
from functools import partial
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fuzz
from helpers.mutations import FIELD, WORDS, change, change_fields, change_json, reads_or_refuses
from helpers.properties import few_examples
from helpers.readers import READERS, Case, Reader
from toolkit_common.errors import InputError

FAST = 0.3  # share of inputs of the long form, from which on a reader takes milliseconds
REFUSED_AS_IT_IS = {"--set", "data ids", "encoder ids"}  # some of which this machine lacks


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_a_changed_input_is_read_or_refused_in_one_line(
    name: str, world: Path, tmp_path: Path
) -> None:
    cases, count = READERS[name].cases(world, tmp_path), 8
    if READERS[name].share < FAST:  # two of its files, each changed twice or so
        cases, count = Random(name).sample(cases, min(len(cases), 2)), 4
    for case in cases if name not in REFUSED_AS_IT_IS | {"command lines"} else ():
        case.read(case.content)

    @settings(few_examples, max_examples=count)
    @given(st.sampled_from(cases), st.randoms(use_true_random=False))
    def check(case: Case, draws: Random) -> None:
        reads_or_refuses(partial(case.read, change(case.content, draws)))

    check()


FIELDS = b"lr: 0.1\nname: a\nids: [x, y]\n"


@pytest.mark.parametrize("word", WORDS)
def test_every_field_of_a_text_becomes_any_word(word: bytes) -> None:
    made = {change_fields(FIELDS, Random(seed)) for seed in range(4000)}
    singles = {FIELDS[: m.start()] + word + FIELDS[m.end() :] for m in FIELD.finditer(FIELDS)}
    assert singles <= made


@pytest.mark.parametrize("value", [1e-300, 1e300, 10**400, "exported:slimp/encoder"])
def test_every_field_of_a_json_file_becomes_any_value(value: object) -> None:
    made = {change_json(b'{"a": 1, "b": {"c": "x"}}', Random(seed)) for seed in range(2000)}
    told = json.dumps(value)
    assert {
        f'{{"a": {told}, "b": {{"c": "x"}}}}'.encode(),
        f'{{"a": 1, "b": {{"c": {told}}}}}'.encode(),
    } <= made


def refuse(_: bytes) -> None:
    raise InputError("no such thing")


def fail(_: bytes) -> None:
    raise KeyError("x")


def run_for_ever(_: bytes) -> None:
    while True:
        pass


def wait_for_ever(_: bytes) -> None:
    time.sleep(1000)


@pytest.mark.parametrize(
    ("read", "what", "place"),
    [
        (len, fuzz.ACCEPTED, ""),
        (refuse, fuzz.REFUSED, ""),
        (fail, fuzz.FAULT, "KeyError: 'x'"),
        (lambda _: os._exit(3), fuzz.FAULT, "the fork ended by 3"),
        (run_for_ever, fuzz.HANG, "StandsStillError"),
        (wait_for_ever, fuzz.HANG, "the fork stood still"),
    ],
)
def test_what_comes_of_an_input_is_counted(
    read: object, what: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fuzz, "PATIENCE_S", 0.02)
    if read is wait_for_ever:  # of a busy machine a fork may begin late
        monkeypatch.setattr(fuzz, "STILL_S", 0.3)
    cases = [Case("x", b"{}", read)]  # type: ignore[arg-type]
    monkeypatch.setitem(READERS, "toy", Reader(lambda *_: cases))
    counted = fuzz.run_reader("toy", 2, tmp_path / "world", seed=0)
    assert counted.counts == {what: 2}
    assert all(place in fault for fault in counted.faults)
    assert bool(counted.faults) is bool(place)


def test_an_input_is_made_again_by_its_number() -> None:
    cases = [Case(name, b'{"a": [1, 2, {"b": 3}]}', len) for name in "abc"]
    made = [fuzz.changed_of(cases, seed=1, name="r", number=number) for number in range(20)]
    assert made == [fuzz.changed_of(cases, seed=1, name="r", number=n) for n in range(20)]
    assert len({changed for _, changed in made}) > 10


def test_inputs_are_shared_out_over_all_readers() -> None:
    counts = fuzz.shares([*READERS], 100_000)
    assert 99_900 <= sum(counts.values()) <= 100_100
    assert min(counts.values()) > 0
