"""`toolkit probe --list` at a backbone."""

import json

import pytest

from toolkit_probing.probes import POOLS


@pytest.mark.slow
def test_the_list_counts_what_ep_costs_at_the_backbone(run_cli, tmp_path):
    result = run_cli("probe", "--list", "-b", "timm:test_vit?image_size=64", "--json")
    assert result.exit_code == 0, result.output
    methods = {row["method"]: row for row in json.loads(result.stdout)["methods"]}
    assert set(methods) == {*POOLS, "linear", "cls", "mean", "knn", "logreg"}
    n, d, q = 1 + 4 * 4, 64, 32
    assert methods["ep"]["reads"] == ["all"]
    assert methods["ep"]["parameters"] == q * d + d * d
    assert methods["ep"]["parameters_with_classifier"] == q * d + d * d + 1000 * d + 1000
    operations = 2 * (2 * n * d * q + d * d + 1000 * d)
    assert methods["ep"]["gflops"] == operations / 1e9
    assert not list(tmp_path.glob("runs/*"))


@pytest.mark.slow
def test_the_list_says_which_methods_a_width_rules_out(run_cli):
    result = run_cli(
        "probe", "--list", "-b", "timm:test_vit?image_size=64", "--set", "ep.num_queries=7",
        "--json",
    )  # fmt: skip
    methods = {row["method"]: row for row in json.loads(result.stdout)["methods"]}
    assert methods["ep"]["parameters"] is None
    assert "num_queries=7" in methods["ep"]["source"]


@pytest.mark.slow
def test_the_list_shows_every_option_within_80_columns(run_cli, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    result = run_cli("probe", "--list", "-b", "timm:test_vit?image_size=64")
    assert result.exit_code == 0, result.output
    lines = [line.rstrip() for line in result.stdout.splitlines()]
    assert max(map(len, lines)) <= 80
    for text in ("num_queries=32", "mode=both (both|map|none)", "temperature=0.07 (plain)"):
        assert [line for line in lines if text in line], text


@pytest.mark.slow
def test_the_list_has_options_with_their_defaults(run_cli):
    result = run_cli("probe", "--list", "-b", "timm:test_vit?image_size=64", "--json")
    options = {row["method"]: row["options"] for row in json.loads(result.stdout)["methods"]}
    assert options["abmilp"] == {"mode": "both", "depth": 2, "activation": "tanh"}
    assert options["clip"] == {"num_heads": 4}  # the grid is none: the encoder gives it
    assert options["knn"] == {"k": [5, 10, 20, 50], "temperature": [0.07]}
