"""`toolkit probe --folds K`: every fold in one command, resumable, the encoder run once."""

import json
import shutil

import pyarrow.parquet as pq
import pytest

from conftest import assert_bad_input
from helpers.probe_runs import TINY, read_csv
from toolkit_common.backbones import contract
from toolkit_common.runs.files import read_json
from toolkit_probing import folds as every_fold
from toolkit_probing import run as probe_run

FOLDS = ["--folds", "3"]


@pytest.mark.slow
def test_each_fold_is_a_run_of_its_own_and_equals_it(run_cli, folded, runs, tmp_path):
    for fold in range(3):
        assert (folded / f"f/fold-{fold}/DONE").exists()
    assert "fold: 1  # one of all folds" in (folded / "f/fold-1/config.yaml").read_text()
    alone = run_cli(
        "probe", "--method", "linear,knn", *TINY[:3], "--epochs", "1", *FOLDS, "--fold", "1",
        "--data", f"csv:{runs / 'table.csv'}", "--store-dir", runs / "folded-tokens",
        "--output", tmp_path / "alone",
    )  # fmt: skip
    assert alone.exit_code == 0, alone.output
    rows, others = (
        read_json(path / "results.json")["rows"]
        for path in (folded / "f/fold-1", tmp_path / "alone")
    )
    assert rows == others


@pytest.mark.slow
def test_every_image_is_tested_once_in_the_fold_that_says_so(folded):
    results = json.loads((folded / "f.json").read_text())
    assert results["folds"] == ["fold-0", "fold-1", "fold-2"]
    assert (results["data"]["sizes"], results["data"]["num_test_groups"]) == ({"test": 40}, 10)
    assert results["data"]["splits"] == "made: grouped, stratified, each of 3 folds, split seed 0"
    table = pq.read_table(folded / "f" / results["rows"][0]["predictions"]).to_pandas()
    assert table["image_id"].is_unique
    assert len(table) == 40
    for fold in range(3):
        file = folded / f"f/fold-{fold}/splits.csv"
        tested = [
            image
            for image, split in zip(
                read_csv(file, "image_id"), read_csv(file, "split"), strict=True
            )
            if split == "test"
        ]
        assert sorted(table["image_id"][table["fold"] == fold]) == sorted(tested)


@pytest.mark.slow
def test_the_encoder_runs_once_wherever_tokens_are_kept(run_cli, runs, tmp_path, monkeypatch):
    images = []
    forward = contract.Backbone.forward_layers

    def counted(self, batch, *args, **kwargs):
        images.append(len(batch))
        return forward(self, batch, *args, **kwargs)

    monkeypatch.setattr(contract.Backbone, "forward_layers", counted)
    counts = []
    for store, number in (("disk", ["--fold", "0"]), ("disk", []), ("memory", [])):
        images.clear()
        result = run_cli(
            "probe", "--method", "knn", *TINY, *FOLDS, *number, "--store", store,
            "--store-dir", tmp_path / f"tokens{len(counts)}",
            "--data", f"csv:{runs / 'table.csv'}", "--output", tmp_path / f"{len(counts)}",
        )  # fmt: skip
        assert result.exit_code == 0, result.output
        counts.append(sum(images))
    assert counts[0] >= 40
    assert counts == [counts[0]] * 3


@pytest.mark.slow
def test_a_fold_that_is_done_is_not_run_again(run_cli, folded, tmp_path, monkeypatch):
    run = tmp_path / "f"
    shutil.copytree(folded / "f", run)
    for name in ("DONE", "results.json", "manifest.json", "fold-2/DONE"):
        (run / name).unlink()
    before = {fold: (run / f"fold-{fold}/DONE").stat().st_mtime_ns for fold in (0, 1)}
    judged = []
    judge = every_fold.judge
    monkeypatch.setattr(
        every_fold,
        "judge",
        lambda own, *a, **k: judged.append(own.path.name) or judge(own, *a, **k),
    )
    result = run_cli("probe", "--resume", "--output", run, "--json")
    assert result.exit_code == 0, result.output
    assert judged == ["fold-2"]
    assert {fold: (run / f"fold-{fold}/DONE").stat().st_mtime_ns for fold in (0, 1)} == before
    assert json.loads(result.stdout)["rows"] == json.loads((folded / "f.json").read_text())["rows"]
    again = run_cli("probe", "--resume", "--output", run, "--json")
    assert judged == ["fold-2"]
    assert json.loads(again.stdout)["rows"] == json.loads(result.stdout)["rows"]


@pytest.mark.slow
def test_an_interrupt_names_the_run_of_all_folds(run_cli, runs, tmp_path, monkeypatch):
    monkeypatch.setattr(probe_run, "write_predictions", Interrupted())
    words = ["probe", "--method", "knn", *TINY, *FOLDS, "--data", f"csv:{runs / 'table.csv'}"]
    result = run_cli(*words, "--output", tmp_path / "run")
    assert result.exit_code == 130
    assert f"interrupted: go on with --resume --output {tmp_path / 'run'}\n" in result.stderr
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert run_cli("probe", "--resume", "--output", tmp_path / "run").exit_code == 0


class Interrupted:
    def __call__(self, *args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt


@pytest.mark.slow
def test_other_settings_do_not_go_on_and_other_folds_are_refused(run_cli, folded):
    result = run_cli("probe", "--resume", "--output", folded / "f", "--folds", "4")
    assert_bad_input(result, f"cannot resume {folded / 'f'} with other settings", "folds (was 3")
    for words in (["--folds", "3", "--fold", "3"], ["--folds", "2"]):
        assert_bad_input(run_cli("probe", *words), "got ")


@pytest.mark.slow
def test_a_fold_without_a_class_is_refused_by_its_number_before_anything_is_written(
    run_cli, tmp_path, image_folder
):
    lines = ["image,label,patient_id"]
    for name, index in [("dark", i) for i in range(9)] + [("light", i) for i in range(2)]:
        lines.append(
            f"images/{name}/{index:03d}.png,{name},{name}{index if name == 'dark' else ''}"
        )
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    result = run_cli("probe", *TINY, *FOLDS, "--data", f"csv:{tmp_path / 'table.csv'}",
                     "--method", "knn", "--output", tmp_path / "run")  # fmt: skip
    assert_bad_input(result, "class 'light'", "no image in the train split", "error: fold ")
    assert not (tmp_path / "run").exists()
