"""`toolkit features`: tokens are kept once, and a probe of the same settings reads them."""

import json

import pytest

from conftest import assert_bad_input

VIT = "timm:test_vit?image_size=32"


@pytest.fixture
def features(run_cli, image_folder):
    def run(*options, data=f"imagefolder:{image_folder}"):
        where = ["--data", data, "--backbone", VIT, "--random-init"]
        return run_cli("features", *where, *options, "--json")

    return run


@pytest.mark.slow
def test_a_probe_reads_what_was_extracted(features, run_cli, image_folder, tmp_path):
    result = features()
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert (facts["num_images"], facts["was_cached"]) == (24, False)
    assert "24 images x 4 tokens" in result.stderr
    run_cli("probe", "--data", f"imagefolder:{image_folder}", "--backbone", VIT, "--random-init",
            "--epochs", "1", "--output", tmp_path / "run")  # fmt: skip
    read = json.loads((tmp_path / "run/results.json").read_text())["features"]
    assert read["was_cached"] is True
    assert facts["store"].endswith(read["store"])
    assert json.loads(features().stdout)["was_cached"] is True


@pytest.mark.slow
def test_the_cost_of_a_coarser_dtype_is_measured(features):
    errors = [
        json.loads(features("--store-dtype", dtype).stdout)["relative_error"]
        for dtype in ("fp32", "fp16", "bf16", "int8")
    ]
    assert errors[0] == 0.0
    assert 0 < errors[1] < 1e-3 < errors[2] < errors[3] < 2e-2


@pytest.mark.slow
def test_vectors_alone_take_less_and_a_store_with_tokens_serves_for_them(features):
    vectors, whole = (json.loads(features(*given).stdout) for given in (["--no-patches"], []))
    assert vectors["num_bytes"] < whole["num_bytes"]
    assert json.loads(features("--no-patches", "--pooled").stdout)["was_cached"] is False


@pytest.mark.parametrize("command", ["features", "probe"])
@pytest.mark.parametrize("folder", ["afile", "afile/x", "/proc/zz"])
def test_a_store_that_cannot_be_written_is_refused_before_anything_is_loaded(
    run_cli, tmp_path, command, folder
):
    (tmp_path / "afile").touch()
    result = run_cli(command, "--data", "nowhere", "--store-dir", folder)
    assert_bad_input(result, f"--store-dir {folder} cannot be ", "choose a folder")
    assert [path.name for path in tmp_path.iterdir()] == ["afile"]
