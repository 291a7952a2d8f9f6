"""`toolkit reproduce`, end to end on a stand-in row with tiny weights and generated images."""

import json

import pytest
from safetensors.torch import save_file

from conftest import assert_bad_input, write_image_folder
from helpers.leaderboards import STAND_IN
from helpers.tiny_study import InProcess
from toolkit_common.backbones.load import load_backbone
from toolkit_common.cli import study


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with rows, images of two splits and weights."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.yaml").write_text(STAND_IN)
    for split, count in (("train", 6), ("val", 4)):
        write_image_folder(tmp_path / "set" / split, per_class=count)
    backbone = load_backbone("timm:test_vit?image_size=32", random_init=True, seed=3)
    monkeypatch.setattr(study, "_executor", lambda *_, **__: InProcess())
    save_file(dict(backbone.encoder.model.state_dict()), tmp_path / "tiny.safetensors")
    return tmp_path


WORDS = ["reproduce", "tiny-vit", "--rows", "rows.yaml", "--weights", "tiny.safetensors",
         "--data", "set"]  # fmt: skip


def test_the_command_is_printed_unless_it_is_to_run(run_cli, place):
    result = run_cli(*WORDS)
    assert result.exit_code == 0
    assert result.stdout == (
        "toolkit probe --protocol ep-paper --method knn,linear,ep --backbone "
        "'timm:test_vit?image_size=32&final_norm=none&weights=tiny.safetensors' --data "
        "imagefolder:set --vectors cls --tokens patches --set ep.num_queries=4 --set knn.k=5 --set "
        "knn.temperature=0.07 --output runs/reproduce/tiny-vit/probe/run\n"
    )
    assert "published with stochastic depth 0.1" in result.stderr
    assert result.stderr.endswith(
        "next: toolkit reproduce tiny-vit --run --weights tiny.safetensors --data set --rows "
        "rows.yaml\n"
    )
    bare = run_cli("reproduce", "mae-vit-b-16", "-m", "ep", "-o", "here")
    following = "next: toolkit reproduce mae-vit-b-16 --run --method ep --data PATH --output here\n"
    assert bare.stderr.endswith(following)
    assert not (place / "runs").exists()
    assert run_cli(*WORDS, "--print").stdout == result.stdout


@pytest.mark.slow
def test_a_row_runs_and_passes_or_fails_by_its_figures(run_cli, place):
    words = [*WORDS, "--run", "--tolerance", "20"]
    passed = run_cli(*words, "--json")
    assert passed.exit_code == 0, passed.output
    verdict = json.loads(passed.stdout)
    assert verdict["passed"]
    assert [item["verdict"] for item in verdict["figures"]] == ["not judged", "PASS", "PASS"]
    assert all(item["measured"] >= 75 for item in verdict["figures"][1:])
    assert "done in" in passed.stderr
    # Held against another figure it fails, and is not run again.
    rows = STAND_IN.replace("{top1: 90, reads: patches", "{top1: 30, reads: patches")
    (place / "others.yaml").write_text(rows)
    failed = run_cli(*[word.replace("rows.yaml", "others.yaml") for word in words])
    assert failed.exit_code == 1
    last = failed.stdout.splitlines()[-1]
    assert last.startswith("FAIL: EP is +")
    assert last.endswith(" points off, more than 20")
    assert "1 cell, 1 done" in failed.stderr
    # Its study can be read as any other.
    shown = run_cli("report", "runs/reproduce/tiny-vit", "--leaderboard")
    assert shown.exit_code == 0
    assert "imagefolder:set (label)" in shown.stdout


def test_a_row_must_be_named(run_cli):
    assert_bad_input(run_cli("reproduce"), "which ROW?", "--list")
    assert_bad_input(run_cli("reproduce", "none-such"), "unknown published row 'none-such'")
