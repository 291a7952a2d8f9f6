"""`toolkit runs`: runs are listed, and removed when nobody writes them."""

import json
from pathlib import Path

import pytest

from conftest import assert_bad_input
from helpers.kills import run_forked
from helpers.run_folders import write_run
from toolkit_common.runs.locks import lock_folder, unlock_all


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A finished run with checkpoints, an interrupted one, and one of all folds."""
    root = tmp_path / "runs"
    done = write_run(root / "probe-1", rows={"ep": (0.71234, "unknown"), "knn": (0.5, "")})
    cut = write_run(root / "slimp-1", kind="pretrain-slimp", is_done=False)
    whole = write_run(root / "five", kind="probe-folds", settings="folds: 3\nfold: null\n")
    part = write_run(whole / "fold-0")
    for folder in (done, cut, part):
        (folder / "checkpoints").mkdir()
        (folder / "checkpoints/step-1.pt").write_bytes(b"x" * 2048)
    return root


def test_runs_are_listed_with_kind_state_size_and_best_figure(run_cli, runs, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    shown = run_cli("runs", "ls").stdout
    assert max(map(len, shown.splitlines())) <= 80
    for part in ("probe-1", "timm:vit", "csv:t.csv", "0.712 SEEN?", "balanced", "ep", "done",
                 "interrupted", "pretrain-slimp", "1/3 folds", "3 runs in runs"):  # fmt: skip
        assert part in shown
    assert "checkpoints of finished runs: 4 KiB" in shown
    listed = json.loads(run_cli("runs", "ls", runs, "--json").stdout)
    assert [(Path(run["path"]).name, run["state"]) for run in listed] == [
        ("five", "done"), ("probe-1", "done"), ("slimp-1", "interrupted"),
    ]  # fmt: skip
    assert "no run in" in run_cli("runs", "ls", runs / "probe-1/checkpoints").stdout


DAMAGED = {
    '{"kind": "pro': "no JSON",
    "{}": ": kind: field required",
    "[]": ": input should be an obj",
}


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_run_is_named_and_left_out(run_cli, runs, text):
    (runs / "probe-1/run.json").write_text(text)
    result = run_cli("runs", "ls", runs, "--json")
    assert [Path(run["path"]).name for run in json.loads(result.stdout)] == ["five", "slimp-1"]
    assert f"left out: {runs}/probe-1/run.json is damaged" in result.stderr
    assert DAMAGED[text] in result.stderr
    assert "2 runs in" in run_cli("runs", "ls", runs).stdout


def test_a_damaged_fold_is_named_and_its_whole_stays(run_cli, runs):
    (runs / "five/fold-0/results.json").write_text("{")
    result = run_cli("runs", "ls", runs)
    file = runs / "five/fold-0/results.json"
    assert f"a fold of {runs}/five: {file} is damaged, no JSON" in result.stderr
    assert "3 runs in" in result.stdout


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_run_is_not_removed_and_the_line_says_how(run_cli, runs, text):
    (runs / "probe-1/run.json").write_text(text)
    result = run_cli("runs", "rm", runs / "probe-1", "--yes")
    assert_bad_input(
        result, "run.json is damaged", DAMAGED[text], "nothing was removed",
        f"was a run, delete it by rm -r -- {runs}/probe-1",
    )  # fmt: skip
    assert (runs / "probe-1").exists()


def test_a_run_is_removed_whole(run_cli, runs):
    result = run_cli("runs", "rm", runs / "slimp-1", runs / "five", "--yes")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in runs.iterdir()) == ["probe-1"]


def test_checkpoints_alone_go_from_disk_and_manifest(run_cli, runs):
    result = run_cli("runs", "rm", "--checkpoints", runs / "probe-1", runs / "five", "--yes")
    assert result.exit_code == 0, result.output
    assert "removed 2, 4 KiB" in result.stdout
    assert sorted(runs.rglob("checkpoints")) == [runs / "slimp-1/checkpoints"]
    assert json.loads((runs / "probe-1/manifest.json").read_text()) == {"run.json": "1"}
    again = run_cli("runs", "rm", "--checkpoints", runs / "probe-1", "--yes")
    assert again.stdout == "these runs have no checkpoints\n"
    assert_bad_input(run_cli("runs", "rm", "--checkpoints", runs / "slimp-1", "--yes"),
                     "has not ended, and --resume goes on from its checkpoints")  # fmt: skip


def test_what_is_no_run_or_is_running_stays(run_cli, runs, tmp_path):
    (tmp_path / "mine").mkdir()
    (runs / "link").symlink_to(runs / "probe-1")
    for folder in (runs, tmp_path / "mine", tmp_path / "none", runs / "link"):
        result = run_cli("runs", "rm", runs / "probe-1", folder, "--yes")
        assert_bad_input(result, f"{folder} is no run folder", "nothing was removed")
    assert_bad_input(run_cli("runs", "rm", runs / "five/fold-0", "--yes"), "is a fold of")
    assert_bad_input(run_cli("runs", "rm", runs / "probe-1"), "add --yes")
    lock_folder(runs / "slimp-1")

    def refused() -> None:
        result = run_cli("runs", "rm", runs / "probe-1", runs / "slimp-1", "--yes")
        assert_bad_input(result, "slimp-1 is being written by a running process")

    assert run_forked(refused)
    unlock_all()
    assert (runs / "probe-1").exists()
