"""`toolkit reproduce --list`."""

import json
from pathlib import Path

from helpers.snapshots import assert_fits, assert_snapshot


def test_the_rows_are_listed_within_80_columns(run_cli, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    shown = run_cli("reproduce", "--list").stdout
    assert_fits(shown, 80)
    assert_snapshot(shown, Path(__file__).parent / "shown/rows-80.txt")


def test_json_has_all_that_the_file_holds(run_cli):
    listed = json.loads(run_cli("reproduce", "--list", "--json").stdout)
    assert len(listed["rows"]) == 37
    assert listed["rows"][0]["name"] == "dinov3-vit-7b-16"
    assert listed["data"]["test"] == 50_000
