"""`toolkit compare`: stdout has JSON alone, the next step stands beside it."""

import json

from conftest import assert_bad_input


def test_json_is_all_there_is_on_stdout(run_cli, runs):
    shown = run_cli("compare", runs / "a", "--metric", " auroc ,", "--json")
    assert json.loads(shown.stdout)
    assert "next:" not in shown.stderr
    assert "next: toolkit report " in run_cli("compare", runs / "a", "--metric", "auroc").stderr


def test_a_run_that_is_not_there_is_named(run_cli):
    assert_bad_input(run_cli("compare", "none"), "none")
