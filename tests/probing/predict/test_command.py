"""`toolkit predict` from the command line."""

import json
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest


@pytest.mark.slow
def test_figures_on_the_runs_test_rows_are_those_of_the_run(predict, finished) -> None:
    result = predict("--data", f"csv:{finished}/table.csv", "--split", "test", "--json")
    assert result.exit_code == 0, result.output
    shown = json.loads(result.stdout)
    rows = json.loads((finished / "run/results.json").read_text())["rows"]
    (row,) = [row for row in rows if row["name"] == shown["row"]]
    for name in ("top1", "balanced_accuracy", "auroc", "log_loss"):
        assert shown["metrics"][name]["mean"] == pytest.approx(
            row["metrics"][name]["values"][0], abs=1e-6
        )
    assert shown["seen"] == "unseen"
    assert len(shown["predictions"]) == shown["num_images"] == 8


@pytest.mark.slow
def test_without_a_file_the_table_goes_to_stdout(predict, finished, new, monkeypatch) -> None:
    monkeypatch.chdir(new)
    result = predict("--images", "000.png", "001.png")
    assert result.exit_code == 0, result.output
    table = pd.read_csv(StringIO(result.stdout))
    assert table["image"].tolist() == ["000.png", "001.png"]
    result = predict("--data", f"csv:{finished}/table.csv", "--split", "test")
    assert len(pd.read_csv(StringIO(result.stdout))) == 8
    assert "balanced accuracy" in result.stderr
    assert "bootstrap over groups" in result.stderr
    assert "RANDOM WEIGHTS" in result.stderr


@pytest.mark.slow
def test_a_run_that_moved_predicts_from_any_folder(predict, copied, new, monkeypatch) -> None:
    (new / "here").mkdir()
    monkeypatch.chdir(new / "here")
    result = predict("--images", "../000.png", "-o", "out.csv", run=Path("../../copied"))
    assert result.exit_code == 0, result.output
    assert pd.read_csv(new / "here/out.csv")["image"].tolist() == ["../000.png"]


@pytest.mark.slow
def test_nothing_is_written_where_images_are_refused(predict, finished, tmp_path) -> None:
    result = predict("--data", f"csv:{finished}/table.csv", "-o", tmp_path / "out.csv")
    assert result.exit_code == 2
    assert not (tmp_path / "out.csv").exists()
