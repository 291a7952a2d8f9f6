"""The data of a finished run are read again where they are as they were."""

from dataclasses import replace
from pathlib import Path

from toolkit_common.runs.files import read_json, write_json
from toolkit_probing.reports.data import at_hand
from toolkit_probing.reports.data.at_hand import find_data
from toolkit_probing.results.saved import read_run


def test_data_that_are_as_the_run_read_them_are_at_hand(runs, capsys):
    hand = find_data(read_run(runs / "b"))
    assert (len(hand.data), hand.why) == (40, "")
    assert capsys.readouterr().err == ""


def test_a_run_is_named_from_where_the_user_stands_not_from_where_it_began(runs, monkeypatch):
    monkeypatch.chdir(runs / "b")
    hand = find_data(read_run(Path("../b")))
    assert (len(hand.data), hand.why) == (40, "")


def test_data_that_changed_are_not(copied):
    facts = read_json(copied / "b/run.json")
    write_json(copied / "b/run.json", {**facts, "data": "another"})
    hand = find_data(read_run(copied / "b"))
    assert hand.data is None
    assert "is no longer as the run read it" in hand.why


def test_data_that_are_gone_are_not(copied):
    config = copied / "b/config.yaml"
    config.write_text(config.read_text().replace("table.csv", "gone.csv"))
    hand = find_data(read_run(copied / "b"))
    assert hand.data is None
    assert hand.why.startswith("the data cannot be read here (")
    assert "gone.csv" in hand.why


def test_nothing_is_fetched_and_no_large_set_is_listed(runs, monkeypatch):
    run = read_run(runs / "b")
    remote = replace(run.results, data=replace(run.results.data, id="hf:org/name?split=train"))
    assert find_data(replace(run, results=remote)).why == (
        "hf: data may have to be fetched, which a report does not do."
    )
    monkeypatch.setattr(at_hand, "MOST_LOADED", 39)
    assert find_data(run).why.startswith("of 40 images none is read again")
