"""Which methods there are and what they read, from the command line."""

import json

from conftest import assert_bad_input
from toolkit_probing.probes import POOLS

SMALL = ("--backbone", "timm:test_vit?image_size=64", "--random-init", "--epochs", 1)


def test_methods_that_read_the_grid_leave_the_class_token_out(run_cli, image_folder):
    data = f"imagefolder:{image_folder}"
    result = run_cli("probe", "-d", data, "-m", "ep,clip,cbam", *SMALL, "--json")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["rows"]
    assert {row["method"]: row["source"] for row in rows} == {
        "ep": "all",
        "clip": "patches",
        "cbam": "patches",
    }


def test_a_grid_and_the_class_token_exclude_each_other(run_cli, image_folder):
    data = f"imagefolder:{image_folder}"
    result = run_cli("probe", "-d", data, "-m", "cbam", "--tokens", "all", *SMALL)
    assert_bad_input(result, "method cbam reads the patch grid", "--tokens patches")


def test_queries_that_do_not_fit_the_width_leave_nothing_behind(run_cli, image_folder, tmp_path):
    data = f"imagefolder:{image_folder}"
    result = run_cli("probe", "-d", data, "--queries", 7, *SMALL, "-o", tmp_path / "run")
    assert_bad_input(result, "got dim=64, width_divisor=1, num_queries=7")
    assert not (tmp_path / "run").exists()
    assert "extracting" not in result.stderr


def test_all_names_every_method_once(run_cli, image_folder):
    data = f"imagefolder:{image_folder}"
    result = run_cli("probe", "-d", data, "-m", "all", "--lr", 0.01, *SMALL, "--json")
    assert result.exit_code == 0, result.output
    found = [row["method"] for row in json.loads(result.stdout)["rows"]]
    assert sorted(found) == sorted([*POOLS, "linear", "knn", "logreg"])


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


def test_the_list_says_which_methods_a_width_rules_out(run_cli):
    result = run_cli(
        "probe", "--list", "-b", "timm:test_vit?image_size=64", "--queries", 7, "--json"
    )
    methods = {row["method"]: row for row in json.loads(result.stdout)["methods"]}
    assert methods["ep"]["parameters"] is None
    assert "num_queries=7" in methods["ep"]["source"]
