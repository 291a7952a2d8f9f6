"""Protocols: named settings, overridden and recorded."""

import json

import pytest

from conftest import write_image_folder
from toolkit_probing.protocols import used_protocol
from toolkit_probing.settings import ProbeSettings

PAPER = ["--protocol", "ep-paper", "--method", "linear"]


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
    assert results["protocol"]["version"] == 3
    assert results["protocol"]["overridden"] == {"epochs": 3, "warmup_epochs": 0.0}
    line = "protocol ep-paper v3 with epochs=3, warmup_epochs=0.0, batch 14 instead of 4096"
    assert f"{line}, selected on test" in result.stdout


@pytest.mark.slow
def test_the_knn_protocol_brings_its_method(probe):
    results = json.loads(probe("--protocol", "dino-knn", "--json").stdout)
    assert [row["method"] for row in results["rows"]] == ["knn"]
    assert results["protocol"]["overridden"] == {"epochs": 3}


@pytest.mark.slow
def test_where_the_test_split_picks_no_training_image_is_held_out(probe, run_cli, tmp_path):
    for split in ("train", "val"):  # as ImageNet lies on a disk
        write_image_folder(tmp_path / "set" / split, per_class=6)
    data = f"imagefolder:{tmp_path / 'set'}"
    results = json.loads(probe(*PAPER, "--json", data=data).stdout)
    assert results["data"]["sizes"] == {"train": 12, "val": 0, "test": 12}
    assert "its validation split is the test split; no validation" in results["data"]["splits"]
    run = ["--from", str(tmp_path / "run"), "--data", data]
    result = run_cli("predict", *run, "--split", "val")
    assert result.exit_code == 2
    assert "the val split" in result.stderr
    other = json.loads(probe("--json", data=data, output=tmp_path / "other").stdout)
    assert other["data"]["sizes"]["val"] > 0


def test_what_departs_from_a_protocol_stands_as_it_is_typed():
    used = used_protocol(ProbeSettings(lr=(0.001,), epochs=3))
    assert used.line == "protocol honest v2 with lr=0.001, epochs=3"
    used = used_protocol(ProbeSettings(lr=(0.001, 0.1)))
    assert used.line == "protocol honest v2 with lr=0.001,0.1"
