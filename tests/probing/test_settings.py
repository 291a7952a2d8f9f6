"""Settings of `toolkit probe`: names and numbers that cannot be, and the names of before."""

import json

import pytest
import yaml

from conftest import assert_bad_input
from helpers.probe_runs import refused
from toolkit_common.config import Layer, resolve
from toolkit_probing.protocols import PRESETS
from toolkit_probing.settings import ProbeSettings


@pytest.mark.slow
def test_misspelt_names_are_answered_with_the_nearest(probe, tmp_path):
    refused(probe("--method", "epp"), tmp_path, "unknown method 'epp'; did you mean 'ep'")
    refused(probe(data="lesion"), tmp_path, "unknown data set 'lesion'; did you mean 'lesions'")
    refused(probe("--set", "epoch=1"), tmp_path, "unknown setting epoch; did you mean 'epochs'")
    refused(probe("--select-by", "top2"), tmp_path, "unknown metric 'top2'; did you mean")
    refused(probe("--protocol", "honst"), tmp_path, "'honst'; did you mean 'honest'")
    refused(probe("--tokens", "patch"), tmp_path, "tokens: input should be", "got 'patch'")
    refused(probe("--vectors", "class"), tmp_path, "vectors: input should be", "got 'class'")
    refused(probe("--layers", "x"), tmp_path, "layers: input should be", "got 'x' (from --layers)")
    refused(
        probe("--set", "knn.k=0"),
        tmp_path,
        "knn.k: input should be greater than or equal to 1",
        "0",
    )
    refused(probe("--set", "knn.temperature=0"), tmp_path, "temperature: input should be greater")
    refused(
        probe("--set", "logreg.c=-1"), tmp_path, "logreg.c: input should be greater than 0", "-1"
    )
    refused(probe("--lr", "0.1,0"), tmp_path, "lr: input should be greater than 0, got '0'")
    refused(probe("--lr=-0.1"), tmp_path, "lr: input should be greater than 0, got '-0.1'")
    refused(probe("--set", "ep.num_queries=8,0"), tmp_path, "ep.num_queries: input should be", "0")
    refused(probe("--set", "ep.num_queries=-8"), tmp_path, "got -8 (from --set)")
    refused(probe("--shots", "0"), tmp_path, "shots: input should be greater than or equal to 1")
    refused(probe("--label-fraction", "2"), tmp_path, "label_fraction: input should be less than")
    refused(probe("--shots", "9"), tmp_path, "--shots 9 wants", "'dark' has 6")
    refused(probe("--select-by", "top5"), tmp_path, "top5 is undefined on the val split")
    refused(probe("--layers", "7"), tmp_path, "layer 7 does not exist", "layers 1 to 6")
    refused(probe("--backbone", "timm:vit_bse_patch16_224"), tmp_path, "'vit_base_patch16_224'")


@pytest.mark.parametrize(
    ("option", "key", "number"),
    [("--lr=-0.1", "lr", "'-0.1'"), ("--set=ep.num_queries=0", "ep.num_queries", "0 ")],
)
def test_impossible_numbers_are_refused_before_anything_is_loaded(
    probe, tmp_path, option, key, number
):
    refused(probe(option, data="imagefolder:/nowhere"), tmp_path, f"{key}: ", f"got {number}")


OLD = {"queries": [4, 8], "width_divisor": 2, "k": "5,20", "temperature": ["plain"],
       "logreg_c": 0.1, "read": "cls", "input": "imagenet"}  # fmt: skip
NEW = {
    "ep": {"num_queries": [4, 8], "width_divisor": 2},
    "knn": {"k": "5,20", "temperature": "plain"},
    "logreg": {"c": 0.1},
    "vectors": "cls",
    "preprocess": "imagenet",
}


def test_names_of_before_mean_what_those_of_today_do():
    old, new = (resolve(ProbeSettings, [Layer("f.yaml", values)]) for values in (OLD, NEW))
    assert old.settings == new.settings
    assert old.settings.options["knn"] == {"k": (5, 20), "temperature": ("plain",)}
    assert len(old.notes) == len(OLD)
    assert "setting queries (f.yaml) is now ep.num_queries" in old.notes
    assert list(new.notes) == []


@pytest.mark.slow
def test_an_option_of_before_works_and_names_that_of_today(probe, run_cli, tmp_path):
    result = probe("--method", "knn", "--k", "3", "--read", "mean", "--json")
    assert result.exit_code == 0, result.output
    assert "note: --k is now --set knn.k=..." in result.stderr
    assert "note: --read is now --vectors" in result.stderr
    (row,) = json.loads(result.stdout)["rows"]
    assert (row["source"], row["settings"]["k"]) == ("mean", 3)
    assert "    k: [3]  # --k" in (tmp_path / "run/config.yaml").read_text()
    shown = run_cli("probe", "--help").stdout
    assert "--vectors" in shown
    assert not [name for name in ("--read ", "--queries", "--logreg-c") if name in shown]


def test_a_bad_value_of_an_option_of_before_is_named_by_it(probe, tmp_path):
    refused(probe("--queries=-8"), tmp_path, "ep.num_queries: ", "got -8 (from --queries)")


@pytest.mark.slow
def test_a_run_folder_of_before_is_resumed_and_drawn(probe, run_cli, tmp_path):
    assert probe("--method", "ep", "--set", "ep.num_queries=4").exit_code == 0
    config = tmp_path / "run/config.yaml"
    values = yaml.safe_load(config.read_text())
    for key in ("options", "vectors", "preprocess"):
        del values[key]
    before = {"queries": [4], "width_divisor": 1, "k": [5, 10, 20, 50], "temperature": [0.07],
              "logreg_c": [0.1], "read": ["auto"], "input": "own"}  # fmt: skip
    config.write_text(yaml.safe_dump(values | before))
    resumed = probe("--method", "ep", "--resume", "--json")
    assert resumed.exit_code == 0, resumed.output
    assert "is now" not in resumed.stderr
    assert json.loads(resumed.stdout)["rows"][0]["name"] == "ep-num_queries4-layer6-all"
    assert run_cli("attention", "--from", tmp_path / "run").exit_code == 0
    changed = probe("--method", "ep", "--resume", "--set", "ep.num_queries=8")
    assert_bad_input(changed, "options.ep.num_queries (was [4], now [8])")


@pytest.mark.slow
def test_a_file_holds_options_of_methods_as_groups(probe, tmp_path):
    (tmp_path / "c.yaml").write_text("ep: {num_queries: [4, 8]}\nmethod: [ep]\n")
    result = probe("--config", tmp_path / "c.yaml", "--set", "ep.width_divisor=2", "--json")
    names = [row["name"] for row in json.loads(result.stdout)["rows"]]
    assert names == [f"ep-num_queries{count}-width_divisor2-layer6-all" for count in (4, 8)]


def test_the_protocols_settings_are_valid():
    for name in PRESETS:
        assert resolve(ProbeSettings, [Layer("f", {"protocol": name})], presets=PRESETS)
