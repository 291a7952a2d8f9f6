"""Runs of a kind of their own are reported by whoever made them."""

from types import SimpleNamespace

import pytest

from toolkit_common.errors import InputError
from toolkit_common.pages import reporters
from toolkit_common.pages.reporters import find_reporter
from toolkit_common.runs.files import write_json


@pytest.fixture
def runs(tmp_path, monkeypatch):
    point = SimpleNamespace(name="toy", load=lambda: print)
    monkeypatch.setattr(reporters, "entry_points", lambda group: {reporters.GROUP: [point]}[group])
    for kind in ("toy", "probe"):
        (tmp_path / kind).mkdir()
        write_json(tmp_path / kind / "run.json", {"kind": kind})
    return tmp_path


def test_a_run_is_reported_by_the_package_of_its_kind(runs):
    assert find_reporter([runs / "toy"]) is print
    assert find_reporter([runs / "probe"]) is None
    assert find_reporter([runs]) is None  # a folder of runs
    assert find_reporter([runs / "nowhere"]) is None


def test_a_run_whose_kind_is_lost_is_damaged(runs):
    write_json(runs / "toy/run.json", {})
    assert find_reporter([runs / "toy"]) is None  # no run: it has no settings either
    (runs / "toy/config.yaml").touch()
    with pytest.raises(InputError, match=r"toy/run.json is damaged: kind: field required"):
        find_reporter([runs / "toy"])


def test_such_a_run_is_reported_alone(runs):
    with pytest.raises(InputError, match="toy is a run of toy, which is reported alone"):
        find_reporter([runs / "probe", runs / "toy"])
