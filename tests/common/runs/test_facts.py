"""What run.json says is read strictly: by the file and the entry it is refused."""

import re

import pytest

from toolkit_common.errors import InputError
from toolkit_common.runs.facts import read_facts
from toolkit_common.runs.files import write_json
from toolkit_common.runs.folder import RunFolder

FACTS = {"kind": "probe", "starts": ["now"], "machine": {"cpu": "some"}, "commit": None, "of": [1]}


def test_facts_are_read_with_those_that_only_their_kind_knows(tmp_path):
    write_json(tmp_path / "run.json", FACTS)
    assert read_facts(tmp_path) == RunFolder(tmp_path).facts() == FACTS


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ([], "input should be an object, got []"),
        ({}, "kind: field required"),
        ({"kind": ""}, "kind: string should have at least 1 character, got ''"),
        ({"kind": "probe", "starts": "now"}, "starts: input should be a valid array, got 'now'"),
        ({"kind": "probe", "data": 3}, "data: input should be a valid string, got 3"),
        ({"kind": "probe", "folder": ["x"]}, "folder: input should be a valid string, got ['x']"),
        (
            {"kind": "probe", "versions": {"torch": 2}},
            "versions.torch: input should be a valid string, got 2",
        ),
    ],
)
def test_facts_of_another_kind_are_refused(tmp_path, facts, message):
    write_json(tmp_path / "run.json", facts)
    at = re.escape(f"{tmp_path}/run.json is damaged: {message}")
    with pytest.raises(InputError, match=at):
        RunFolder(tmp_path).facts()


def test_a_folder_without_is_no_run(tmp_path):
    with pytest.raises(InputError, match=re.escape(f"{tmp_path} has no run.json: it is no fin")):
        RunFolder(tmp_path).facts()
