"""Protocols: named settings, overridden and recorded."""

import json

import pytest


@pytest.mark.slow
def test_a_published_protocol_can_be_named_and_overridden(probe, tmp_path):
    result = probe("--protocol", "ep-paper", "--method", "linear", "--warmup-epochs", "0")
    assert result.exit_code == 0, result.output
    config = (tmp_path / "run/config.yaml").read_text()
    assert "optimizer: lars  # protocol ep-paper" in config
    assert "augment: crops  # protocol ep-paper" in config
    assert "epochs: 3  # --epochs" in config
    results = json.loads((tmp_path / "run/results.json").read_text())
    assert results["rows"][0]["selected"] == "selected on test"
    assert results["protocol"]["name"] == "ep-paper"
    assert results["protocol"]["version"] == 2
    assert results["protocol"]["overridden"] == {"epochs": 3, "warmup_epochs": 0.0}
    line = "protocol ep-paper v2 with epochs=3, warmup_epochs=0.0, batch 14 instead of 4096"
    assert f"{line}, selected on test" in result.stdout


@pytest.mark.slow
def test_the_knn_protocol_brings_its_method(probe):
    results = json.loads(probe("--protocol", "dino-knn", "--json").stdout)
    assert [row["method"] for row in results["rows"]] == ["knn"]
    assert results["protocol"]["overridden"] == {"epochs": 3}
