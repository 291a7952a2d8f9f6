"""What int8 tokens cost the heads of a run is measured on exact ones."""

import json

import pytest

from toolkit_common.features import codec
from toolkit_common.features.codec import quantize
from toolkit_probing.training import dtype_cost


@pytest.fixture
def probe(run_cli, image_folder, tmp_path):
    def run(*options):
        where = ["--data", f"imagefolder:{image_folder}", "--output", tmp_path / "run"]
        tiny = ["--backbone", "timm:test_vit?image_size=32", "--random-init", "--epochs", "3"]
        return run_cli("probe", *tiny, *where, *options)

    return run


@pytest.mark.slow
@pytest.mark.parametrize("place", ["disk", "memory", "online"])
def test_what_int8_costs_in_accuracy_is_measured_on_exact_tokens(probe, monkeypatch, place):
    options = ["--method", "ep,linear", "--store-dtype", "int8", "--epochs", "20", "--store", place]
    monkeypatch.setattr(dtype_cost, "SHARE", 1.0)

    def lossy(patches):
        values, scale = quantize(patches)
        return -values, scale

    monkeypatch.setattr(codec, "quantize", lossy)
    result = probe(*options, "--json")
    cost = json.loads(result.stdout)["features"]["dtype_cost"]
    (name,) = cost["heads"]  # linear reads exact vectors
    assert name.startswith("ep-")
    assert cost["num_images"] == 5
    assert cost["heads"][name] == {"changed": 1.0, "top1": 1.0, "top1_exact": 0.0}
    assert "int8 changes at most 100.0% of a head's predictions" in result.stderr
    assert "its top-1 from 0.000 to 1.000" in result.stderr


@pytest.mark.slow
def test_a_dtype_that_is_fine_has_no_cost_to_measure(probe):
    assert json.loads(probe("--json").stdout)["features"]["dtype_cost"] is None
