"""Which heads the settings make, and what each method reads."""

import json

import pytest

from conftest import assert_bad_input

SMALL = ("--backbone", "timm:test_vit?image_size=64", "--random-init", "--epochs", 1)


@pytest.mark.slow
def test_layers_are_read_in_one_pass(probe):
    backbone = ["--backbone", "timm:test_vit?image_size=32&layers=2,-1"]
    rows = json.loads(probe(*backbone, "--method", "linear", "--json").stdout)["rows"]
    assert [row["layer"] for row in rows] == [2, 6]


@pytest.mark.slow
def test_all_layers_can_be_named(probe):
    rows = json.loads(probe("--layers", "all", "--method", "knn", "--json").stdout)["rows"]
    assert [row["layer"] for row in rows] == [1, 2, 3, 4, 5, 6]


@pytest.mark.slow
def test_token_sources_and_layers_multiply(probe):
    options = ["--layers", "1,-1", "--tokens", "patches,all,auto", "--vectors", "cls,mean",
               "--json"]  # fmt: skip
    result = probe("--method", "ep,linear,knn", *options)
    rows = json.loads(result.stdout)["rows"]
    places = [(row["method"], row["layer"], row["source"]) for row in rows]
    vectors = [(layer, vector) for layer in (1, 6) for vector in ("cls", "mean")]
    tokens = [(layer, tokens) for layer in (1, 6) for tokens in ("patches", "all")]
    assert places == [
        *[("ep", *place) for place in tokens],
        *[("linear", *place) for place in vectors],
        *[("knn", *place) for place in vectors],
    ]


@pytest.mark.slow
def test_features_before_the_final_norm_are_read_beside_those_after(probe):
    options = ["--method", "knn,linear", "--vectors", "auto,raw,mean_raw", "--json"]
    rows = json.loads(probe(*options).stdout)["rows"]
    sources = [(row["method"], row["source"]) for row in rows]
    assert sources == [
        (method, source)
        for method in ("linear", "knn")
        for source in ("cls", "cls_raw", "mean_raw")
    ]


@pytest.mark.slow
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
