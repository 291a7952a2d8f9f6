"""Baselines that read no image stand beside probe results, judged alike."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from toolkit_common.cli.app import app
from toolkit_common.scores.metrics import Predictions, compute_metrics
from toolkit_common.sources.load import load_data

TINY = ["probe", "--backbone", "timm:test_vit?image_size=32", "--random-init", "--method", "knn"]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A finished run on the embedded lesions."""
    folder = tmp_path_factory.mktemp("lesions")
    options = ["--label", "malignant", "--output", str(folder / "run")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOOLKIT_CACHE", str(folder / "cache"))
        result = CliRunner().invoke(app, [*TINY, *options], prog_name="toolkit")
    assert result.exit_code == 0, result.output
    assert "baselines read no image" in result.stdout
    return folder / "run"


@pytest.mark.slow
def test_they_are_named_apart_saved_and_judged_on_the_same_rows(run, run_cli):
    results = json.loads((run / "results.json").read_text())
    assert [row["method"] for row in results["rows"]] == ["knn"]
    names = ["baseline-missingness", "baseline-metadata"]
    assert [row["name"] for row in results["baselines"]] == names
    probed = pq.read_table(run / results["rows"][0]["predictions"])
    for row in results["baselines"]:
        assert (row["selected"], row["source"]) == ("fitted on train", "no image")
        table = pq.read_table(run / row["predictions"])
        assert table["image_id"] == probed["image_id"]
        predictions = Predictions(
            np.array(table["probabilities"].to_pylist()), np.array(table["target"])
        )
        assert compute_metrics(predictions)["top1"] == row["metrics"]["top1"]["mean"]
    compared = run_cli("compare", run, "--rows", f"{results['rows'][0]['name']},{names[1]}")
    assert compared.exit_code == 0, compared.output


@pytest.mark.slow
def test_they_learn_from_the_labels_that_probes_do(run_cli):
    shares = ["--label-fraction", "0.1,1", "--draws", "2"]
    results = json.loads(run_cli(*TINY, "--label", "malignant", *shares, "--json").stdout)
    probes = {row["labels"]: row for row in results["rows"]}
    assert list(probes) == ["10 % of labels", "all labels"]
    assert len(results["baselines"]) == 4
    for row in results["baselines"]:
        probe = probes[row["labels"]]
        assert (row["num_train"], row["draws"]) == (probe["num_train"], probe["draws"])


@pytest.mark.slow
def test_a_report_separates_rows_with_complete_metadata(run, run_cli):
    result = run_cli("report", run, "--by", "metadata", "--metric", "top1", "--json")
    rows = json.loads(result.stdout)["rows"]
    counts = {row["value"]: row["num_images"] for row in rows if row["name"].startswith("knn")}
    data = load_data("lesions")
    columns = [column.name for column in data.sheet.columns]
    saved = pq.read_table(run / "test_rows.parquet")["image_id"].to_pylist()
    test = data.table.set_index("image_id").loc[saved, columns]
    assert counts["complete"] == test.notna().all(axis=1).sum() > 0
    assert counts["incomplete"] + counts["complete"] == counts[None] == len(test)
    assert {row["name"] for row in rows} > {"baseline-missingness", "baseline-metadata"}


@pytest.mark.slow
def test_data_without_metadata_have_none(run_cli, image_folder):
    result = run_cli(*TINY, "--data", f"imagefolder:{image_folder}", "--json")
    assert json.loads(result.stdout)["baselines"] == []
    assert "baselines read" not in result.stderr
